"""What a target holds, whosever it is: its migrations and their tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from gridferry.checkpoint.documents import DocumentStore
from gridferry.checkpoint.registry import Registry
from gridferry.checkpoint.runs import RunStore
from gridferry.checkpoint.state import TargetState
from gridferry.griddb import Store
from gridferry.model.migration import MigrationEntry

_SHOWN = 3


@dataclass(frozen=True)
class Holding:
    """A migration and the tables (`schema.name`) whose load it has begun."""

    entry: MigrationEntry
    tables: tuple[str, ...]

    def __str__(self) -> str:
        more = f" and {len(self.tables) - _SHOWN} more" if len(self.tables) > _SHOWN else ""
        of = f'the migration "{self.entry.name}" of ' if self.entry.name else ""
        return f"{', '.join(self.tables[:_SHOWN])}{more} from {of}{self.entry.origin}"


def holdings(store: Store) -> list[Holding]:
    """The migrations of a target, the oldest first, also those without a table. Raises: CheckpointError."""
    documents = DocumentStore(store)
    found = []
    for entry in Registry(documents).all():
        tables = RunStore(documents.of(partial(_key, entry))).tables()
        found.append(Holding(entry, tuple(tables)))
    return found


def elsewhere(state: TargetState) -> list[Holding]:
    """What the migrations hold that are not this one. Raises: CheckpointError."""
    mine = state.whose().key
    return [holding for holding in holdings(state.store) if holding.entry.key != mine and holding.tables]


def told(found: Sequence[Holding]) -> str:
    """What they hold, as the end of a sentence."""
    more = f"; and {len(found) - _SHOWN} more migrations" if len(found) > _SHOWN else ""
    return "; ".join(map(str, found[:_SHOWN])) + more


def _key(entry: MigrationEntry) -> str:
    return entry.key
