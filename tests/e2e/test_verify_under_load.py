"""Verification beside writers of ten thousand rows a second and a sync that follows them in a process of its own."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.conftest import Database
from tests.e2e.changes import READING, source_rows, sync, target_rows, without_slots
from tests.e2e.fast_writers import CALM, GROWING, ROWS, Written, make_changeable, make_growing, writing
from tests.e2e.ferry import Ferry
from tests.e2e.planting import open_all
from tests.e2e.processes import ended, running

from gridferry.checkpoint.lease import holder_of
from gridferry.model.verification import DifferentRows, Verdict, VerifyReport

TIMES = 2
SETTLE_S = 20.0  # a sync that falls further behind on a slow machine leaves rows in doubt
PLANTED = 10  # of each kind, in keys that are left alone, and as many in keys that are written meanwhile
DEVICES = 7

Key = tuple[str | None, int]


@pytest.fixture
def loaded(ferry: Ferry, postgres: Database) -> Iterator[Ferry]:
    with without_slots(postgres):
        make_changeable(postgres)
        ferry = ferry.of(READING)
        ferry.load()
        yield ferry


@contextmanager
def followed(ferry: Ferry, folder: Path) -> Iterator[None]:
    """`gridferry sync --follow` at work while the block runs."""
    with running(ferry, folder, "sync", "--follow", "--interval", "1s") as process:
        with ferry.migration() as migration:
            while holder_of(migration.endpoints.look_at_state().documents, "public.reading") is None:
                assert process.poll() is None, process.communicate()
        yield
        assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGINT)
        ended(process)


def verified(ferry: Ferry, **options: Any) -> tuple[VerifyReport, set[Key]]:
    """What a verification says, and the keys that it calls different."""
    found: set[Key] = set()

    def take(rows: DifferentRows) -> None:
        side = rows.target if rows.source is None else rows.source
        assert side is not None
        found.update((rows.value, key) for key in side.column(0).to_pylist())

    with ferry.migration() as migration:
        return migration.verifications.verify(sink=take, **options), found


def plant(ferry: Ferry, keys: list[int]) -> set[Key]:
    """Rows of these keys are lost, changed, and made up, a third each. Returns the keys that differ now."""
    third = len(keys) // 3
    planted: set[Key] = set()
    with ferry.store() as store:
        containers = open_all(ferry, store, "public.reading")
        for place, key in enumerate(keys):
            device = f"d{key % DEVICES}"
            container = containers[device]
            stored = key + 500_000 if place < third else key
            planted.add((device, stored))
            if place >= 2 * third:
                container.delete(pa.record_batch([pa.array([key], pa.int32())], names=["k"]))
                continue
            row = [pa.array([stored], pa.int32()), pa.array([-1], pa.int64()), pa.array(["planted"])]
            container.put(pa.record_batch(row, schema=container.schema.arrow_schema))
    return planted


def told(capsys: pytest.CaptureFixture[str], written: Written, reports: list[VerifyReport]) -> None:
    """Print what was measured."""
    with capsys.disabled():
        print(f"\n  {written.rows:,} row changes in {written.seconds:.1f} s: {written.rate:,} a second; verified:")
        for report in reports:
            t = report.tables[0]
            print(
                f"  {t.verdict.value} in {t.seconds:.1f} s, {t.rounds} rounds, {t.source_rows:,} rows, "
                f"{report.differences} differences, {t.unsettled} unsettled"
            )


def judged(report: VerifyReport, found: set[Key], *, planted: set[Key], doubtful: Set[Key] = frozenset()) -> None:
    """Nothing may be called different but what was planted, and all of that unless the report says it is in doubt."""
    assert found <= planted | doubtful, report.tables[0].first
    assert len(planted - found) <= report.tables[0].unsettled
    assert report.verdict is (Verdict.DIFFERENT if found else Verdict.UNSETTLED if planted else report.verdict)


def test_no_false_alarm_beside_ten_thousand_changes_a_second(
    loaded: Ferry, postgres: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(11)
    reports: list[VerifyReport] = []
    with followed(loaded, tmp_path):
        with writing(postgres) as written:
            for _ in range(TIMES):
                report, found = verified(loaded, settle_s=SETTLE_S)
                reports.append(report)
                judged(report, found, planted=set())
            calm = plant(loaded, chance.sample(range(CALM), 3 * PLANTED))
            # A write of the row itself mends what is planted there.
            touched = plant(loaded, chance.sample(range(CALM, ROWS), 3 * PLANTED))
            report, found = verified(loaded, settle_s=SETTLE_S)
            reports.append(report)
        told(capsys, written, reports)
        judged(report, found, planted=calm, doubtful=touched)
    sync(loaded)
    both = set(source_rows(postgres, "reading", "device")) ^ set(target_rows(loaded, "reading"))
    report, found = verified(loaded)
    assert found == {(value, dict(row)["k"]) for value, row in both}
    judged(report, found, planted=calm, doubtful=touched)
    assert report.tables[0].unsettled == 0


def test_no_false_alarm_beside_ten_thousand_inserts_a_second_in_mode_watermark(
    ferry: Ferry, postgres: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_growing(postgres)
    ferry = ferry.of(GROWING)
    ferry.load()
    reports: list[VerifyReport] = []
    with followed(ferry, tmp_path):
        with writing(postgres, "SELECT insert_some(%s, %s)") as written:
            for _ in range(TIMES):
                report, found = verified(ferry, settle_s=SETTLE_S)
                reports.append(report)
                judged(report, found, planted=set())
            planted = plant(ferry, random.Random(5).sample(range(CALM), 3 * PLANTED))
            report, found = verified(ferry, settle_s=SETTLE_S)
            reports.append(report)
        told(capsys, written, reports)
        judged(report, found, planted=planted)
    sync(ferry)
    report, found = verified(ferry)
    assert found == planted
    assert report.tables[0].unsettled == 0
