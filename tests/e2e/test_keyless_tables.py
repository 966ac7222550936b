"""Databases with tables that no key tells apart, as people have them: from `init` to `equal`, with no line edited."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import Database
from tests.e2e.ferry import Ferry
from typer.testing import CliRunner

from gridferry.cli.main import app
from gridferry.plan.config import load_config

# An event log with equal rows and NULL, unique indexes that prove nothing, and a table of one document.
EVENTS = """
CREATE TABLE event_log (at timestamptz, device text, level int, msg text);
INSERT INTO event_log VALUES ('2024-01-01', 'a', 1, 'boot'), ('2024-01-01', 'a', 1, 'boot'),
    ('2024-01-01', 'b', 1, 'boot'), (NULL, 'b', 2, 'x');
CREATE TABLE uq_null (code text UNIQUE, v int); INSERT INTO uq_null VALUES ('a', 1), (NULL, 2), (NULL, 3);
CREATE TABLE uq_part (code text NOT NULL, deleted_at timestamptz, v int);
CREATE UNIQUE INDEX ON uq_part (code) WHERE deleted_at IS NULL;
INSERT INTO uq_part VALUES ('a', now(), 1), ('a', NULL, 2);
CREATE TABLE uq_expr (email text NOT NULL, v int); CREATE UNIQUE INDEX ON uq_expr (lower(email));
INSERT INTO uq_expr VALUES ('A@x', 1), ('b@x', 2);
CREATE TABLE uq_defer (code text NOT NULL UNIQUE DEFERRABLE INITIALLY DEFERRED, v int);
INSERT INTO uq_defer VALUES ('a', 1);
CREATE TABLE one_row (setting jsonb); INSERT INTO one_row VALUES ('{"a": 1}');
CREATE TABLE nothing (a int);
"""
# Measurements without a key, as Zabbix keeps them, and a key that is too wide for GridDB.
MEASURED = f"""
CREATE TABLE history (itemid bigint NOT NULL, clock integer NOT NULL, value double precision NOT NULL, ns integer);
CREATE INDEX history_1 ON history (itemid, clock);
INSERT INTO history SELECT i, 1704067200 + s * 60, s, (s * 7919) % 1000000000
    FROM generate_series(23000, 23004) i, generate_series(1, 40) s;
CREATE TABLE wide ({", ".join(f"c{i} int" for i in range(17))}, v int,
    PRIMARY KEY ({", ".join(f"c{i}" for i in range(17))}));
INSERT INTO wide SELECT {", ".join(["g"] * 18)} FROM generate_series(1, 3) g;
"""


def taken_over(ferry: Ferry, postgres: Database, file: Path, schema: str) -> dict[str, object]:
    """Take a database over by what `init` writes. Returns the key of each table, as the file has it."""
    postgres.run(schema)
    env = {**ferry.env, "COLUMNS": "2000"}
    for arguments in (
        ["init", ferry.dsn, "--target", ferry.url, "-o", str(file)],
        ["plan", "-c", str(file)],
        ["load", "-c", str(file)],
        ["verify", "-c", str(file)],
    ):
        said = CliRunner().invoke(app, arguments, env=env)
        assert said.exit_code == 0, said.output
    return {options.table_name: options.key for options in load_config(file, env=env).tables}


def test_an_event_log_and_indexes_that_prove_nothing(ferry: Ferry, postgres: Database, tmp_path: Path) -> None:
    keys = taken_over(ferry, postgres, tmp_path / "made.yaml", EVENTS)
    assert set(keys.values()) == {"generated"}
    assert {name: len(ferry.rows(name)) for name in keys} == {
        "event_log": 4,
        "uq_null": 3,
        "uq_part": 2,
        "uq_expr": 2,
        "uq_defer": 1,
        "one_row": 1,
        "nothing": 0,
    }


def test_measurements_without_a_key_and_a_key_that_is_too_wide(
    ferry: Ferry, postgres: Database, tmp_path: Path
) -> None:
    keys = taken_over(ferry, postgres, tmp_path / "made.yaml", MEASURED)
    assert keys == {"history": ("itemid", "clock"), "wide": "generated"}
    assert [len(ferry.rows(name)) for name in ("history", "wide")] == [200, 3]


def test_rows_that_a_where_leaves_are_counted_as_often_as_they_are(ferry: Ferry, postgres: Database) -> None:
    """The options of someone who tried to make the event log fit, with a generated key: nothing is put aside."""
    postgres.run(EVENTS)
    entry = {"on_duplicate": "quarantine", "on_bad_row": "quarantine", "kind": "collection", "where": "at IS NOT NULL"}
    table = ferry.of({"table": "event_log", "key": "generated", **entry})
    (done,) = table.load()
    assert (done.rows, done.quarantined, done.superseded) == (3, 0, 0)
    assert table.equal()
    assert sorted(row["device"] for row in table.rows("event_log")) == ["a", "a", "b"]
