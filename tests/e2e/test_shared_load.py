"""One load shared by several processes: buckets under snapshots of their own, in any order, killed and done again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.conftest import Database
from tests.e2e.ferry import OWN, Ferry, kept_in
from tests.e2e.sensors import CHUNK, TABLE, add_sensors, assert_arrived, make_sensors

from gridferry.checkpoint.lease import Lease
from gridferry.engine.events import BucketLoad, PreparedLoad
from gridferry.engine.migration import Migration
from gridferry.errors import CheckpointError, ConfigError, LeaseHeld, PlanError
from gridferry.griddb import Container, Store

NAME = "sensor"
OF = 4
SYNCED = {**TABLE, "sync": {"mode": "watermark"}}
FOLLOWED = {**TABLE, "sync": {"mode": "cdc"}}
# Rows move to the end of the heap, to pages of finished chunks, and away; values change; a device is new.
CHANGES = (
    "UPDATE sensor SET temp = -1 WHERE n % 7 = 0",
    "INSERT INTO sensor SELECT ts, 'new device', n, temp, note FROM sensor WHERE n < 50",
    "UPDATE sensor SET note = 'moved' WHERE n % 11 = 0",
)


def prepare(ferry: Ferry, **options: bool) -> PreparedLoad:
    with ferry.migration() as migration:
        return migration.loads.prepare(NAME, rows_per_chunk=CHUNK, **options)


def bucket(ferry: Ferry, number: int, *, of: int = OF) -> BucketLoad:
    with ferry.migration() as migration:
        return migration.loads.load_bucket(NAME, bucket=number, of=of)


def finish(ferry: Ferry) -> str:
    with ferry.migration() as migration:
        return migration.loads.finish(NAME, rows_per_chunk=CHUNK).outcome


def state(ferry: Ferry) -> str:
    with ferry.migration() as migration:
        return migration.status.tables()[0].state


def test_buckets_read_at_different_times_end_as_the_source_is_at_the_end(ferry: Ferry, postgres: Database) -> None:
    make_sensors(postgres)
    ferry = ferry.of(SYNCED)
    prepared = prepare(ferry)
    assert (prepared.outcome, prepared.waiting) == ("prepared", prepared.chunks)
    assert prepared.waiting > OF
    done = []
    for number, change in zip((2, 0, 3), CHANGES, strict=True):
        done.append(bucket(ferry, number))
        postgres.run(change)
    done.append(bucket(ferry, 1))
    assert {each.outcome for each in done} == {"loaded"}
    assert sum(each.chunks for each in done) == prepared.waiting
    assert state(ferry) == "interrupted"
    assert finish(ferry) == "resumed"
    assert state(ferry) == "loaded"
    assert_arrived(ferry, postgres)
    add_sensors(postgres, 5000, 5100)
    with ferry.migration() as migration:
        assert migration.syncs.sync()[0].rows == 100
    assert_arrived(ferry, postgres)


def test_buckets_at_the_same_time(ferry: Ferry, postgres: Database) -> None:
    make_sensors(postgres)
    ferry = ferry.of(TABLE)
    prepare(ferry)
    # All of them meet it, and none has it in its plan.
    postgres.run("INSERT INTO sensor SELECT ts, 'new device', n, temp, note FROM sensor")
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            bucket(ferry, number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(OF)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    finish(ferry)
    assert_arrived(ferry, postgres)


def test_every_step_again_does_nothing(ferry: Ferry, postgres: Database) -> None:
    make_sensors(postgres)
    ferry = ferry.of(TABLE)
    prepare(ferry)
    bucket(ferry, 0)
    assert bucket(ferry, 0).outcome == "nothing left"
    again = prepare(ferry)
    assert (again.outcome, again.waiting < again.chunks) == ("resumed", True)
    assert bucket(ferry, 0).outcome == "nothing left"
    for number in range(1, OF):
        bucket(ferry, number)
    assert finish(ferry) == "resumed"
    assert finish(ferry) == "already loaded"
    assert bucket(ferry, 0).outcome == "already loaded"
    assert prepare(ferry).outcome == "already loaded"
    assert_arrived(ferry, postgres)


def test_the_end_reads_what_buckets_left(ferry: Ferry, postgres: Database) -> None:
    make_sensors(postgres)
    ferry = ferry.of(TABLE)
    prepare(ferry)
    bucket(ferry, 1)
    finish(ferry)
    assert_arrived(ferry, postgres)


def test_a_table_that_was_rewritten_meanwhile(ferry: Ferry, postgres: Database) -> None:
    make_sensors(postgres)
    ferry = ferry.of(TABLE)
    prepare(ferry)
    bucket(ferry, 0)
    postgres.run("DELETE FROM sensor WHERE n = 17")
    postgres.run("INSERT INTO sensor SELECT ts, device, n, 5, note FROM generate_series(0, 0), "
                 "(VALUES (timestamp '2021-01-01', 'b8:27', 17::bigint, 'x')) AS v(ts, device, n, note)")  # fmt: skip
    postgres.run("CLUSTER sensor USING sensor_pkey")
    assert bucket(ferry, 1).chunks == 0
    with ferry.migration() as migration:
        load = migration.loads.finish(NAME, rows_per_chunk=CHUNK)
    assert load.rows == 3000
    # The row that was deleted had come with bucket 0; the counts tell of it.
    assert load.notes
    assert any("1 rows that the source no longer has" in note for note in load.notes)


def test_an_empty_table(ferry: Ferry, postgres: Database) -> None:
    make_sensors(postgres, rows=0)
    ferry = ferry.of(TABLE)
    prepared = prepare(ferry)
    for number in range(prepared.waiting):
        bucket(ferry, number, of=prepared.waiting)
    finish(ferry)
    assert state(ferry) == "loaded"
    assert ferry.names() == []


def test_changes_between_buckets_come_again_in_the_stream(ferry: Ferry, postgres: Database) -> None:
    make_sensors(postgres)
    ferry = ferry.of(FOLLOWED)
    try:
        prepare(ferry)
        for number, change in zip(range(OF), (*CHANGES, "DELETE FROM sensor WHERE n % 13 = 0"), strict=True):
            bucket(ferry, number)
            postgres.run(change)
        finish(ferry)
        postgres.run("DELETE FROM sensor WHERE n % 17 = 0")
        with ferry.migration() as migration:
            migration.syncs.sync()
        assert_arrived(ferry, postgres)
    finally:
        with ferry.migration() as migration:
            migration.syncs.drop_slots()


def test_a_bucket_that_is_killed_is_done_again(ferry: Ferry, postgres: Database, tmp_path: Path) -> None:
    make_sensors(postgres)
    ferry = ferry.of(TABLE)
    prepare(ferry)
    job = tmp_path / "job"
    job.write_text(json.dumps({"config": ferry.text, "env": ferry.env}))
    program = (
        "import json, os, signal, sys\n"
        "from gridferry.engine.events import ChunkDone\n"
        "from gridferry.engine.migration import Migration\n"
        "from gridferry.plan.config import parse_config\n"
        "job = json.load(open(sys.argv[1]))\n"
        "def die(event):\n"
        "    if isinstance(event, ChunkDone):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "with Migration(parse_config(job['config'], env=job['env']), listener=die) as migration:\n"
        "    migration.loads.load_bucket('sensor', bucket=1, of=2)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(job)], check=False)
    assert ended.returncode == -signal.SIGKILL
    bucket(ferry, 0, of=2)
    again = bucket(ferry, 1, of=2)
    assert again.outcome == "loaded"
    finish(ferry)
    assert_arrived(ferry, postgres)


def test_a_bucket_keeps_out_whoever_needs_the_whole_table(ferry: Ferry, postgres: Database) -> None:
    make_sensors(postgres)
    ferry = ferry.of(TABLE)
    prepare(ferry)
    with ExitStack() as stack:
        store = stack.enter_context(ferry.store())
        stack.enter_context(Lease(kept_in(store).documents, "public.sensor", part="0/4", beat_s=0.1))
        assert state(ferry) == "loading"
        for refused in (lambda: ferry.load(replace=True), lambda: finish(ferry), lambda: bucket(ferry, 0)):
            with pytest.raises(LeaseHeld):
                refused()
        assert bucket(ferry, 1).outcome == "loaded"
    finish(ferry)
    assert_arrived(ferry, postgres)


def test_replacing_begins_anew(ferry: Ferry, postgres: Database) -> None:
    make_sensors(postgres)
    ferry = ferry.of(TABLE)
    prepare(ferry)
    bucket(ferry, 0)
    postgres.run("DELETE FROM sensor WHERE n < 1000")
    again = prepare(ferry, replace=True)
    assert (again.outcome, again.waiting) == ("prepared", again.chunks)
    for number in range(OF):
        bucket(ferry, number)
    finish(ferry)
    assert_arrived(ferry, postgres)


def test_what_is_asked_wrongly(ferry: Ferry, postgres: Database) -> None:
    make_sensors(postgres)
    ferry = ferry.of(TABLE)
    with pytest.raises(ConfigError, match="not prepared"):
        bucket(ferry, 0)
    with pytest.raises(ConfigError, match="not prepared"):
        finish(ferry)
    with pytest.raises(ConfigError, match="no bucket 4 of 4"):
        bucket(ferry, OF)
    prepare(ferry)
    with pytest.raises(CheckpointError, match="options in the config have changed"):
        bucket(ferry.of({**TABLE, "rename": {"n": "number"}}), 0)
    with Migration(ferry.config) as migration, pytest.raises(ConfigError, match="1 or more"):
        migration.loads.load_bucket(NAME, bucket=0, of=1, workers=0)


def test_rows_of_someone_else_are_not_touched(ferry: Ferry, postgres: Database) -> None:
    make_sensors(postgres)
    ferry = ferry.of(TABLE)
    prepare(ferry)
    postgres.run("CREATE TABLE other AS SELECT ts, n FROM sensor WHERE device = 'b8:27'")
    other = ferry.of({"table": "other", "key": "ts", "container": "sensor_late"})
    other.load()
    before = ferry.rows("sensor_late")
    postgres.run("INSERT INTO sensor SELECT ts, 'late', n, temp, note FROM sensor")
    with pytest.raises(PlanError, match=r'"sensor_late" is of public\.other') as caught:
        finish(ferry)
    assert "--replace" not in caught.value.next_step  # it would be refused: that container is another table's
    assert ferry.rows("sensor_late") == before


def test_a_bucket_opens_the_containers_of_its_rows_alone(
    ferry: Ferry, postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices, buckets = 120, 6
    postgres.run("CREATE TABLE sensor (ts timestamp NOT NULL, device text NOT NULL, n bigint)")
    postgres.run(
        "INSERT INTO sensor SELECT timestamp '2020-07-12' + i * interval '1 second', 'device ' || i / 50, i "
        f"FROM generate_series(0, {devices} * 50 - 1) AS i"
    )
    postgres.run("ALTER TABLE sensor ADD PRIMARY KEY (device, ts)")
    postgres.run("ANALYZE sensor")
    ferry = ferry.of({"table": NAME, "split_by": "device", "key": "ts"})
    with ferry.migration() as migration:
        migration.loads.prepare(NAME, rows_per_chunk=1000)
    opened: list[str] = []
    asked = Store.open_containers

    def counted(self: Store, names: Sequence[str]) -> dict[str, Container | None]:
        opened.extend(name for name in names if name not in OWN)
        return asked(self, names)

    monkeypatch.setattr(Store, "open_containers", counted)
    for number in range(buckets):
        assert bucket(ferry, number, of=buckets).outcome == "loaded"
    # Every device is in one bucket, or in two where the chunks' border is among its rows.
    assert devices * 0.9 <= len(opened) <= devices + 2 * buckets
    assert finish(ferry) == "resumed"
    assert ferry.equal()
