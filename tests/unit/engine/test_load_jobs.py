"""The order of a load's work over many tables: each chunk once, small tables together and not behind large ones."""

from __future__ import annotations

from collections import Counter

from gridferry.engine.load.jobs import MOST_TOGETHER, Job, Waiting, jobs_of
from gridferry.model.chunk import Chunk, ChunkKind

ROWS = 1000  # a chunk


def waiting(name: str, *, chunks: int = 1, rows: int, kind: ChunkKind = ChunkKind.WHOLE) -> Waiting[str]:
    low = "0" if kind is ChunkKind.RECENT else None
    return Waiting(name, [Chunk(n, kind, "public", name, low=low) for n in range(chunks)], rows)


def jobs(*tables: Waiting[str], workers: int = 2) -> list[Job[str]]:
    return jobs_of(tables, rows_per_chunk=ROWS, workers=workers)


def test_every_chunk_is_in_one_job() -> None:
    tables = [waiting(f"t{n}", chunks=1 + n % 3, rows=n * 40) for n in range(60)]
    done = Counter((table, chunk.number) for job in jobs(*tables) for table, chunk in job)
    assert done == Counter({(each.table, chunk.number): 1 for each in tables for chunk in each.chunks})


def test_small_tables_are_bundled_up_to_the_rows_of_a_chunk() -> None:
    made = jobs(*(waiting(f"t{n}", rows=200) for n in range(100)), workers=1)
    assert max(len(job) for job in made) == ROWS // 200
    tiny = jobs(*(waiting(f"t{n}", rows=0) for n in range(1000)), workers=1)
    assert max(len(job) for job in tiny) == MOST_TOGETHER


def test_few_small_tables_are_left_to_all_workers() -> None:
    assert len(jobs(*(waiting(f"t{n}", rows=1) for n in range(8)), workers=4)) == 8


def test_small_tables_do_not_wait_for_a_large_one_nor_it_for_them() -> None:
    made = jobs(waiting("large", chunks=20, rows=20 * ROWS), *(waiting(f"t{n}", rows=100) for n in range(24)))
    first = [job[0][0] == "large" for job in made[:16]]
    assert first == [True, False] * 8
    assert all(job[0][0] == "large" for job in made[16:])


def test_what_cannot_be_cut_is_begun_first() -> None:
    made = jobs(waiting("many", chunks=50, rows=50 * ROWS), waiting("view", rows=9 * ROWS))
    assert made[0][0][0] == "view"


def test_rows_that_moved_are_a_job_of_their_own() -> None:
    """They are looked for in the whole table."""
    recent = waiting("moved", rows=0, kind=ChunkKind.RECENT)
    made = jobs(recent, *(waiting(f"t{n}", rows=1) for n in range(100)), workers=1)
    assert [len(job) for job in made if job[0][0] == "moved"] == [1]
