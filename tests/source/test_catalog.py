"""Tables as a real PostgreSQL describes them, with names and types that are meant to be awkward."""

from __future__ import annotations

import psycopg
import pytest

from gridferry.errors import SourceRefused
from gridferry.model.table import TypeKind
from gridferry.source.postgres.session.connection import parse_address
from gridferry.source.postgres.source import PostgresSource

HOSTILE = ['we"ird', "dotted.schema", "Ünïcödé ✓", "select", "a b", "semi;colon--", "per%cent %s", "brace{}", "'quote'"]


def test_hostile_names_are_found_exactly_and_described(postgres_each):
    for i, name in enumerate(HOSTILE):
        quoted = '"' + name.replace('"', '""') + '"'
        postgres_each.run(f"CREATE SCHEMA {quoted}")
        postgres_each.run(f"CREATE TABLE {quoted}.{quoted} ({quoted} int PRIMARY KEY, other text)")
        postgres_each.run(f"INSERT INTO {quoted}.{quoted} SELECT g FROM generate_series(1, {i + 1}) g")
    source = postgres_each.source
    written = ['"{0}"."{0}"'.format(n.replace('"', '""')) for n in HOSTILE]
    tables = source.fetch_tables(written)
    assert [(t.schema, t.name) for t in tables] == [(n, n) for n in HOSTILE]
    assert all(t.columns[0].name == t.name and t.keys[0].columns == (t.name,) for t in tables)
    listed = {(t.schema, t.name) for t in source.fetch_tables()}
    assert listed == {(n, n) for n in HOSTILE}


def test_unquoted_names_are_taken_as_written_then_folded(postgres):
    postgres.run('CREATE TABLE "Device" (a int); CREATE TABLE sensor (a int); CREATE TABLE "Weird Table" (a int)')
    postgres.run('CREATE SCHEMA "my.schema"; CREATE TABLE "my.schema"."t.x" (a int)')
    found = postgres.source.fetch_tables(["public.Device", "SENSOR", "Weird Table", "my.schema.t.x", "public.Sensor"])
    assert [t.qualified for t in found] == [
        "public.Device", "public.sensor", "public.Weird Table", "my.schema.t.x", "public.sensor",
    ]  # fmt: skip


def test_a_name_of_two_meanings_is_refused(postgres):
    postgres.run('CREATE SCHEMA "a.b"; CREATE TABLE "a.b".c (x int); CREATE SCHEMA a; CREATE TABLE a."b.c" (x int)')
    with pytest.raises(SourceRefused, match="ambiguous"):
        postgres.source.fetch_tables(["a.b.c"])
    assert postgres.source.fetch_tables(['"a.b".c'])[0].schema == "a.b"


def test_the_search_path_decides_between_schemas(postgres):
    postgres.run("CREATE SCHEMA s1; CREATE SCHEMA s2; CREATE TABLE s1.t (one int); CREATE TABLE s2.t (two int)")
    postgres.run(f'ALTER DATABASE "{postgres.name}" SET search_path = s2, s1')
    assert postgres.source.fetch_tables(["t"])[0].schema == "s2"


def test_every_missing_table_is_named_with_near_ones(postgres):
    postgres.run("CREATE TABLE device (a int); CREATE TABLE measurements (a int)")
    with pytest.raises(SourceRefused) as caught:
        postgres.source.fetch_tables(["public.devise", "nothing_like_it", "measurement"])
    message = caught.value.message
    assert "public.devise (did you mean public.device?)" in message
    assert "there is no table nothing_like_it;" in message
    assert "public.measurements" in message


def test_types_domains_typmods_and_nullability(postgres_each):
    postgres_each.run("CREATE TYPE mood AS ENUM ('sad', 'ok')")
    postgres_each.run("CREATE DOMAIN price AS numeric(8, 3)")
    postgres_each.run("CREATE DOMAIN sure_price AS price NOT NULL")
    postgres_each.run("CREATE DOMAIN feeling AS mood; CREATE DOMAIN tags AS text[]; CREATE TYPE pair AS (a int, b int)")
    postgres_each.run("""
        CREATE TABLE t (
            i2 smallint, i4 int NOT NULL, i8 bigint, f4 real, f8 float8, n numeric, n2 numeric(10, 2),
            b boolean, tx text, vc varchar(30), ch char(5), bya bytea, d date, ts timestamp,
            ts3 timestamp(3), tz timestamptz, u uuid, j json, jb jsonb, en mood, dom price, dom2 sure_price,
            domen feeling, arr int[], domarr tags, comp pair, rng int4range,
            gen int GENERATED ALWAYS AS (i4 * 2) STORED, gone int)""")
    postgres_each.run("ALTER TABLE t DROP COLUMN gone")
    columns = {c.name: c for c in postgres_each.source.fetch_tables(["t"])[0].columns}
    names = {name: c.type.name for name, c in columns.items()}
    assert names == {
        "i2": "int2", "i4": "int4", "i8": "int8", "f4": "float4", "f8": "float8", "n": "numeric", "n2": "numeric",
        "b": "bool", "tx": "text", "vc": "varchar", "ch": "bpchar", "bya": "bytea", "d": "date",
        "ts": "timestamp", "ts3": "timestamp", "tz": "timestamptz", "u": "uuid", "j": "json", "jb": "jsonb",
        "en": "mood", "dom": "numeric", "dom2": "numeric", "domen": "mood", "arr": "_int4", "domarr": "_text",
        "comp": "pair", "rng": "int4range", "gen": "int4",
    }  # fmt: skip
    n2, dom2 = columns["n2"].type, columns["dom2"].type
    assert (n2.precision, n2.scale, n2.formatted) == (10, 2, "numeric(10,2)")
    assert (dom2.precision, dom2.scale, dom2.domain, dom2.formatted) == (8, 3, "sure_price", "public.sure_price")
    assert (columns["vc"].type.length, columns["ch"].type.length, columns["tx"].type.length) == (30, 5, None)
    assert (columns["ts3"].type.precision, columns["ts"].type.precision) == (3, None)
    kinds = {name: c.type.kind for name, c in columns.items()}
    assert [kinds[n] for n in ("en", "domen")] == [TypeKind.ENUM] * 2
    assert [kinds[n] for n in ("arr", "domarr")] == [TypeKind.ARRAY] * 2
    assert [kinds[n] for n in ("comp", "rng")] == [TypeKind.OTHER] * 2
    assert kinds["dom2"] is TypeKind.BASE
    assert {n for n, c in columns.items() if not c.nullable} == {"i4", "dom2"}
    assert {n for n, c in columns.items() if c.generated} == {"gen"}


def test_a_scale_below_zero(postgres_each):
    postgres_each.needs(15, "numeric with a scale below zero")
    postgres_each.run("CREATE TABLE t (n numeric(5, -2))")
    ((column,),) = (table.columns for table in postgres_each.source.fetch_tables(["t"]))
    assert (column.type.name, column.type.precision, column.type.scale) == ("numeric", 5, -2)


def test_a_type_that_shadows_a_built_in_name_does_not_pass_for_it(postgres):
    postgres.run("CREATE SCHEMA own; CREATE TYPE own.text AS ENUM ('x'); CREATE TABLE t (a own.text, b text)")
    a, b = postgres.source.fetch_tables(["t"])[0].columns
    assert (a.type.name, b.type.name) == ("own.text", "text")


def test_only_indexes_that_prove_uniqueness_are_keys(postgres_each):
    postgres_each.run("""
        CREATE TABLE t (a int, b int NOT NULL, c int, d int, e text, f int, g int, PRIMARY KEY (b, a),
                        UNIQUE (c) INCLUDE (d), UNIQUE (f) DEFERRABLE)""")
    postgres_each.run("CREATE UNIQUE INDEX partial ON t (d) WHERE d > 0; CREATE UNIQUE INDEX e ON t (lower(e))")
    postgres_each.run("CREATE INDEX plain ON t (e, d)")
    table = postgres_each.source.fetch_tables(["t"])[0]
    assert [(k.columns, k.primary, k.nulls_distinct) for k in table.keys] == [
        (("b", "a"), True, True), (("c",), False, True),
    ]  # fmt: skip
    assert table.indexed == {"b", "c", "e", "f"}


def test_a_key_under_which_nulls_are_equal(postgres_each):
    postgres_each.needs(15, "UNIQUE NULLS NOT DISTINCT")
    postgres_each.run("CREATE TABLE t (g int, UNIQUE NULLS NOT DISTINCT (g))")
    (table,) = postgres_each.source.fetch_tables(["t"])
    assert [(k.columns, k.primary, k.nulls_distinct) for k in table.keys] == [(("g",), False, False)]
    assert table.indexed == {"g"}


def test_sizes_and_estimates(postgres_each):
    postgres_each.run("CREATE TABLE t (a int, pad text)")
    postgres_each.run("INSERT INTO t SELECT g, repeat('x', 100) FROM generate_series(1, 10000) g")
    never = postgres_each.source.fetch_tables(["t"])[0]
    assert never.size_bytes > 1_000_000
    assert 5_000 < never.row_estimate < 30_000  # reltuples is -1: guessed from the pages
    postgres_each.run("ANALYZE t")
    postgres_each.run("INSERT INTO t SELECT g, repeat('x', 100) FROM generate_series(1, 10000) g")
    later = postgres_each.source.fetch_tables(["t"])[0]
    assert 19_000 < later.row_estimate < 21_000  # grows with the pages since ANALYZE


def test_partitions_are_leaves_also_below_partitions(postgres_each):
    postgres_each.run("""
        CREATE TABLE p (k int, v int, PRIMARY KEY (k, v)) PARTITION BY RANGE (k);
        CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
        CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20) PARTITION BY LIST (v);
        CREATE TABLE p2a PARTITION OF p2 FOR VALUES IN (1);
        CREATE TABLE p2b PARTITION OF p2 DEFAULT;
        CREATE TABLE empty (k int) PARTITION BY RANGE (k)""")
    table, empty = postgres_each.source.fetch_tables(["p", "empty"])
    assert [r.name for r in table.relations] == ["p1", "p2a", "p2b"]
    assert table.keys[0].columns == ("k", "v")
    assert empty.relations == ()
    assert [t.name for t in postgres_each.source.fetch_tables()] == ["empty", "p"]


def test_inheritance_children_are_relations_and_the_parents_key_proves_nothing(postgres):
    postgres.run("CREATE TABLE parent (a int PRIMARY KEY); CREATE TABLE child (b int) INHERITS (parent)")
    parent = postgres.source.fetch_tables(["parent"])[0]
    assert [r.name for r in parent.relations] == ["child", "parent"]
    assert parent.keys == ()


def test_views_matviews_and_foreign_tables(postgres):
    postgres.run("""
        CREATE TABLE t (a int); INSERT INTO t VALUES (1);
        CREATE VIEW v AS SELECT a + 1 AS b FROM t; CREATE MATERIALIZED VIEW m AS SELECT a FROM t;
        CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE f (a int) SERVER s;
        CREATE SEQUENCE seq""")
    v, m, f = postgres.source.fetch_tables(["v", "m", "f"])
    assert [(t.relkind, t.relations[0].heap) for t in (v, m, f)] == [("v", False), ("m", True), ("f", False)]
    assert v.columns[0].name == "b"
    assert [t.name for t in postgres.source.fetch_tables()] == ["f", "t"]
    with pytest.raises(SourceRefused, match="seq is not a table"):
        postgres.source.fetch_tables(["seq"])


@pytest.fixture
def nobody(postgres):
    """A source that logs in as a role without rights."""
    role = f"no rights {postgres.name}"
    postgres.run(f'CREATE ROLE "{role}" LOGIN')
    yield PostgresSource(parse_address(postgres.dsn_as(role)))
    postgres.run(f'DROP OWNED BY "{role}"; DROP ROLE "{role}"')


def test_a_table_without_select_is_refused_with_the_grant(postgres, nobody):
    postgres.run('CREATE TABLE "T" (a int); CREATE SCHEMA closed; CREATE TABLE closed.t (a int)')
    with pytest.raises(SourceRefused) as caught:
        nobody.fetch_tables(["T", "closed.t"])
    assert "may not read the table public.T" in caught.value.message
    assert "may not use the schema closed" in caught.value.message
    postgres.run(caught.value.next_step)  # the advice works as it stands
    assert len(nobody.fetch_tables(["T", "closed.t"])) == 2


def test_a_list_of_all_tables_marks_those_it_cannot_read(postgres, nobody):
    postgres.run("CREATE TABLE mine (a int); CREATE TABLE yours (a int)")
    postgres.run(f'GRANT SELECT ON mine TO "{nobody.address.user}"')
    assert {t.name: bool(t.blocked) for t in nobody.fetch_tables()} == {"mine": False, "yours": True}


def test_row_security_is_refused_for_it_would_hide_rows(postgres, nobody):
    role = nobody.address.user
    postgres.run("CREATE TABLE t (a int); ALTER TABLE t ENABLE ROW LEVEL SECURITY")
    postgres.run(f'GRANT SELECT ON t TO "{role}"')
    with pytest.raises(SourceRefused, match=r"row-level security hides rows of the table public\.t"):
        nobody.fetch_tables(["t"])
    assert postgres.source.fetch_tables(["t"])[0].blocked == ""  # a superuser sees every row


def test_row_security_switched_on_after_the_check_is_an_error_not_fewer_rows(postgres, nobody, plan):
    role = nobody.address.user
    postgres.run(f'CREATE TABLE t (a int); INSERT INTO t VALUES (1); GRANT SELECT ON t TO "{role}"')
    with nobody.open_snapshot() as held:
        assert held.count_rows(plan("t", "a")) == {None: 1}
    postgres.run("ALTER TABLE t ENABLE ROW LEVEL SECURITY")
    with nobody.open_snapshot() as held, pytest.raises(SourceRefused, match="row-level security") as caught:
        held.count_rows(plan("t", "a"))
    assert "BYPASSRLS" in caught.value.next_step


def test_partitions_behind_their_table_are_read_through_it(postgres, nobody):
    role = nobody.address.user
    postgres.run("CREATE TABLE p (k int) PARTITION BY LIST (k); CREATE TABLE p1 PARTITION OF p DEFAULT")
    postgres.run(f'GRANT SELECT ON p TO "{role}"')
    (relation,) = nobody.fetch_tables(["p"])[0].relations
    assert (relation.name, relation.tree) == ("p", True)
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute(psycopg.sql.SQL("GRANT SELECT ON p1 TO {}").format(psycopg.sql.Identifier(role)))
    assert [r.name for r in nobody.fetch_tables(["p"])[0].relations] == ["p1"]
