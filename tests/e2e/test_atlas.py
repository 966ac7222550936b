"""Every type of a fresh PostgreSQL, loaded without a word in the config, comes back from GridDB as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
from psycopg import sql
from tests.atlas import EXTENSIONS, FLAT, OWN, USER_VALUES, VALUES, way_back
from tests.conftest import Database, database_on
from tests.e2e.ferry import Ferry

from gridferry.local.postgres import LocalPostgres

# Types that can be a column's, but for pseudo-types, composites of the catalogs and domains of information_schema.
ALL = """
SELECT t.typname::text, format_type(t.oid, NULL), coalesce(i.typname, '')::text
FROM pg_type t LEFT JOIN pg_type i ON i.oid = t.typelem AND i.typarray = t.oid
WHERE t.typtype IN ('b', 'e', 'r', 'm') AND t.typnamespace = 'pg_catalog'::regnamespace
  AND (i.oid IS NULL OR i.typtype IN ('b', 'e', 'r', 'm'))
ORDER BY 1
"""
ORDERED = """
SELECT DISTINCT t.typname::text, format_type(t.oid, NULL) FROM pg_opclass o JOIN pg_am a ON a.oid = o.opcmethod
JOIN pg_type t ON t.oid = o.opcintype
WHERE a.amname = 'btree' AND o.opcdefault AND t.typtype = 'b' AND t.typnamespace = 'pg_catalog'::regnamespace ORDER BY 1
"""


def literals(name: str, element: str, *, without: frozenset[str] = frozenset()) -> list[str]:
    """Values of a type; of an array type an empty one, one of all its element's values, and two dimensions.

    None of the types `without`, of which the server can make no value.
    """
    if (element or name) in without:
        return []
    return literals_of_array(VALUES[element], join=";" if element == "box" else ",") if element else list(VALUES[name])


def literals_of_array(values: Sequence[str], *, join: str = ",") -> list[str]:
    quoted = ['"' + v.replace("\\", "\\\\").replace('"', '\\"') + '"' for v in values]
    return ["{}", "{" + join.join(quoted) + "}", f"{{{{{quoted[0]}}}{join}{{NULL}}}}", f"[3:3]={{{quoted[0]}}}"]


def fill(postgres: Database, columns: dict[str, tuple[str, list[str]]]) -> None:
    """A table `atlas` with columns by name: their types, and their values from the first row on."""
    declared = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind)) for name, (kind, _) in columns.items()
    )
    postgres.connection.execute(sql.SQL("CREATE TABLE atlas (id int PRIMARY KEY, {})").format(declared))
    rows = max(len(values) for _, values in columns.values()) + 1  # and one of NULLs
    for row in range(rows):
        given = {name: (kind, values[row]) for name, (kind, values) in columns.items() if row < len(values)}
        postgres.connection.execute(
            sql.SQL("INSERT INTO atlas (id, {}) VALUES ({}, {})").format(
                sql.SQL(", ").join(map(sql.Identifier, given)) if given else sql.SQL("id"),
                sql.Literal(row),
                sql.SQL(", ").join(
                    sql.SQL("{}::{}").format(sql.Literal(value), sql.SQL(kind)) for kind, value in given.values()
                ),
            )
            if given
            else sql.SQL("INSERT INTO atlas (id) VALUES ({})").format(sql.Literal(row))
        )


def differing(ferry: Ferry, postgres: Database, table: str = "atlas") -> Iterator[str]:
    """Columns of which a value in GridDB is not, read by PostgreSQL, the value that the row has there."""
    with ferry.migration() as migration:
        (plan,) = (t for t in migration.plan().tables if t.table == table)
    stored = sorted(ferry.rows(table), key=lambda row: row[plan.columns[0].target.name])
    postgres.run("SET lc_monetary = 'C'; SET bytea_output = hex; SET timezone = 'UTC'; SET extra_float_digits = 3")
    for column in plan.columns:
        backs = [way_back(column, row[column.target.name]) for row in stored]
        # As constants, which go through the type's input function: a cast of a text may be something else (regclass).
        read = [
            sql.SQL("({}, {}::{})").format(n, sql.Literal(back), sql.SQL(column.pg_type))
            for n, back in enumerate(backs, 1)
        ]
        # By their text, as some types have no equality and -0 is not 0; of a decimal without a scale the number counts
        as_text = "" if column.pg_type == "numeric" else "::text"
        same = sql.SQL(
            f"SELECT count(*) FILTER (WHERE a.v{as_text} IS NOT DISTINCT FROM b.v{as_text}), count(*)"
            " FROM (SELECT {} AS v, row_number() OVER (ORDER BY {}) AS n FROM {}) a JOIN (VALUES {}) b(n, v) USING (n)"
        ).format(
            sql.Identifier(column.source),
            sql.SQL(", ").join(map(sql.Identifier, plan.key)),
            sql.Identifier(table),
            sql.SQL(", ").join(read),
        )
        ((equal, count),) = postgres.connection.execute(same).fetchall()
        if not equal == count == len(stored) > 0:
            yield f"{column.source}: {count - equal} of {count} differ, {column.kernel.value}, {backs}"


def has_xml(postgres: Database) -> bool:
    """Whether the server was built with libxml; the wheel's was not."""
    ((options,),) = postgres.run("SELECT setting FROM pg_config WHERE name = 'CONFIGURE'")
    return "--with-libxml" in options


@pytest.fixture(params=[18, 16])
def fresh(request: pytest.FixtureRequest, postgres_of: Callable[[int], LocalPostgres]) -> Iterator[Database]:
    """A database of a version that other tests do not ask for, too."""
    yield from database_on(postgres_of(request.param))


def test_every_type_of_postgresql_has_a_rule_and_comes_back_as_it_was(fresh: Database, ferry: Ferry) -> None:
    types = [(name, kind, element) for name, kind, element in fresh.run(ALL) if (element or name) not in OWN]
    missing = {element or name for name, _, element in types} - VALUES.keys()
    assert not missing, f"types without values in tests/atlas.py: {sorted(missing)}"
    without = frozenset() if has_xml(fresh) else frozenset({"xml"})
    columns = {name: (kind, literals(name, element, without=without)) for name, kind, element in types}
    kinds = {name: kind for name, kind, _ in types}
    fill(fresh, columns | {f"flat_{n}": (f"{kinds[n]}[]", literals_of_array(v)[:2]) for n, v in FLAT.items()})
    ferry = Ferry(fresh.dsn, ferry.server, ferry.database).of(
        {"table": "atlas", **({"sync": {"mode": "cdc"}} if fresh.version >= 18 else {})}
    )
    ferry.load()
    with ferry.migration() as migration:
        (plan,) = migration.plan().tables
    assert {c.source for c in plan.columns if c.target.array} == {f"flat_{name}" for name in FLAT}
    assert ferry.equal()
    assert list(differing(ferry, fresh)) == []
    if fresh.version < 18:
        return  # for the types alone
    fresh.run("UPDATE atlas SET id = id + 100")  # now every row comes from the log
    with ferry.migration() as migration:
        migration.syncs.sync()
    assert ferry.equal()
    assert list(differing(ferry, fresh)) == []


def test_types_of_users_and_extensions_come_back_as_they_were(postgres: Database, ferry: Ferry) -> None:
    here = {name for (name,) in postgres.run("SELECT name FROM pg_available_extensions")}
    extensions = {name: values for name, values in EXTENSIONS.items() if name in here}
    for name in extensions:
        postgres.run(f"CREATE EXTENSION {name}")
    postgres.run("CREATE TYPE mood AS ENUM ('fine', 'so, so'); CREATE TYPE pair AS (a int, b text)")
    postgres.run(
        "CREATE DOMAIN address AS inet; CREATE DOMAIN pairs AS pair[]; CREATE TYPE floats AS RANGE (subtype = float8)"
    )
    columns = {name: (name, list(values)) for name, values in {**extensions, **USER_VALUES}.items()}
    columns |= {
        f"{name}s": (f"{name}[]", literals_of_array(values)) for name, (_, values) in columns.items() if name != "pairs"
    }
    fill(postgres, columns)
    ferry = ferry.of("atlas")
    ferry.load()
    assert ferry.equal()
    postgres.run("SET search_path = pg_catalog, public")
    assert list(differing(ferry, postgres)) == []


def test_every_type_that_can_be_a_primary_key_can_be_in_a_row_key(postgres: Database, ferry: Ferry) -> None:
    types = [(name, kind) for name, kind in postgres.run(ORDERED) if name in VALUES]
    tables = {f"k{start}": dict(types[start : start + 16]) for start in range(0, len(types), 16)}
    for table, columns in tables.items():
        declared = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
        names = ", ".join(f'"{name}"' for name in columns)
        postgres.run(f"CREATE TABLE {table} ({declared}, PRIMARY KEY ({names}))")
        for n in range(max(len(VALUES[name]) for name in columns)):
            row = [
                sql.SQL("{}::{}").format(sql.Literal(VALUES[name][n % len(VALUES[name])]), sql.SQL(kind))
                for name, kind in columns.items()
            ]
            postgres.connection.execute(sql.SQL(f"INSERT INTO {table} VALUES ({{}})").format(sql.SQL(", ").join(row)))
    ferry = ferry.of(*tables)
    ferry.load()
    assert ferry.equal()
    assert len(types) > 25
