"""State that somebody changed in the target: refused by name or without effect, and never run at the source.

Documents as real runs left them get hostile values, one at a time; then a command is run. A canary stands in the
source: a table that nobody asked for, which must not be read.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from tests.conftest import Database
from tests.e2e.changes import READING, sync, without_slots
from tests.e2e.command import command
from tests.e2e.ferry import CATALOG, JOURNAL, OWN, QUARANTINE, STATE, Ferry
from tests.e2e.test_repair_rules import spoil
from tests.fuzz.hostile_json import HOSTILE, STRANGER, changed
from tests.readings import make_numbered_readings

from gridferry.griddb import Store

SECRET = "canary-7c1e-value"
NAMES = ["watermark", "cdc"]
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("status",),
    ("status", "--containers"),
    ("load",),
    ("sync",),
    ("verify",),
    ("verify", "--quick"),
    ("repair",),
    ("repairs",),
    ("quarantine", "replay"),
    ("drop-slot",),
    ("cutover",),
)
BODIES = (b"", b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b"[]", b"5", b'{"version": 1}', b'{"version": NaN}')


@pytest.fixture(params=NAMES)
def standing(request: pytest.FixtureRequest, ferry: Ferry, postgres: Database, tmp_path: Path) -> Iterator[Ferry]:
    """A table that was loaded, followed, verified and repaired, with a row in the quarantine; and the canary."""
    make_numbered_readings(postgres)
    postgres.run("INSERT INTO reading VALUES (100, 'd0', 5, repeat('x', 40000))")
    postgres.run("CREATE TABLE canary (device text, secret text)")
    postgres.run(f"INSERT INTO canary VALUES ('d0', '{SECRET}')")
    mode = {"mode": "cdc"} if request.param == "cdc" else {"mode": "watermark", "column": "k"}
    where = "" if request.param == "cdc" else "k < 1000"
    ferry = ferry.of({**READING, "sync": mode, "on_bad_row": "quarantine", "where": where})
    with without_slots(postgres):
        postgres.run(f"SELECT pg_create_logical_replication_slot('{STRANGER}', 'pgoutput')")
        ferry.load()
        postgres.run("INSERT INTO reading VALUES (200, 'd0', 6, 'later')")
        sync(ferry)
        spoil(ferry)
        assert command(ferry, tmp_path, "repair").code in (0, 1)  # one row is in the quarantine
        yield ferry


def rows_of(store: Store) -> dict[str, pa.Table]:
    """All rows of gridferry's own containers."""
    opened = store.open_containers(list(OWN))
    return {n: c.scan().read_all().combine_chunks() for n, c in opened.items() if c is not None}


def put_back(store: Store, rows: dict[str, pa.Table]) -> None:
    """What stood in gridferry's own containers stands there again, and nothing else."""
    for name, container in store.open_containers(list(OWN)).items():
        if container is None:
            continue
        for batch in container.scan().read_all().combine_chunks().to_batches():
            container.delete(batch.select(container.schema.key_schema.arrow_schema.names))
        for batch in rows[name].to_batches() if name in rows else []:
            container.put(batch)


def spoiled(store: Store, rows: dict[str, pa.Table], chance: random.Random) -> str:
    """Change one row of one of gridferry's own containers. Returns what was done, for a failure's message."""
    name = chance.choice([STATE, STATE, STATE, CATALOG, QUARANTINE, JOURNAL])
    if name not in rows or not len(rows[name]):
        name = STATE
    table = rows[name]
    row = table.slice(chance.randrange(len(table)), 1).to_pylist()[0]
    container = store.open_container(name)
    assert container is not None
    schema = container.schema
    keys = set(schema.key_schema.arrow_schema.names)
    if name == STATE:
        document = changed(json.loads(row["body"]), chance)
        row["body"] = chance.choice(BODIES) if chance.random() < 0.1 else json.dumps(document).encode()
        what = f"{row['scope']} {row['item']}: {row['body'][:3000]!r}"
    else:
        column = chance.choice([f for f in schema.arrow_schema if f.name not in keys])
        texts = [v for v in HOSTILE if isinstance(v, str) and "\0" not in v and v.isascii() and len(v) < 30_000]
        if pa.types.is_string(column.type):
            row[column.name] = chance.choice([None, *texts])
        elif pa.types.is_binary(column.type):
            row[column.name] = chance.choice([None, b"", b"\xff" * 100, b"[[1]]", row[column.name][:50]])
        what = f"{name} {column.name}: {row[column.name]!r}"
    container.put(pa.RecordBatch.from_pylist([row], schema=schema.arrow_schema))
    container.flush()
    return what


@pytest.mark.parametrize("seed", range(12))
def test_changed_state_is_refused_or_without_effect(
    standing: Ferry, postgres: Database, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    containers = {name: sorted(map(repr, standing.rows(name))) for name in standing.names()}
    source = postgres.run("SELECT * FROM reading ORDER BY device, k")
    run = next(r for r in standing.rows(STATE) if "repair:" in r["scope"])["scope"].rpartition(":")[2]
    with standing.store() as store:
        rows = rows_of(store)
        for _ in range(6):
            what = spoiled(store, rows, chance)
            arguments = chance.choice([*COMMANDS, ("undo", run)])
            said = command(standing, tmp_path, *arguments)
            told = f"{what}\n{arguments}\n{said.text}"
            assert SECRET not in said.text, told
            assert said.code in (0, 1, 2, 3, 4, 5, 6, 70, 75), told
            if arguments[0] != "undo" or said.code != 0:
                now = {name: sorted(map(repr, standing.rows(name))) for name in standing.names()}
                assert now == containers, told
            assert postgres.run("SELECT * FROM reading ORDER BY device, k") == source, told
            assert postgres.run("SELECT secret FROM canary") == [(SECRET,)], told
            slots = postgres.run(f"SELECT 1 FROM pg_replication_slots WHERE slot_name = '{STRANGER}'")
            assert len(slots) == 1, told
            put_back(store, rows)
            if arguments[0] in ("drop-slot", "undo"):
                break  # the source's slot or the target's rows are not as they were
