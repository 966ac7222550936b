"""Chunks hold every row exactly once, and a resume reads every row at least once: against real, worked-over tables."""

from __future__ import annotations

from collections import Counter

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.profiles import FEW

from gridferry.model.chunk import Chunk, ChunkKind, Snapshot
from gridferry.source.postgres.rows.chunks import chunks_to_resume, plan_chunks
from gridferry.source.postgres.session.connection import connect


def ids(snapshot, chunks, plan) -> Counter[int]:
    """How often each id comes out of the chunks."""
    seen: Counter[int] = Counter()
    with snapshot.open_reader() as reader:
        for chunk in chunks:
            for batch in reader.read_chunk(chunk, plan):
                seen.update(batch.column(0).to_pylist())
    return seen


def assert_each_once(database, plan, *, rows_per_chunk: int, page_ranges: bool | None = None) -> tuple[Chunk, ...]:
    with database.source.open_snapshot() as snapshot:
        table = snapshot.fetch_tables([plan.qualified])[0]
        chunks = plan_chunks(
            snapshot.held.connection, table, rows_per_chunk=rows_per_chunk, page_ranges=page_ranges
        )  # fmt: skip
        seen = ids(snapshot, chunks, plan)
    expected = Counter({row[0]: 1 for row in database.run(f"SELECT id FROM {plan.qualified}")})
    assert seen == expected
    assert [c.number for c in chunks] == list(range(len(chunks)))
    return chunks


@settings(max_examples=FEW, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.integers(0, 3000),
    removed=st.integers(1, 7),
    moved=st.integers(2, 9),
    vacuum=st.booleans(),
    analyze=st.booleans(),
    rows_per_chunk=st.integers(1, 5000),
    page_ranges=st.booleans(),
)
def test_worked_over_tables_are_covered_once(
    postgres, plan, rows, removed, moved, vacuum, analyze, rows_per_chunk, page_ranges
):
    postgres.run("DROP TABLE IF EXISTS t; CREATE TABLE t (id int PRIMARY KEY, pad text)")
    postgres.run(f"INSERT INTO t SELECT g, repeat('x', g % 90) FROM generate_series(1, {rows}) g")
    postgres.run(f"DELETE FROM t WHERE id % {removed} = 0 OR id > {rows} * 0.8")
    postgres.run(f"UPDATE t SET pad = repeat('y', 80) WHERE id % {moved} = 0")
    if vacuum:
        postgres.run("VACUUM t")
    if analyze:
        postgres.run("ANALYZE t")
    assert_each_once(postgres, plan("t", "id"), rows_per_chunk=rows_per_chunk, page_ranges=page_ranges)


def test_pages_make_chunks_of_about_the_size_asked_for(postgres_each, plan):
    postgres_each.needs(14, "scan of a range of pages")
    postgres_each.run("CREATE TABLE t (id int); INSERT INTO t SELECT generate_series(1, 20000); ANALYZE t")
    chunks = assert_each_once(postgres_each, plan("t", "id"), rows_per_chunk=2000)
    assert {c.kind for c in chunks} == {ChunkKind.PAGES}
    assert 8 <= len(chunks) <= 12


def test_page_ranges_read_only_their_pages(postgres):
    postgres.needs(14, "scan of a range of pages")
    postgres.run("CREATE TABLE t (id int); INSERT INTO t SELECT generate_series(1, 20000)")
    plan_text = postgres.run("EXPLAIN SELECT id FROM ONLY t WHERE ctid >= '(5,0)'::tid AND ctid < '(9,0)'::tid")
    assert "Tid Range Scan" in plan_text[0][0]


def test_without_page_ranges_an_index_gives_the_bounds(postgres, plan):
    postgres.run("CREATE TABLE t (id int PRIMARY KEY, k text); CREATE INDEX ON t (k)")
    postgres.run("INSERT INTO t SELECT g, CASE WHEN g % 50 = 0 THEN NULL ELSE 'it''s \\ ' || g END "
                 "FROM generate_series(1, 9000) g; ANALYZE t")  # fmt: skip
    chunks = assert_each_once(postgres, plan("t", "id"), rows_per_chunk=1000, page_ranges=False)
    assert {(c.kind, c.column) for c in chunks} == {(ChunkKind.KEYS, "id")}
    assert len(chunks) == 9
    postgres.run("ALTER TABLE t DROP CONSTRAINT t_pkey")
    chunks = assert_each_once(postgres, plan("t", "id"), rows_per_chunk=1000, page_ranges=False)
    assert {(c.kind, c.column) for c in chunks} == {(ChunkKind.KEYS, "k")}


def test_without_page_ranges_and_index_the_table_is_one_chunk(postgres, plan):
    postgres.run("CREATE TABLE t (id int); INSERT INTO t SELECT generate_series(1, 5000); ANALYZE t")
    chunks = assert_each_once(postgres, plan("t", "id"), rows_per_chunk=100, page_ranges=False)
    assert [c.kind for c in chunks] == [ChunkKind.WHOLE]


@pytest.mark.parametrize("page_ranges", [True, False])
def test_partitions_children_views_and_hostile_names(postgres, plan, page_ranges):
    postgres.run("""
        CREATE TABLE p (id int, k int) PARTITION BY LIST (k);
        CREATE TABLE "p.1" PARTITION OF p FOR VALUES IN (0);
        CREATE TABLE "p""2" PARTITION OF p DEFAULT PARTITION BY LIST (k);
        CREATE TABLE "P 3" PARTITION OF "p""2" DEFAULT;
        INSERT INTO p SELECT g, g % 3 FROM generate_series(1, 3000) g;
        CREATE TABLE parent (id int); CREATE TABLE child () INHERITS (parent);
        INSERT INTO parent SELECT generate_series(1, 500); INSERT INTO child SELECT generate_series(501, 900);
        CREATE VIEW v AS SELECT id FROM p WHERE k = 1; CREATE MATERIALIZED VIEW m AS SELECT id FROM p""")
    for name in ("p", "parent", "v", "m"):
        assert_each_once(postgres, plan(name, "id"), rows_per_chunk=300, page_ranges=page_ranges)


def test_rows_added_after_planning_are_seen_if_the_snapshot_is_later(postgres, plan):
    postgres.run("CREATE TABLE t (id int); INSERT INTO t SELECT generate_series(1, 1000)")
    with connect(postgres.address) as connection:
        table = postgres.source.fetch_tables(["t"])[0]
        chunks = plan_chunks(connection, table, rows_per_chunk=200)
    postgres.run("INSERT INTO t SELECT generate_series(1001, 5000)")
    with postgres.source.open_snapshot() as snapshot:
        assert ids(snapshot, chunks, plan("t", "id")) == Counter(range(1, 5001))


class Interrupted:
    """A load of `t` stopped half-way: every second chunk is done, the snapshot is gone."""

    def __init__(self, database, plan, *, table: str = "t", page_ranges: bool = True) -> None:
        self.database, self.plan, self.page_ranges = database, plan, page_ranges
        with database.source.open_snapshot() as snapshot:
            table_model = snapshot.fetch_tables([table])[0]
            self.planned = plan_chunks(
                snapshot.held.connection, table_model, rows_per_chunk=300, page_ranges=page_ranges
            )  # fmt: skip
            self.finished = frozenset(c.number for c in self.planned[::2])
            self.old: Snapshot = snapshot.snapshot
            done = [c for c in self.planned if c.number in self.finished]
            self.seen = self.rows(snapshot, done)

    def rows(self, snapshot, chunks) -> set[tuple[int, str]]:
        found: set[tuple[int, str]] = set()
        with snapshot.open_reader() as reader:
            for chunk in chunks:
                for batch in reader.read_chunk(chunk, self.plan):
                    found.update(zip(*(c.to_pylist() for c in batch.columns), strict=True))
        return found

    def resume(self):
        with self.database.source.open_snapshot() as snapshot:
            table = snapshot.fetch_tables([self.plan.qualified])[0]
            rest = chunks_to_resume(
                snapshot.held.connection, table, planned=self.planned, finished=self.finished, old=self.old,
                rows_per_chunk=300, page_ranges=self.page_ranges,
            )  # fmt: skip
            self.old = snapshot.snapshot  # what a load remembers of its last run
            return rest, self.rows(snapshot, rest.chunks)

    def assert_nothing_missing(self):
        """Every row as it stands now was read: in the first run unchanged, or in the second."""
        rest, again = self.resume()
        now = {tuple(row) for row in self.database.run(f"SELECT id, v FROM {self.plan.qualified}")}
        assert now <= self.seen | again
        return rest, again


@pytest.fixture
def table_t(postgres):
    postgres.run("CREATE TABLE t (id int PRIMARY KEY, v text)")
    postgres.run("INSERT INTO t SELECT g, repeat('a', 60) FROM generate_series(1, 3000) g; ANALYZE t")
    return postgres


@pytest.mark.parametrize("page_ranges", [True, False])
def test_resume_finds_rows_that_moved_behind_finished_chunks(table_t, plan, page_ranges):
    table_t.run("DELETE FROM t WHERE id % 5 = 0")
    table_t.run("VACUUM t")  # room on every page, for new versions to land on
    load = Interrupted(table_t, plan("t", "id v"), page_ranges=page_ranges)
    table_t.run("UPDATE t SET v = repeat('b', 70) WHERE id % 7 = 0")
    table_t.run("INSERT INTO t SELECT g, 'new' FROM generate_series(5001, 5400) g")
    rest, again = load.assert_nothing_missing()
    assert [c.number for c in rest.chunks if c.kind is not ChunkKind.RECENT] == [
        c.number for c in load.planned if c.number not in load.finished
    ]
    assert rest.finished == load.finished
    assert rest.chunks[-1].number == len(load.planned)
    assert rest.chunks[-1].kind is ChunkKind.RECENT
    assert len(again) < 3000  # what stayed where it was is not read again


def test_a_quiet_table_is_not_read_again(table_t, plan):
    load = Interrupted(table_t, plan("t", "id v"))
    rest, again = load.assert_nothing_missing()
    assert not again & load.seen
    assert rest.dropped == frozenset()


@pytest.mark.parametrize("ending", ["COMMIT", "ROLLBACK"])
def test_transactions_open_at_the_first_snapshot_count_as_new(table_t, plan, ending):
    with table_t.connect() as late:
        late.execute("BEGIN")
        late.execute("INSERT INTO t SELECT g, 'top' FROM generate_series(4001, 4100) g")
        late.execute("SAVEPOINT s")
        late.execute("UPDATE t SET v = 'in a subtransaction' WHERE id <= 200")
        late.execute("RELEASE s")
        table_t.run("INSERT INTO t VALUES (9999, 'a later transaction that ends first')")
        load = Interrupted(table_t, plan("t", "id v"))
        late.execute(ending)
    load.assert_nothing_missing()


def test_prepared_transactions_count_as_new(table_t, plan):
    with table_t.connect() as late:
        late.execute("BEGIN")
        late.execute("UPDATE t SET v = 'prepared' WHERE id <= 300")
        late.execute("PREPARE TRANSACTION 'gridferry-test'")
    table_t.run("INSERT INTO t VALUES (9999, 'a later transaction that ends first')")
    load = Interrupted(table_t, plan("t", "id v"))
    table_t.run("COMMIT PREPARED 'gridferry-test'")
    load.assert_nothing_missing()


def test_frozen_rows_keep_the_age_that_tells_them_apart(table_t, plan):
    load = Interrupted(table_t, plan("t", "id v"))
    table_t.run("UPDATE t SET v = 'frozen' WHERE id <= 400")
    table_t.run("VACUUM (FREEZE) t")
    load.assert_nothing_missing()


@pytest.mark.parametrize(
    "rewrite", ["VACUUM FULL t", "CLUSTER t USING t_pkey", "ALTER TABLE t ADD x float DEFAULT random()"]
)
def test_a_rewritten_table_is_read_again_from_the_start(table_t, plan, rewrite):
    load = Interrupted(table_t, plan("t", "id v"))
    table_t.run("DELETE FROM t WHERE id < 900")  # the rewrite moves later rows to the front, with their old ids
    table_t.run(rewrite)
    rest, again = load.assert_nothing_missing()
    assert rest.finished == frozenset()
    assert rest.dropped == {c.number for c in load.planned}
    assert min(c.number for c in rest.chunks) == len(load.planned)
    assert len(again) == 3000 - 899


def test_partitions_that_came_and_went(postgres, plan):
    postgres.run("""
        CREATE TABLE p (id int, v text, k int) PARTITION BY LIST (k);
        CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2);
        INSERT INTO p SELECT g, 'v', 1 + g % 2 FROM generate_series(1, 2000) g;
        CREATE TABLE p3 (id int, v text, k int);
        INSERT INTO p3 SELECT g, 'old', 3 FROM generate_series(2001, 2500) g""")
    load = Interrupted(postgres, plan("p", "id v"), table="p")
    postgres.run("ALTER TABLE p ATTACH PARTITION p3 FOR VALUES IN (3)")  # rows older than the first snapshot
    postgres.run("DROP TABLE p2")
    rest, _ = load.assert_nothing_missing()
    assert {c.number for c in load.planned if c.relation == "p2"} <= rest.dropped
    assert {c.relation for c in rest.chunks} == {"p1", "p3"}


def test_views_have_no_memory_and_are_read_again(postgres, plan):
    postgres.run("CREATE TABLE t (id int, v text); INSERT INTO t VALUES (1, 'a'); CREATE VIEW w AS SELECT * FROM t")
    load = Interrupted(postgres, plan("w", "id v"), table="w")
    postgres.run("UPDATE t SET v = 'b'")
    rest, again = load.assert_nothing_missing()
    assert again == {(1, "b")}
    assert rest.dropped == {0}


def test_ids_that_may_have_wrapped_round_lead_to_a_full_read(table_t, plan):
    load = Interrupted(table_t, plan("t", "id v"))
    xmin, rest_of_it = load.old.visible.split(":", 1)
    load.old = Snapshot("x", "0/0", f"{int(xmin) - 2**31}:{rest_of_it}", load.old.taken_at)
    rest, again = load.resume()
    assert rest.finished == frozenset()
    assert len(again) == 3000


def test_a_second_resume_keeps_numbers_and_replaces_the_recent_chunk(table_t, plan):
    load = Interrupted(table_t, plan("t", "id v"))
    table_t.run("UPDATE t SET v = 'c' WHERE id < 50")
    first, _ = load.resume()
    load.planned = tuple(sorted({*load.planned, *first.chunks}, key=lambda c: c.number))
    load.finished = first.finished | {first.chunks[0].number}
    second, _ = load.resume()
    recent = [c for c in second.chunks if c.kind is ChunkKind.RECENT]
    assert [c.number for c in recent] == [len(load.planned)]
    assert first.chunks[-1].number in second.dropped
    assert second.finished == load.finished


@pytest.mark.parametrize("recent_was_read", [True, False])
def test_a_run_that_stopped_before_its_recent_chunk_is_made_up_for(table_t, plan, recent_was_read):
    load = Interrupted(table_t, plan("t", "id v"))
    table_t.run("UPDATE t SET v = 'between the first run and the second' WHERE id % 3 = 0")
    second, _ = load.resume()  # reads everything, but only part of it counts as finished
    recent = second.chunks[-1]
    load.planned = tuple(sorted({*load.planned, *second.chunks}, key=lambda c: c.number))
    done = recent if recent_was_read else second.chunks[0]
    load.finished = second.finished | {done.number}
    with table_t.source.open_snapshot() as snapshot:
        load.seen |= load.rows(snapshot, [done])
    table_t.run("UPDATE t SET v = 'between the second run and the third' WHERE id % 4 = 0")
    third, _ = load.assert_nothing_missing()
    lows = {int(c.low) for c in third.chunks if c.kind is ChunkKind.RECENT}
    assert all((low > int(recent.low)) == recent_was_read for low in lows)


def test_recent_reads_need_no_rights_beyond_select(table_t, plan):
    table_t.run("DROP ROLE IF EXISTS reader_only; CREATE ROLE reader_only LOGIN; GRANT SELECT ON t TO reader_only")
    try:
        with psycopg.connect(table_t.dsn_as("reader_only"), autocommit=True) as connection:
            ((count,),) = connection.execute("SELECT count(*) FROM ONLY t WHERE age(xmin) <= age('3'::xid)").fetchall()
        assert count == 3000
    finally:
        table_t.run("DROP OWNED BY reader_only; DROP ROLE reader_only")
