"""The syncing process is killed with SIGKILL at every step; the next run ends at the same data (P3)."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Database
from tests.e2e import dying_load
from tests.e2e.ferry import QUARANTINE, Ferry
from tests.e2e.readings import SYNC, TABLE, add, load_readings, open_transaction, source, stands, sync
from tests.readings import DAY

_ROOT = Path(__file__).parents[2]
_jobs = itertools.count(1)


@pytest.fixture
def loaded(ferry: Ferry, postgres: Database) -> Ferry:
    ferry = load_readings(ferry, postgres).of({**TABLE, "sync": {**SYNC, "lookback": "1d"}})
    postgres.run(
        f"INSERT INTO reading SELECT {DAY} + i * interval '1 minute', 'd' || i % 4, i FROM generate_series(1, 200) AS i"
    )
    return ferry


def job_of(ferry: Ferry, folder: Path, *, point: str = "", moment: str = "", call: int = 0, **options: Any) -> Path:
    number = next(_jobs)
    file, reads, errors = (folder / f"{what} {number}" for what in ("job", "reads", "errors"))
    job = {"config": ferry.text, "env": ferry.env, "verb": "sync", "options": options}
    place = {"point": point, "moment": moment, "call": call, "reads": str(reads), "errors": str(errors)}
    file.write_text(json.dumps({**job, **place}))
    return file


def begin(file: Path) -> subprocess.Popen[str]:
    """Does a job in a child of its own; `ended` gives its exit status and what it had to say."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT / "src"), str(_ROOT)])}
    process = subprocess.Popen(
        [sys.executable, dying_load.__file__], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    process.stdin.write(f"{file}\n")
    process.stdin.flush()
    return process


def ended(process: subprocess.Popen[str], file: Path) -> tuple[int, str]:
    answer, _ = process.communicate(timeout=120)
    errors = Path(json.loads(file.read_text())["errors"])
    return os.waitstatus_to_exitcode(int(answer)), errors.read_text() if errors.exists() else ""


def killed(ferry: Ferry, folder: Path, **job: Any) -> bool:
    """Whether a sync that was to be killed was."""
    file = job_of(ferry, folder, **job)
    status, errors = ended(begin(file), file)
    assert status in (0, -signal.SIGKILL), errors
    return status == -signal.SIGKILL


@pytest.mark.parametrize(
    ("point", "moment", "call"),
    [
        ("lease", "after", 1),
        ("catalog add", "before", 1),
        ("catalog add", "after", 1),
        ("create containers", "before", 1),
        ("create containers", "after", 1),
        ("put", "before", 1),
        ("put", "after", 2),
        ("flush", "before", 2),
        ("flush", "after", 2),
        ("cursor", "before", 2),
        ("cursor", "after", 2),
        ("cursor", "before", 5),
        ("cursor", "after", 5),
    ],
)
def test_a_sync_killed_anywhere_and_run_again_ends_with_the_same_data(
    loaded: Ferry, postgres: Database, tmp_path: Path, point: str, moment: str, call: int
) -> None:
    assert killed(loaded, tmp_path, point=point, moment=moment, call=call, rows_per_chunk=50)
    add(postgres, "30 seconds", device="d9", n=-1)  # below all that was read
    sync(loaded, rows_per_chunk=50)
    assert stands(loaded) == source(postgres)
    assert sorted(loaded.catalog("public.reading").values()) == loaded.names()
    assert sync(loaded).outcome == "nothing new"


@pytest.mark.parametrize(
    ("point", "moment", "call"),
    [("put", "after", 2), ("flush", "after", 1), ("flush", "after", 2), ("hold", "after", 1)],
)
def test_killed_while_colliding_keys_are_settled(
    loaded: Ferry, postgres: Database, tmp_path: Path, point: str, moment: str, call: int
) -> None:
    """Of several rows of one key the chosen one stands, also when the choice was cut short."""
    ferry = loaded.of({**TABLE, "on_duplicate": "quarantine"})
    add(postgres, "4 seconds", device="d0", n=7777)
    assert killed(ferry, tmp_path, point=point, moment=moment, call=call)
    sync(ferry)
    assert stands(ferry) == [row for row in source(postgres) if row[2] != 7777]
    assert len(ferry.rows(QUARANTINE)) == 1


def test_two_syncs_at_once(loaded: Ferry, postgres: Database, tmp_path: Path) -> None:
    """One works and the other is told to come back, or waits; either way every row stands once."""
    files = [job_of(loaded, tmp_path, rows_per_chunk=10, wait_s=wait) for wait in (0.0, 60.0)]
    processes = [begin(file) for file in files]
    hasty, patient = (ended(process, file) for process, file in zip(processes, files, strict=True))
    assert patient[0] == 0, patient[1]
    assert hasty[0] == 0 or "LeaseHeld" in hasty[1]
    assert stands(loaded) == source(postgres)
    assert sync(loaded).outcome == "nothing new"


def test_killed_while_a_transaction_is_open(loaded: Ferry, postgres: Database, tmp_path: Path) -> None:
    with open_transaction(postgres) as slow:
        slow.execute(f"INSERT INTO reading VALUES ({DAY} + interval '10 minutes 1 second', 'slow', 1)")
        assert killed(loaded, tmp_path, point="cursor", moment="after", call=2, rows_per_chunk=50)
    sync(loaded, rows_per_chunk=50)
    assert stands(loaded) == source(postgres)
