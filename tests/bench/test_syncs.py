"""The measurements of syncs notice when the work was not done."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psycopg
import pyarrow as pa
import pytest
from bench.ferries import Ferry, followed
from bench.figures import RunFailed
from bench.latencies import Confirmed, Probe, check_probes
from bench.servers import NOBODY, PREFIX, clean_up, embedded_target, environment
from bench.tables import make_followed

from gridferry.checkpoint.state import TargetState
from gridferry.local.postgres import LocalPostgres
from gridferry.model.position import Lsn

ROOT = Path(__file__).parents[2]
ROWS = 60
NUMBER = "(extract(epoch FROM ts - timestamp '2024-01-01') * 1000)::int8"  # of a row, from its time


@pytest.fixture(scope="module")
def ferry() -> Iterator[Ferry]:
    pytest.importorskip("duckdb", reason="the embedded server needs the extra gridferry[embedded]")
    with LocalPostgres() as postgres, embedded_target() as target:
        table = make_followed(postgres.dsn(), devices=3, rows=ROWS, mode="cdc", name="bench_small")
        with followed(postgres, target, table) as made:
            yield made


def rows_in(ferry: Ferry, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(ferry.postgres.dsn()) as connection:
        return connection.execute(query.encode()).fetchall()


def test_the_writer_writes_what_it_says_and_tells_places_behind_its_commits(ferry: Ferry) -> None:
    asked = {"dsn": ferry.postgres.dsn(), "table": ferry.table.name, "first": ROWS, "rate": 1000, "seconds": 0.06}
    asked |= {"inserts": 15, "updates": 4, "deletes": 1}
    before = Lsn.parse(str(rows_in(ferry, "SELECT pg_current_wal_insert_lsn()::text")[0][0])).value
    done = subprocess.run(
        [sys.executable, "-m", "bench.change_writer"],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        env=environment(),
        cwd=ROOT,
        check=True,
    )
    told = json.loads(done.stdout)
    assert told["changes"] == 60
    times, places = zip(*told["commits"], strict=True)
    assert list(times) == sorted(times)
    found = [Lsn.parse(place).value for place in places]
    assert len(found) == 3
    assert before < found[0] < found[1] < found[2]
    # 60 loaded; 3 transactions of 15 inserts, 4 updates and 1 delete each.
    assert rows_in(ferry, f"SELECT count(*) FROM {ferry.table.name}") == [(ROWS + 3 * 15 - 3,)]
    changed = f"SELECT count(*) FROM {ferry.table.name} WHERE temp <> 15 + {NUMBER} % 150 / 10.0"
    assert rows_in(ferry, changed) == [(12,)]
    synced = ferry.sync()
    assert (synced["read"], synced["deleted"]) == (60, 3)
    # The last four updates are of rows that the first transaction inserted: one put each, if they come together.
    assert 53 <= synced["rows"] <= 57
    ferry.require_parity()


def test_a_row_that_is_missing_in_the_target_is_noticed(ferry: Ferry) -> None:
    ferry.sync()
    ferry.require_parity()
    ferry.require_parity(by_value=False)
    with ferry.target.connect() as store:
        container = store.open_container(f"{ferry.table.name}_d1")
        assert container is not None
        lost = container.query("select * limit 1").read_all().to_batches()[0]
        assert container.delete(lost.select(["ts"])) == 1
        for by_value in (True, False):
            with pytest.raises(RunFailed):
                ferry.require_parity(by_value=by_value)
        container.put(lost)
        changed = lost.set_column(2, "humidity", pa.array([-1.0]))
        container.put(changed)
        ferry.require_parity(by_value=False)
        with pytest.raises(RunFailed, match="differ"):
            ferry.require_parity()
        container.put(lost)
    ferry.require_parity()


def test_a_sync_that_fails_is_a_failed_run(ferry: Ferry) -> None:
    wrong = Ferry(ferry.postgres, ferry.target, make_followed(
        ferry.postgres.dsn(), devices=1, rows=1, mode="cdc", name="bench_unloaded"
    ))  # fmt: skip
    with pytest.raises(RunFailed, match="was not loaded"):
        wrong.sync()


def test_a_wait_ends_with_the_first_place_that_covers_it() -> None:
    confirmed = Confirmed([1.0, 2.0, 4.0], [100, 200, 300])
    assert np.array_equal(confirmed.when([50, 100, 101, 300]), [1.0, 1.0, 2.0, 4.0])


def test_a_row_confirmed_before_it_could_be_read_fails_the_run() -> None:
    confirmed = Confirmed([1.0, 2.0], [100, 200])
    check_probes([Probe(asked=0.5, place=150, missed=1.9, found=2.1)], confirmed)
    with pytest.raises(RunFailed, match="1 rows could not be read"):
        check_probes([Probe(asked=0.5, place=150, missed=2.05, found=2.1)], confirmed)


def test_cleaning_up_leaves_nothing_of_the_benchmark(ferry: Ferry) -> None:
    """The last one of this file: the others need what it takes away."""
    clean_up(ferry.target)
    with ferry.target.connect() as store:
        assert [name for name in store.container_names() if name.lower().startswith(PREFIX)] == []
        any_one = TargetState(store, lambda: NOBODY)
        states = [any_one.of(entry) for entry in any_one.registry.all()]
        assert states != []
        assert [(state.runs.all(), state.catalog.entries()) for state in states] == [([], [])]
