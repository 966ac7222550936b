"""What `--replace` would drop, said before anybody types it: in the question that it asks, and in each error that
advises it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gridferry import numbers
from gridferry.checkpoint.state import TargetState
from gridferry.errors import FerryError

_ADVISED = "--replace"
_UNCLAIMED = "--replace-unclaimed"


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
        listed = state.catalog.entries(table)
        owned = set(state.catalog.owners([entry.container for entry in listed]))
        opened = state.store.open_containers([entry.container for entry in listed if entry in owned])
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


def completed(advice: str, state: TargetState, tables: Sequence[str], *, about: str = "") -> str:
    """Advice with what --replace would drop, where it advises that; else as it was. Raises: as `droppable`.

    Args: tables: those that it may mean (`schema.name`); about: the text before it, which names those that it means.
    """
    if _ADVISED not in advice or f"{_ADVISED} drops" in advice:
        return advice
    found = droppable(state, [name for name in tables if name in f"{about} {advice}"] or tables)
    if _UNCLAIMED in advice and not any(each.containers for each in found):
        return advice  # what it would drop is nobody's, and is in the text
    return f"{advice} ({what_goes(found)})"


def complete_advice(error: FerryError, state: TargetState, tables: Callable[[], Sequence[str]]) -> None:
    """Where an error advises --replace, let it say what that would drop. Never fails: the advice stays as it was."""
    if _ADVISED not in error.next_step:
        return
    about = " ".join([error.message, *getattr(error, "problems", ()), *getattr(error, "__notes__", ())])
    try:
        error.next_step = completed(error.next_step, state, tables(), about=about)
    except FerryError as unknown:
        error.add_note(f"what --replace would drop is not known: {unknown.message}")


def completed_or_not(advice: str, state: TargetState, table: str) -> str:
    """The same for what is said of one table beside an error. Never fails: the advice stays as it was."""
    try:
        return completed(advice, state, [table])
    except FerryError:
        return advice
