"""Whether containers are free for a table's rows: missing, or empty and with the plan's columns."""

from __future__ import annotations

from collections.abc import Sequence

from gridferry.errors import PlanError, TargetNotEmpty
from gridferry.griddb import Container, Store
from gridferry.plan.plan import TablePlan

_SHOWN = 5
DROP_UNCLAIMED = "let `gridferry load --replace --replace-unclaimed` drop them"
WAYS_OUT = f"choose other names under `containers:` or `container:`; or, where nobody needs them, {DROP_UNCLAIMED}"
WAYS_OUT_CLAIMED = "let `gridferry load --replace` drop them, or choose other names under `containers:` or `container:`"


def require_free(store: Store, plan: TablePlan, names: Sequence[str], *, claimed: bool = False) -> None:
    """Return if the containers of these names are missing, or empty and of the plan's schema.

    `claimed`: some are the table's own, of an earlier load that the state has forgotten.
    Raises: TargetNotEmpty for those with rows, PlanError for those with other columns.
    """
    full, other = not_free(store, plan, names)
    filled = [f'"{container.name}" ({rows:,} rows)' for container, rows in full]
    if filled:
        whose = "an earlier load left them" if claimed else "gridferry did not load them"
        raise TargetNotEmpty(
            f"{plan.qualified} would go into containers that hold rows already, and {whose}: " + _listed(filled),
            state="nothing was changed",
            next_step=WAYS_OUT_CLAIMED if claimed else WAYS_OUT,
        )
    different = [f'"{container.name}"' for container in other]
    if different:
        raise PlanError(
            f"{plan.qualified} would go into containers that exist with other columns: " + _listed(different),
            state="nothing was changed",
            next_step=WAYS_OUT_CLAIMED if claimed else WAYS_OUT,
        )


def not_free(
    store: Store, plan: TablePlan, names: Sequence[str]
) -> tuple[list[tuple[Container, int]], list[Container]]:
    """The containers of these names that hold rows, with their number, and those that have other columns."""
    standing = [container for container in store.open_containers(names).values() if container is not None]
    full = [(container, rows) for container, rows in zip(standing, store.counts(standing), strict=True) if rows]
    return full, [container for container in standing if container.schema != plan.container_schema]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
