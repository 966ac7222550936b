"""Containers are claimed in the catalog before they are written to: one belongs to one table of one migration."""

from __future__ import annotations

from collections.abc import Sequence

from gridferry.checkpoint.catalog import CatalogEntry
from gridferry.checkpoint.state import TargetState
from gridferry.errors import PlanError
from gridferry.plan.advice import named_apart
from gridferry.plan.plan import TablePlan
from gridferry.target.table import Named, TableTarget


def enter_containers(state: TargetState, plan: TablePlan, names: Sequence[tuple[str, str | None]]) -> None:
    """Claim (container, split value) pairs for a table in the catalog. Raises: PlanError as `require_own`."""
    taken = state.catalog.claim([CatalogEntry(plan.qualified, name, value, plan.split_by) for name, value in names])
    if taken:
        raise _claimed(state, plan, taken)


class NewNames:
    """Containers for values that came after the load was planned: they alone can still get other names."""

    def __init__(self, state: TargetState, plan: TablePlan) -> None:
        self._state = state
        self._plan = plan

    def require_own(self, names: Sequence[tuple[str, str | None]]) -> None:
        """Return if no other table or migration has these containers. Raises: PlanError with a way out for each."""
        taken = _of_others(self._state, self._plan, [name for name, _ in names])
        if taken:
            others = {entry.container.lower() for entry in taken}
            error = _claimed(self._state, self._plan, taken)
            error.state = "what was checkpointed stays; nothing was put there"
            error.next_step = named_apart(self._plan, [value for name, value in names if name.lower() in others])
            raise error

    def enter(self, names: Sequence[tuple[str, str | None]]) -> None:
        """Claim (container, split value) pairs. Raises: as `require_own`."""
        try:
            enter_containers(self._state, self._plan, names)
        except PlanError:
            self.require_own(names)
            raise


def table_target(state: TargetState, plan: TablePlan, *, known: Sequence[Named] | None = None) -> TableTarget:
    """A loaded table's containers: those of the catalog, and new ones that are claimed there before they are made.

    Args: known: those of the catalog, where they need not be asked for.
    """
    names = NewNames(state, plan)

    def listed() -> list[Named]:
        return [(entry.container, entry.value) for entry in state.catalog.of(plan)]

    target = TableTarget(state.store, plan, register=names.enter, require_own=names.require_own, listed=listed)
    target.expect(listed() if known is None else known)
    return target


def require_own(state: TargetState, plan: TablePlan, names: Sequence[str]) -> None:
    """Return if no other table or migration has containers of these names. Raises: PlanError."""
    taken = _of_others(state, plan, names)
    if taken:
        raise _claimed(state, plan, taken)


def _of_others(state: TargetState, plan: TablePlan, names: Sequence[str]) -> list[CatalogEntry]:
    key = state.whose().key
    return [e for e in state.catalog.owners(names) if (e.migration, e.table) != (key, plan.qualified)]


def _claimed(state: TargetState, plan: TablePlan, taken: Sequence[CatalogEntry]) -> PlanError:
    more = f" and {len(taken) - 1} more" if len(taken) > 1 else ""
    foreign = taken[0].migration != state.whose().key
    return PlanError(
        f"{plan.qualified} would go into containers of another {'migration' if foreign else 'table'}: "
        f'"{taken[0].container}" is of {owner_of(state, taken[0])}{more}',
        state="nothing was dropped, and no row was put there",
        next_step="choose other names under `containers:` or `container:`"
        + (
            f"; or, if {state.whose().origin} is not the source that you mean, give its address; or, if it took the "
            "other's place, run `gridferry sync --new-source`"
            if foreign
            else ""
        ),
    )


def owner_of(state: TargetState, entry: CatalogEntry) -> str:
    """Whose a container is, for people: the table, and the migration where that is another one."""
    if entry.migration == state.whose().key:
        return entry.table
    owner = state.registry.get(entry.migration)
    return f"{entry.table} of {owner or f'the migration {entry.migration}, which is not known any more'}"
