"""What `--replace` would drop, said before anybody types it: in the question that it asks, and in each error that
advises it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gridferry import numbers
from gridferry.checkpoint.state import TargetState
from gridferry.errors import FerryError
from gridferry.plan.config import TableOptions

_ADVISED = "--replace"


@dataclass(frozen=True)
class Droppable:
    """What the target holds of one table of a migration: `containers` that are there, and the rows in them."""

    table: str
    containers: int
    rows: int

    def __str__(self) -> str:
        held = f"{numbers.plural(self.containers, 'container')} with {numbers.plural(self.rows, 'row')}"
        return f"{held} of {self.table}"


def droppable(state: TargetState, tables: Sequence[str]) -> list[Droppable]:
    """What `--replace` would drop of some tables (`schema.name`). Raises: GridDBError, CheckpointError, SourceError."""
    found = []
    for table in tables:
        opened = state.store.open_containers([entry.container for entry in state.catalog.entries(table)])
        standing = [container for container in opened.values() if container is not None]
        found.append(Droppable(table, len(standing), sum(state.store.counts(standing))))
    return found


def what_goes(found: Sequence[Droppable]) -> str:
    """A sentence about it, without its full stop."""
    held = [each for each in found if each.containers]
    if not held:
        return f"{_ADVISED} drops nothing: no container of {', '.join(each.table for each in found)} is there"
    again = "them" if sum(each.containers for each in held) > 1 else "it"
    return f"{_ADVISED} drops {' and '.join(map(str, held))}, and loads {again} again"


def complete_advice(error: FerryError, state: TargetState, options: Sequence[TableOptions]) -> None:
    """Where an error advises --replace, let it say what that would drop. Never fails: the advice stays as it was."""
    if _ADVISED not in error.next_step or f"{_ADVISED} drops" in error.next_step:
        return
    names = [f"{each.schema_name}.{each.table_name}" for each in options]
    text = " ".join([error.message, *getattr(error, "problems", ()), *getattr(error, "__notes__", ())])
    try:
        error.next_step += f" ({what_goes(droppable(state, [n for n in names if n in text] or names))})"
    except FerryError as unknown:
        error.add_note(f"what --replace would drop is not known: {unknown.message}")
