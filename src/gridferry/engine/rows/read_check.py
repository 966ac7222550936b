"""What was read, held against PostgreSQL's own count: nothing is called loaded or equal on a partial read."""

from __future__ import annotations

from gridferry import numbers
from gridferry.checkpoint.state import TargetState
from gridferry.errors import DataError, ReadIncomplete
from gridferry.plan.plan import OnDuplicate, TablePlan

_AROUND = (
    "its rows do not all lie where they are looked for: make a view, `CREATE VIEW v AS SELECT * FROM ...`, name it in "
    "the config in place of the table, and load it; please report what kind of table this is"
)
_MOVING = (
    "write a `where` that means the same rows in every session: one with now(), random() or a setting does not; "
    f"where it has none of these: {_AROUND}"
)


def require_all_read(plan: TablePlan, *, counted: int, read: int, at_least: bool = False, state: str) -> None:
    """Return if as many rows were read as a plain count under the same snapshot says.

    `at_least`: more may have been read, under earlier snapshots. Raises: ReadIncomplete with both numbers.
    """
    if read == counted or (at_least and read > counted):
        return
    raise ReadIncomplete(
        f"{plan.qualified}: PostgreSQL counts {numbers.plural(counted, 'row')} under the snapshot, and "
        f"{numbers.count(read)} {'was' if read == 1 else 'were'} read",
        state=state,
        next_step=_MOVING if plan.where.strip() else _AROUND,
    )


def require_all_there(state: TargetState, plan: TablePlan, *, counted: int, unique: bool) -> None:
    """Return unless the target is known to hold fewer rows than the source counts, by numbers alone.

    Rows superseded by others of their key are not counted again: where there may be any, nothing is known.
    Raises: DataError with both numbers.
    """
    if not unique and not plan.numbered and plan.on_duplicate is not OnDuplicate.ERROR:
        return
    names = [entry.container for entry in state.catalog.entries(plan.qualified)]
    opened = [container for container in state.store.open_containers(names).values() if container is not None]
    stored, held = sum(state.store.counts(opened)), sum(state.quarantine.counts(plan.qualified).values())
    if stored + held >= counted:
        return
    aside = f", and {numbers.plural(held, 'row')} quarantined" if held else ""
    raise DataError(
        f"{plan.qualified}: PostgreSQL counts {numbers.plural(counted, 'row')}, and its containers hold "
        f"{numbers.count(stored)}{aside}",
        table=plan.qualified,
        state="all that this sync found is stored; rows from before are missing",
        next_step="run `gridferry repair`: it finds them by value, and stores them",
    )
