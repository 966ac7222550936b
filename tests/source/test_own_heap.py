"""Relations whose rows are not all in a heap of their own: recognised, and read by plain scans that miss none."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from tests.conftest import Database

from gridferry.errors import SnapshotGone
from gridferry.model.chunk import ChunkKind
from gridferry.model.watermark import GrowingColumn, Growth, first_cursor
from gridferry.source.postgres.catalog import own_heap
from gridferry.source.postgres.rows.key_rows import KeyLookup
from gridferry.source.postgres.session.connection import parse_address
from gridferry.source.postgres.slots.publications import fetch_publishable
from gridferry.source.postgres.source import PostgresSource

HEAP2 = "CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler"

# TimescaleDB's catalog in the columns that all its versions have, and a hypertable of two chunks in it.
HYPERTABLE = """
CREATE SCHEMA _timescaledb_catalog; CREATE SCHEMA _timescaledb_internal;
CREATE TABLE _timescaledb_catalog.hypertable (id int, schema_name name, table_name name);
CREATE TABLE _timescaledb_catalog.chunk
    (id int, hypertable_id int, schema_name name, table_name name, compressed_chunk_id int);
CREATE TABLE _timescaledb_catalog.dimension (id int, hypertable_id int, column_name name, interval_length int8);
CREATE TABLE _timescaledb_catalog.dimension_slice (dimension_id int, range_start int8, range_end int8);
CREATE TABLE _timescaledb_catalog.compression_chunk_size (chunk_id int, uncompressed_heap_size int8,
    uncompressed_toast_size int8, numrows_pre_compression int8);
CREATE TABLE hyper (ts timestamptz NOT NULL, id int, v float8); CREATE UNIQUE INDEX ON hyper (id, ts);
CREATE TABLE _timescaledb_internal._hyper_1_1_chunk (CHECK (ts < '2024-02-01')) INHERITS (hyper);
CREATE TABLE _timescaledb_internal._hyper_1_2_chunk (CHECK (ts >= '2024-02-01')) INHERITS (hyper);
INSERT INTO _timescaledb_internal._hyper_1_1_chunk SELECT '2024-01-01'::timestamptz + i * interval '1 min', i, i
    FROM generate_series(1, 3000) i;
INSERT INTO _timescaledb_internal._hyper_1_2_chunk SELECT '2024-02-01'::timestamptz + i * interval '1 min', 3000 + i, i
    FROM generate_series(1, 2000) i;
INSERT INTO _timescaledb_catalog.hypertable VALUES (1, 'public', 'hyper');
INSERT INTO _timescaledb_catalog.chunk VALUES (1, 1, '_timescaledb_internal', '_hyper_1_1_chunk', NULL),
    (2, 1, '_timescaledb_internal', '_hyper_1_2_chunk', NULL);
INSERT INTO _timescaledb_catalog.dimension VALUES (1, 1, 'ts', 2678400000000), (2, 1, 'id', NULL);
INSERT INTO _timescaledb_catalog.dimension_slice SELECT 1, extract(epoch FROM lower(r)) * 1000000,
    extract(epoch FROM upper(r)) * 1000000
    FROM (VALUES (tstzrange('2024-01-01 00:00+00', '2024-02-01 00:00+00')),
                 (tstzrange('2024-02-01 00:00+00', '2024-03-01 00:00+00'))) AS s(r);
INSERT INTO _timescaledb_catalog.compression_chunk_size VALUES (1, 50000000, 10, 7000);
"""


def table_of(postgres: Database, name: str) -> Any:
    (table,) = postgres.source.fetch_tables([name])
    return table


def ids(postgres: Database, plan: Any, *, rows_per_chunk: int = 100) -> tuple[Counter[int], set[ChunkKind], int]:
    """How often each id is read, in which kinds of chunks, and how many there were."""
    seen: Counter[int] = Counter()
    with postgres.source.open_snapshot() as view, view.open_reader() as reader:
        (table,) = view.fetch_tables([plan.qualified])
        chunks = view.plan_chunks(table, rows_per_chunk=rows_per_chunk)
        for chunk in chunks:
            for batch in reader.read_chunk(chunk, plan):
                seen.update(batch.column(0).to_pylist())
        assert view.count_all(plan) == seen.total()
    return seen, {chunk.kind for chunk in chunks}, len(chunks)


def test_a_plain_table_and_what_is_made_of_heaps_keep_their_own(postgres_each: Database) -> None:
    postgres_each.run("""
        CREATE TABLE t (id int); INSERT INTO t VALUES (1); CREATE MATERIALIZED VIEW m AS SELECT id FROM t;
        CREATE TABLE p (id int) PARTITION BY LIST (id); CREATE TABLE p1 PARTITION OF p DEFAULT;
        CREATE TABLE parent (id int); CREATE TABLE child () INHERITS (parent)""")
    for name in ("t", "m", "p", "parent"):
        table = table_of(postgres_each, name)
        assert (table.own_heap, table.elsewhere) == (True, ""), name


def test_views_and_foreign_tables_and_trees_with_one_do_not(postgres: Database) -> None:
    postgres.run("""
        CREATE TABLE t (id int); CREATE VIEW v AS SELECT id FROM t;
        CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE f (id int) SERVER s;
        CREATE TABLE p (id int) PARTITION BY LIST (id); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
        CREATE FOREIGN TABLE p2 PARTITION OF p DEFAULT SERVER s;
        CREATE TABLE parent (id int); CREATE FOREIGN TABLE child () INHERITS (parent) SERVER s""")
    said = {name: table_of(postgres, name).elsewhere for name in ("v", "f", "p", "parent")}
    assert said == {
        "v": "it is a view",
        "f": "it is a foreign table",
        "p": "a part of it has its rows elsewhere: public.p2 is a foreign table",
        "parent": "a part of it has its rows elsewhere: public.child is a foreign table",
    }
    table = table_of(postgres, "p")
    assert [(r.name, r.heap) for r in table.relations] == [("p1", True), ("p2", False)]


def test_another_access_method_is_read_by_values_and_not_followed(postgres_each: Database, plan) -> None:
    postgres_each.run(f"""
        {HEAP2}; CREATE TABLE t (id int PRIMARY KEY, v text) USING heap2;
        INSERT INTO t SELECT g, g FROM generate_series(1, 5000) g; ANALYZE t;
        CREATE TABLE p (id int, v text) PARTITION BY RANGE (id); CREATE INDEX ON p (id);
        CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (3000);
        CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (3000) TO (9999) USING heap2;
        INSERT INTO p SELECT g, g FROM generate_series(1, 5000) g; ANALYZE p""")
    table = table_of(postgres_each, "t")
    assert (table.own_heap, table.elsewhere) == (False, "it has the table access method heap2")
    seen, kinds, number = ids(postgres_each, plan("t", "id v"), rows_per_chunk=500)
    assert (seen, kinds) == (Counter(range(1, 5001)), {ChunkKind.KEYS})
    assert 8 <= number <= 12
    part = table_of(postgres_each, "p")
    assert part.elsewhere == "a part of it has its rows elsewhere: public.p2 has the table access method heap2"
    seen, kinds, _ = ids(postgres_each, plan("p", "id v"), rows_per_chunk=500)
    assert seen == Counter(range(1, 5001))
    assert ChunkKind.KEYS in kinds
    with postgres_each.source_session() as connection:
        never = "partitioned tables are published since PostgreSQL 13"
        heap2 = "has the table access method heap2"
        for name, why in (("t", heap2), ("p", heap2 if connection.info.server_version >= 130000 else never)):
            published, obstacles = fetch_publishable(connection, schema="public", table=name)
            assert published is None
            assert why in obstacles[0].message


def test_a_hypertable_is_one_relation_cut_at_the_edges_of_its_chunks(postgres_each: Database, plan) -> None:
    postgres_each.run(HYPERTABLE + "ANALYZE")
    table = table_of(postgres_each, "hyper")
    assert (table.hypertable, table.own_heap, table.elsewhere) == (True, False, own_heap.HYPERTABLE)
    assert [(r.name, r.tree, r.heap) for r in table.relations] == [("hyper", True, False)]
    assert table.keys[0].columns == ("id", "ts")
    assert table.row_estimate == 5000 + 7000
    assert table.size_bytes > 50_000_000
    seen, kinds, number = ids(postgres_each, plan("hyper", "id v"), rows_per_chunk=1000)
    assert (seen, kinds, number) == (Counter(range(1, 5001)), {ChunkKind.KEYS}, 12)
    assert KeyLookup.of(table).versions is False
    with postgres_each.source_session() as connection:
        published, obstacles = fetch_publishable(connection, schema="public", table="hyper")
    assert published is None
    assert own_heap.HYPERTABLE in obstacles[0].message


def test_a_chunk_is_read_with_what_is_compressed_of_it(postgres: Database) -> None:
    postgres.run(HYPERTABLE)
    table = table_of(postgres, "_timescaledb_internal._hyper_1_1_chunk")
    assert (table.elsewhere, table.own_heap, table.relations[0].tree) == (own_heap.CHUNK, False, True)


@pytest.mark.parametrize(("kind", "edges"), [("int2", 3), ("int4", 3), ("int8", 3), ("date", 3), ("text", None)])
def test_the_column_that_cuts_may_be_of_any_type(postgres: Database, kind: str, edges: int | None) -> None:
    postgres.run(HYPERTABLE)
    postgres.run(f"CREATE TABLE other (id int, t {kind}); INSERT INTO _timescaledb_catalog.hypertable VALUES (2, 'public', 'other')")  # noqa: E501  # fmt: skip
    postgres.run("INSERT INTO _timescaledb_catalog.dimension VALUES (7, 2, 't', 10)")
    postgres.run("""INSERT INTO _timescaledb_catalog.dimension_slice VALUES
        (7, -9223372036854775808, 0), (7, 0, 100), (7, 100, 200), (7, 200, 9223372036854775807), (7, 200, 300),
        (7, 9000000000000000000, 9100000000000000000)""")
    with postgres.source_session() as connection:
        found = own_heap.fetch_slices(connection, table_of(postgres, "other"), rows_per_chunk=10)
    if edges is None:
        assert found is None
        return
    assert found is not None
    assert found.column == "t"
    assert len(found.edges) == (edges if kind == "int8" else 2)


@pytest.mark.parametrize(
    "catalog",
    [
        (
            "CREATE VIEW {0}.hypertable AS SELECT public.harm() AS id, 'public'::name AS schema_name, 't'::name AS "
            "table_name"
        ),
        (
            "CREATE DOMAIN public.dname AS name; "
            "CREATE TABLE {0}.hypertable (id int, schema_name public.dname, table_name name)"
        ),
        "CREATE TABLE {0}.hypertable (id int)",
        (
            "CREATE TABLE {0}.hypertable (id int, schema_name name, table_name name); "
            "ALTER TABLE {0}.hypertable ENABLE ROW LEVEL SECURITY; ALTER TABLE {0}.hypertable FORCE ROW LEVEL SECURITY"
        ),
    ],
)
def test_a_catalog_that_is_not_timescaledbs_is_left_alone(postgres: Database, catalog: str) -> None:
    """Whoever may make a schema may make one of that name: nothing of it runs as our role."""
    postgres.run("CREATE FUNCTION harm() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE 'ran'; END $$")
    postgres.run("CREATE TABLE t (id int PRIMARY KEY); CREATE SCHEMA _timescaledb_catalog")
    postgres.run("CREATE TABLE _timescaledb_catalog.chunk (id int, hypertable_id int, schema_name name, table_name name, compressed_chunk_id int)")  # noqa: E501  # fmt: skip
    postgres.run(catalog.format("_timescaledb_catalog"))
    assert table_of(postgres, "t").own_heap


def test_whoever_takes_a_scan_over_shows_in_its_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    class Asked:
        def execute(self, statement: Any) -> Any:
            return self

        def fetchone(self) -> Any:
            scan = {"Node Type": "Custom Scan", "Custom Plan Provider": "Columns", "Relation Name": "t"}
            return ([{"Plan": {"Node Type": "Append", "Plans": [{"Node Type": "Seq Scan"}, scan]}}],)

    asked: Any = Asked()
    assert own_heap.find_scans(asked, [("public", "t")]) == {
        ("public", "t"): "it is read by Columns, not by PostgreSQL's own scan"
    }


def test_who_reads_many_tables_is_asked_together_and_found_out_one_by_one() -> None:
    statements: list[str] = []

    class Asked:
        def execute(self, statement: Any) -> Any:
            statements.append(statement.as_string(None))
            return self

        def fetchone(self) -> Any:
            odd = '"t7"' in statements[-1]
            return ([{"Plan": {"Node Type": "Foreign Scan" if odd else "Seq Scan"}}],)

    asked: Any = Asked()
    tables = [("public", f"t{number}") for number in range(250)]
    assert list(own_heap.find_scans(asked, tables)) == [("public", "t7")]
    assert len(statements) == 3 + 100
    assert own_heap.find_scans(asked, []) == {}


def test_many_tables_are_scanned_by_one_plan_of_postgresql(postgres: Database) -> None:
    postgres.run("CREATE TABLE one (id int); CREATE TABLE two (a text, b text); CREATE VIEW three AS SELECT 1")
    with postgres.source_session() as session:
        assert own_heap.find_scans(session, [("public", name) for name in ("one", "two", "three")]) == {}


def test_a_table_whose_scan_is_taken_over_is_read_whole(
    postgres: Database, plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "gridferry.source.postgres.catalog.catalog.find_scans",
        lambda _, tables: dict.fromkeys(tables, "it is read by Columns"),
    )
    postgres.run("""
        CREATE TABLE p (id int) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (50);
        CREATE TABLE p2 PARTITION OF p DEFAULT; INSERT INTO p SELECT generate_series(1, 100)""")
    table = table_of(postgres, "p")
    assert [(r.name, r.heap, r.tree) for r in table.relations] == [("p", False, True)]
    assert ids(postgres, plan("p", "id"))[0] == Counter(range(1, 101))


COLUMN = GrowingColumn("id", "int4", Growth.NUMBER, lookback=10, nullable=False, indexed=True)


@pytest.mark.parametrize("made", ["TABLE t (id int PRIMARY KEY) USING heap2", "VIEW t AS SELECT id FROM base"])
def test_what_is_new_is_told_by_value_where_rows_tell_no_transaction(postgres: Database, plan, made: str) -> None:
    where = "base" if "VIEW" in made else "t"
    postgres.run(f"{HEAP2}; CREATE TABLE base (id int); CREATE {made}")
    postgres.run(f"INSERT INTO {where} SELECT generate_series(1, 100)")
    wanted = plan("t", "id", rows=100)

    def look(cursor: Any, *, sweep: bool = False) -> tuple[Any, Any]:
        with postgres.source.open_snapshot() as view:
            (table,) = view.fetch_tables(["t"])
            window = view.find_new(table, wanted, column=COLUMN, cursor=cursor, sweep=sweep)
            assert "xmin" not in window.condition
            return window, view.snapshot

    with postgres.source.open_snapshot() as view:
        cursor = first_cursor("id", view.snapshot)
    window, snapshot = look(cursor)
    assert (window.rows, window.fresh, window.ahead) == (100, 0, None)
    cursor = cursor.finished(snapshot, floor=window.floor, position=window.position, mark=window.mark)
    postgres.run(f"INSERT INTO {where} VALUES (101), (102)")
    window, snapshot = look(cursor)
    assert (window.rows, window.fresh, window.floor) == (13, 2, "90")
    window, _ = look(cursor, sweep=True)
    assert (window.rows, window.fresh, window.floor) == (102, 2, None)


def test_a_rewrite_below_a_view_ends_the_snapshot(postgres: Database) -> None:
    postgres.run("CREATE TABLE t (id int); INSERT INTO t VALUES (1); CREATE VIEW v AS SELECT id FROM t")
    with postgres.source.open_snapshot() as view:
        (table,) = view.fetch_tables(["v"])
        with postgres.connect() as other:
            other.execute("SET lock_timeout = '5s'")
            other.execute("TRUNCATE t")
        with pytest.raises(SnapshotGone, match=r"public\.t was rewritten"):
            view.plan_chunks(table, rows_per_chunk=10)


def test_rows_that_share_a_key_stand_by_their_values_where_they_have_no_place(postgres: Database, plan) -> None:
    postgres.run(f"""{HEAP2}; CREATE TABLE t (id int, v text) USING heap2;
        INSERT INTO t VALUES (1, 'b'), (1, 'a'), (2, 'x'), (1, 'c')""")
    wanted = plan("t", "id v", key=("id",), own_heap=False)
    with postgres.source.open_snapshot() as view, view.open_reader() as reader:
        rows = [row["v"] for batch in reader.read_duplicates(wanted) for row in batch.to_pylist()]
    assert rows == ["a", "b", "c"]


def test_a_list_of_tables_leaves_out_what_comes_with_another_and_says_so(postgres: Database) -> None:
    postgres.run(HYPERTABLE)
    postgres.run("""
        CREATE TABLE m (d int, ts date) PARTITION BY LIST (d); CREATE TABLE m_1 PARTITION OF m FOR VALUES IN (1)
            PARTITION BY RANGE (ts); CREATE TABLE m_1_24 PARTITION OF m_1 DEFAULT;
        CREATE TABLE log (id int); CREATE TABLE log_23 () INHERITS (log);
        CREATE TABLE log_24 (extra text) INHERITS (log);
        CREATE TABLE zero (); CREATE VIEW v AS SELECT 1 AS one""")
    listing = postgres.source.fetch_listing()
    assert [t.qualified for t in listing.tables] == ["public.hyper", "public.log", "public.m"]
    assert {each.why: each.tables for each in listing.left_out} == {
        "their rows come with public.hyper": (
            "_timescaledb_internal._hyper_1_1_chunk", "_timescaledb_internal._hyper_1_2_chunk",
        ),
        "their rows come with public.log, but not what only they have: extra of public.log_24": (
            "public.log_23", "public.log_24",
        ),
        "their rows come with public.m": ("public.m_1", "public.m_1_24"),
        "the extension timescaledb keeps them for itself": tuple(
            f"_timescaledb_catalog.{n}"
            for n in ("chunk", "compression_chunk_size", "dimension", "dimension_slice", "hypertable")
        ),
        "it has no columns": ("public.zero",),
    }  # fmt: skip


def test_parts_of_a_table_that_cannot_be_read_are_listed_themselves(postgres: Database) -> None:
    role = f"parts {postgres.name}"
    postgres.run(f'CREATE ROLE "{role}" LOGIN; CREATE TABLE log (id int); CREATE TABLE log_23 () INHERITS (log)')
    postgres.run(f'GRANT SELECT ON log_23 TO "{role}"')
    listing = PostgresSource(parse_address(postgres.dsn_as(role))).fetch_listing()
    assert [(t.qualified, bool(t.blocked)) for t in listing.tables] == [("public.log", True), ("public.log_23", False)]
    assert listing.left_out == ()
    postgres.run(f'DROP OWNED BY "{role}"; DROP ROLE "{role}"')
