"""The relations that hold a table's rows, and what became of them between two looks.

A partition that is attached brings rows that are older than any cursor, and that no log has told of as rows of the
table; one that is detached, dropped or emptied takes rows along without a word. Only a look at the relations shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from gridferry.model.forms import Count, Moment, Name, Oid, TransactionId
from gridferry.model.moment import shown

_NAMED = 3
_SETTLE = "run `gridferry repair` once"


@dataclass(frozen=True)
class Part:
    """A relation that holds rows of a table: the table itself, a leaf of its tree, a chunk of a hypertable.

    `link` is made of what joins it to the table: another one after it was detached and attached again. `file` is the
    number of its file, 0 where it has none: another one after TRUNCATE, and after whatever writes the relation anew.
    """

    oid: Oid
    name: Name
    link: Name
    file: Oid


class Fate(str, Enum):
    """What became of parts."""

    LEFT = "left"  # DETACH, DROP, NO INHERIT
    JOINED = "joined"  # ATTACH, INHERIT: with rows in them
    EMPTIED = "emptied"  # TRUNCATE of a part alone, or an ALTER TABLE that wrote its rows anew


@dataclass(frozen=True)
class PartNote:
    """Parts of one fate, to be told until a verification has found both sides equal after `at`, the source's time.

    `names` are the newest few of `count`; `rows` those that they brought, where that was counted.
    """

    fate: Fate
    names: tuple[Name, ...]
    count: Count
    at: Moment
    rows: Count = 0

    def __str__(self) -> str:
        """A sentence with the command that settles it."""
        names, when = named(self.names, self.count), shown(self.at)
        if self.fate is Fate.LEFT:
            what = "by DETACH, DROP or NO INHERIT: their rows still stand in GridDB"
            return f"{names} left the table before {when} UTC {what}: {_SETTLE}"
        if self.fate is Fate.JOINED:
            what = f"with {self.rows:,} rows written before that, which no change in the log tells of"
            return f"{names} joined the table before {when} UTC {what}: {_SETTLE}"
        what = "by itself, by TRUNCATE or ALTER TABLE: what went with that still stands in GridDB"
        return f"{names} was emptied or written anew before {when} UTC {what}: {_SETTLE}"


@dataclass(frozen=True)
class PartsRecord:
    """The parts that a table had at the last look, and what is still to be told of them.

    `horizon` is a transaction id: all that had begun to write at the look have lower ones.
    """

    table: str
    parts: tuple[Part, ...]
    horizon: TransactionId = 0
    notes: tuple[PartNote, ...] = ()

    def noted(self, note: PartNote) -> PartsRecord:
        """The record with a note more; those of one fate are one."""
        before = next((n for n in self.notes if n.fate is note.fate), None)
        others = tuple(n for n in self.notes if n.fate is not note.fate)
        if before is not None:
            names = (*note.names, *before.names)[:_NAMED]
            note = replace(note, names=names, count=before.count + note.count, rows=before.rows + note.rows)
        return replace(self, notes=(*others, replace(note, names=note.names[:_NAMED])))


@dataclass(frozen=True)
class PartChanges:
    """What became of the parts between two looks. `rewritten` have another file than before."""

    left: tuple[Part, ...] = ()
    joined: tuple[Part, ...] = ()
    rewritten: tuple[Part, ...] = ()


def changes_between(before: Sequence[Part], now: Sequence[Part]) -> PartChanges:
    """How the parts of two looks differ. One that left and joined again has joined."""
    known, found = {part.oid: part for part in before}, {part.oid: part for part in now}
    return PartChanges(
        left=tuple(part for part in before if part.oid not in found),
        joined=tuple(part for part in now if part.oid not in known or known[part.oid].link != part.link),
        rewritten=tuple(part for part in now if part.oid in known and known[part.oid].file != part.file),
    )


def note_of(fate: Fate, parts: Sequence[Part], *, at: str, rows: int = 0) -> PartNote:
    """A note of what became of some parts."""
    return PartNote(fate, tuple(part.name for part in parts[:_NAMED]), len(parts), at, rows)


def named(names: Sequence[str], count: int) -> str:
    """The first few names, and how many more there are."""
    more = f" and {count - len(names):,} more" if count > len(names) else ""
    return ", ".join(names) + more
