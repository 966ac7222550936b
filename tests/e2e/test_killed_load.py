"""The loading process is killed with SIGKILL at every step; the same command again ends at the same data (P3)."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Database
from tests.e2e import dying_load
from tests.e2e.ferry import Ferry
from tests.e2e.sensors import CHUNK, TABLE, add_sensors, assert_arrived, make_sensors, unfit

from gridferry.errors import TargetNotEmpty

WORKERS = 2
OPTIONS = {"rows_per_chunk": CHUNK, "workers": WORKERS}
DEVICE = "b8:27"
_ROOT = Path(__file__).parents[2]
_jobs = itertools.count(1)


@dataclass(frozen=True)
class Runner:
    """Runs loads in processes of their own; `run` gives the exit status and the chunks that were begun to read."""

    process: subprocess.Popen[str]
    folder: Path

    def run(
        self, ferry: Ferry, *, point: str = "", moment: str = "before", call: int = 1, **options: Any
    ) -> tuple[int, list[str]]:
        number = next(_jobs)
        reads, errors, file = (self.folder / f"{what} {number}" for what in ("reads", "errors", "job"))
        reads.touch()
        errors.touch()
        job = {"config": ferry.text, "env": ferry.env, "options": {**OPTIONS, **options}}
        place = {"point": point, "moment": moment, "call": call, "reads": str(reads), "errors": str(errors)}
        file.write_text(json.dumps({**job, **place}))
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{file}\n")
        self.process.stdin.flush()
        status = os.waitstatus_to_exitcode(int(self.process.stdout.readline()))
        assert status in (0, -signal.SIGKILL), errors.read_text()
        return status, reads.read_text().splitlines()


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT / "src"), str(_ROOT)])}
    command = [sys.executable, dying_load.__file__]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Runner(process, tmp_path_factory.mktemp("loads"))


def finish(ferry: Ferry, **options: Any) -> str:
    """The same load again, in this process. Returns its outcome."""
    (load,) = ferry.load(**OPTIONS, **options)
    return load.outcome


@pytest.mark.parametrize(
    ("point", "moment", "call"),
    [
        ("lease", "after", 1),
        ("begin run", "before", 1),
        ("begin run", "after", 1),
        ("catalog add", "before", 1),
        ("catalog add", "after", 1),
        ("create containers", "before", 3),
        ("create containers", "after", 3),
        ("put", "before", 1),
        ("put", "after", 3),
        ("flush", "before", 4),
        ("flush", "after", 4),
        ("hold", "before", 2),
        ("hold", "after", 2),
        ("checkpoint", "before", 3),
        ("checkpoint", "after", 3),
        ("checkpoint", "after", 7),
        ("loaded", "before", 1),
        ("loaded", "after", 1),
    ],
)
def test_a_first_load_killed_anywhere_and_run_again_ends_with_the_same_data(
    ferry: Ferry, postgres: Database, runner: Runner, point: str, moment: str, call: int
) -> None:
    make_sensors(postgres, bad_every=500)
    ferry = ferry.of({**TABLE, "on_bad_row": "quarantine"})
    status, before = runner.run(ferry, point=point, moment=moment, call=call)
    assert status == -signal.SIGKILL, "the point was not reached"
    status, after = runner.run(ferry)
    assert status == 0
    assert_arrived(ferry, postgres, quarantined=True)
    again = Counter(before) & Counter(after)
    assert sum(again.values()) <= WORKERS
    assert finish(ferry) == "already loaded"
    assert ferry.equal()
    with ferry.migration() as migration:
        assert migration.status()[0].state == "loaded"
        assert migration.status()[0].quarantined == unfit(postgres)


@pytest.mark.parametrize(
    ("point", "moment", "call"),
    [
        ("begin run", "before", 1),
        ("begin run", "after", 1),
        ("drop containers", "before", 1),
        ("drop containers", "after", 1),
        ("catalog remove", "before", 1),
        ("catalog remove", "after", 1),
        ("release", "before", 1),
        ("release", "after", 1),
        ("begin run", "before", 2),
        ("begin run", "after", 2),
        ("checkpoint", "after", 2),
    ],
)
def test_a_replacing_load_killed_anywhere_is_finished_without_saying_replace_again(
    ferry: Ferry, postgres: Database, runner: Runner, point: str, moment: str, call: int
) -> None:
    make_sensors(postgres, rows=1000, bad_every=250)
    ferry = ferry.of({**TABLE, "on_bad_row": "quarantine"})
    assert finish(ferry) == "loaded"
    assert runner.run(ferry, point=point, moment=moment, call=call, replace=True)[0] == -signal.SIGKILL
    finish(ferry)
    assert_arrived(ferry, postgres, quarantined=True)
    assert ferry.equal()


def test_a_resume_that_is_killed_too_goes_on_from_there(ferry: Ferry, postgres: Database, runner: Runner) -> None:
    make_sensors(postgres)
    ferry = ferry.of(TABLE)
    seen: Counter[str] = Counter()
    for point, moment in (("checkpoint", "after"), ("resume run", "before"), ("resume run", "after"), ("put", "after")):
        status, reads = runner.run(ferry, point=point, moment=moment, call=2 if point == "checkpoint" else 1)
        assert status == -signal.SIGKILL
        seen.update(reads)
    status, reads = runner.run(ferry)
    assert status == 0
    assert_arrived(ferry, postgres)
    pages = {r for r in {*seen, *reads} if r.endswith("pages")}
    assert len(pages & set(reads)) < len(pages)


def test_an_interrupted_load_is_told_by_status_and_not_as_one_that_is_running(
    ferry: Ferry, postgres: Database, runner: Runner
) -> None:
    make_sensors(postgres)
    ferry = ferry.of(TABLE)
    runner.run(ferry, point="checkpoint", moment="after", call=3)
    with ferry.migration() as migration:
        (status,) = migration.status()
    assert (status.state, status.held_by) == ("interrupted", "")
    assert 3 <= status.chunks_done < status.chunks


def test_rows_changed_between_kill_and_resume_arrive_as_they_are_then(
    ferry: Ferry, postgres: Database, runner: Runner
) -> None:
    make_sensors(postgres, bad_every=500)
    ferry = ferry.of({**TABLE, "on_bad_row": "quarantine"})
    assert runner.run(ferry, point="checkpoint", moment="after", call=5)[0] == -signal.SIGKILL
    # An UPDATE moves its row to a page that may have been read already, or that is read later.
    postgres.run("UPDATE sensor SET temp = -1, note = left(note, 8) || '!' WHERE n % 7 = 0")
    postgres.run("UPDATE sensor SET n = n WHERE n % 500 = 0 AND n % 7 > 0")  # a bad row is written anew, and stays bad
    add_sensors(postgres, 3000, 3300)
    add_sensors(postgres, 3300, 3350, device="new one")
    assert runner.run(ferry)[0] == 0
    assert_arrived(ferry, postgres, quarantined=True)
    assert ferry.equal()


def test_a_key_that_became_impossible_meanwhile_is_put_aside_and_can_be_replayed(
    ferry: Ferry, postgres: Database, runner: Runner
) -> None:
    make_sensors(postgres)
    ferry = ferry.of({**TABLE, "on_bad_row": "quarantine"})
    assert runner.run(ferry, point="checkpoint", moment="after", call=5)[0] == -signal.SIGKILL
    postgres.run("INSERT INTO sensor VALUES ('infinity', 'b8:27', 1, 1, ''), ('-infinity', 'b8:27', 2, 2, '')")
    assert finish(ferry) == "resumed"
    with ferry.migration() as migration:
        held = migration.quarantine()
        assert {(row.column, row.reason) for row in held} == {("ts", "time_range")}
        assert len(held) == 2
        (replay,) = migration.replay()
        assert (replay.replayed, replay.gone, replay.still_held) == (0, 0, 2)
        postgres.run("DELETE FROM sensor WHERE n = 1 AND NOT isfinite(ts) OR ts = '-infinity'")
        (replay,) = migration.replay()
        assert (replay.replayed, replay.gone, replay.still_held) == (0, 2, 0)
    assert_arrived(ferry, postgres, quarantined=True)


def test_a_container_for_a_new_value_is_not_shared_with_rows_of_someone_else(
    ferry: Ferry, postgres: Database, runner: Runner
) -> None:
    make_sensors(postgres)
    ferry = ferry.of(TABLE)
    assert runner.run(ferry, point="checkpoint", moment="after", call=5)[0] == -signal.SIGKILL
    with ferry.store() as store:
        ours = store.open_container(ferry.catalog("public.sensor")[DEVICE])
        assert ours is not None
        theirs = store.create_container("sensor_theirs", ours.schema)
        for batch in ours.query("select *", limit=1).batches():
            theirs.put(batch)
    before = ferry.rows("sensor_theirs")
    add_sensors(postgres, 3300, 3350, device="theirs")
    with pytest.raises(TargetNotEmpty, match="sensor_theirs") as caught:
        finish(ferry)
    assert caught.value.next_step
    assert ferry.rows("sensor_theirs") == before
    assert "theirs" not in ferry.catalog("public.sensor")
