"""What an interrupted load still has to read."""

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
