"""What the workers of a load do in which order: chunks of many tables, cut into jobs of like size.

A large chunk is a job of its own. Chunks of small tables are bundled: their rows are flushed together, and so are their
records. Jobs of both kinds take turns: small tables do not wait for large ones, and what is left at the end are chunks
of one size, so that no worker holds the others up with a large table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Generic, TypeVar

from gridferry.model.chunk import Chunk, ChunkKind

T = TypeVar("T")

MOST_TOGETHER = 32  # chunks in a bundle
_BUNDLES_A_WORKER = 4  # at least, so that all workers end at about the same time
_SMALL_PART = 4  # a chunk is small if a full one has this many times its rows


@dataclass(frozen=True)
class Waiting(Generic[T]):
    """The chunks of a table that are to be read, of about `rows` rows in all."""

    table: T
    chunks: Sequence[Chunk]
    rows: int


Job = tuple[tuple[T, Chunk], ...]


def jobs_of(waiting: Sequence[Waiting[T]], *, rows_per_chunk: int, workers: int) -> list[Job[T]]:
    """All of these chunks, each in one job, in the order in which they are to be begun.

    The chunks of a bundle have `rows_per_chunk` rows in all at most: so much may be read again after a failure.
    """
    small = [each for each in waiting if _is_small(each, rows_per_chunk)]
    large = [each for each in waiting if each.chunks and not _is_small(each, rows_per_chunk)]
    large.sort(key=lambda each: -_largest(each))
    alone: list[Job[T]] = [((each.table, chunk),) for each in large for chunk in each.chunks]
    together = list(_bundles(small, rows_per_chunk=rows_per_chunk, workers=workers))
    return [job for pair in zip_longest(alone, together) for job in pair if job is not None]


def _largest(each: Waiting[T]) -> int:
    """The rows of a chunk. The table with the largest chunks comes first: what cannot be cut is begun early."""
    return each.rows // len(each.chunks)


def _is_small(each: Waiting[T], rows_per_chunk: int) -> bool:
    # A RECENT chunk is looked for in the whole table, however few its rows are.
    only = len(each.chunks) == 1 and each.chunks[0].kind is not ChunkKind.RECENT
    return only and each.rows * _SMALL_PART <= rows_per_chunk


def _bundles(small: Sequence[Waiting[T]], *, rows_per_chunk: int, workers: int) -> Iterator[Job[T]]:
    most = min(MOST_TOGETHER, max(1, len(small) // (workers * _BUNDLES_A_WORKER)))
    bundle: list[tuple[T, Chunk]] = []
    rows = 0
    for each in sorted(small, key=lambda each: -each.rows):
        if bundle and (len(bundle) >= most or rows + each.rows > rows_per_chunk):
            yield tuple(bundle)
            bundle, rows = [], 0
        bundle.append((each.table, each.chunks[0]))
        rows += each.rows
    if bundle:
        yield tuple(bundle)
