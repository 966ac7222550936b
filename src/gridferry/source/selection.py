"""What an interrupted load still has to read, and what a sync has to."""

from __future__ import annotations

from dataclasses import dataclass

from gridferry.model.chunk import Chunk


@dataclass(frozen=True)
class Resume:
    """The chunks of a resumed load, under a new snapshot.

    `chunks` are to be read now: unfinished ones under their old numbers, and added ones under new numbers. `finished`
    are the old numbers that need no second read. `dropped` are old numbers that stand for nothing any more: their
    relation was rewritten or is gone, and `chunks` has others in their place. `added` counts the new numbers.
    """

    chunks: tuple[Chunk, ...]
    finished: frozenset[int]
    dropped: frozenset[int] = frozenset()
    added: int = 0


@dataclass(frozen=True)
class Window:
    """The rows of one snapshot that a sync has not read yet. `condition` and `near` are the source's own, as text.

    `near` holds every row that can share a row key with one of them. `floor` is the least value of the growing column
    that is looked at (None: all); `reached` the greater of it and the cursor's, None where either is. `position` is
    the greatest value seen so far, `mark` the value below which no later transaction is expected to write. `fresh` is
    how many of `rows` were not there before, which `ahead` is the condition of, as text: all of them where rows tell
    which transaction wrote them. Where they do not, those above the position before; `ahead` is None where there is
    none. `brought` of `rows` came with parts that joined the table, and are older than the cursor.
    """

    column: str
    condition: str
    near: str
    rows: int
    floor: str | None
    reached: str | None
    position: str | None
    mark: str | None
    fresh: int = 0
    ahead: str | None = None
    brought: int = 0
