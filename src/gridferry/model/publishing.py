"""What the source lets a follower of changes see of a table, and what is in the way."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Published(str, Enum):
    """Which of a table's changes are published."""

    ALL = "all"  # inserts, updates, deletes, truncates
    INSERTS = "inserts"  # inserts and truncates


@dataclass(frozen=True)
class Publishing:
    """What may be published of a table.

    `identity`: the columns that updates and deletes carry of the old row; () with Published.INSERTS. `reason` says why
    it is inserts only, `advice` is the statement that gives the rest; both "" with Published.ALL. `unpublished` are
    generated columns that changes never hold on this version of PostgreSQL, or columns that `publication` leaves out,
    which somebody else made.
    """

    schema: str
    table: str
    published: Published
    identity: tuple[str, ...] = ()
    reason: str = ""
    advice: str = ""
    unpublished: tuple[str, ...] = ()
    publication: str = ""

    @property
    def quoted(self) -> str:
        """The table's name as SQL writes it."""
        return ".".join('"' + name.replace('"', '""') + '"' for name in (self.schema, self.table))


@dataclass(frozen=True)
class Obstacle:
    """Something at the source that stops mode cdc, and what fixes it.

    `passing`: it may be gone by itself later. `of_slots`: there is no place for another slot. `of_owner`: it is nothing
    to one who owns the table.
    """

    message: str
    advice: str
    passing: bool = False
    of_slots: bool = False
    of_owner: bool = False


@dataclass(frozen=True)
class ChangeAccess:
    """Whether one table's changes can be followed. `publishing` is None where nothing of it can be published."""

    publishing: Publishing | None = None
    obstacles: tuple[Obstacle, ...] = ()
