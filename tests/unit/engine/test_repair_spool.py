"""Differences wait in a file and come back whole, in groups of bounded size."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import IO

import pyarrow as pa
import pytest

from gridferry.engine.repair.spool import Spool
from gridferry.errors import CheckpointError
from gridferry.model.verification import DifferenceKind, DifferentRows

FULL = Path("/dev/full")
SCHEMA = pa.schema([pa.field("k", pa.int64(), nullable=False), pa.field("v", pa.binary())])


def rows(*keys: int, size: int = 1) -> pa.RecordBatch:
    return pa.record_batch([list(keys), [b"x" * size] * len(keys)], schema=SCHEMA)


def test_every_kind_comes_back_as_it_was() -> None:
    with Spool() as spool:
        spool.add(DifferentRows("t", "c", None, DifferenceKind.MISSING, source=rows(1, 2).slice(1)))
        spool.add(DifferentRows("t", "c=C3=A4", "ä", DifferenceKind.DIFFERENT, source=rows(3), target=rows(3, size=0)))
        spool.add(DifferentRows("t", "c", "x", DifferenceKind.EXTRA, target=rows(4)))
        spool.add(DifferentRows("t", "c", "x", DifferenceKind.DOUBLED, source=rows(5, 5)))
        ((missing, different, extra),) = spool.groups()
        assert (spool.count, spool.refused) == (3, 2)
        assert next(iter(spool.groups()))[0].container == "c"  # can be read again
    assert (missing.before, missing.after) == (None, rows(2))
    assert (different.value, different.before, different.after) == ("ä", rows(3, size=0), rows(3))
    assert (extra.before, extra.after, extra.value) == (rows(4), None, "x")


def test_groups_are_bounded_by_rows_bytes_and_parts() -> None:
    with Spool() as spool:
        spool.add(DifferentRows("t", "c", None, DifferenceKind.MISSING, source=rows(*range(10))))
        by_rows = [sum(map(len, group)) for group in spool.groups(most_rows=4)]
        assert sum(by_rows) == 10
        assert max(by_rows) <= 4
    with Spool() as spool:
        spool.add(DifferentRows("t", "c", None, DifferenceKind.EXTRA, target=rows(*range(8), size=1000)))
        groups = list(spool.groups(most_bytes=2500))
        assert [k for g in groups for c in g for k in c.rows.column(0).to_pylist()] == list(range(8))
        assert all(sum(c.nbytes for c in g) <= 2500 for g in groups)
        assert [len(c) for g in spool.groups(most_bytes=10) for c in g] == [1] * 8  # a row is never cut
    with Spool() as spool:
        for number in range(7):
            spool.add(DifferentRows("t", f"c{number}", None, DifferenceKind.MISSING, source=rows(number)))
        assert [len(group) for group in spool.groups(most_parts=3)] == [3, 3, 1]


def test_nothing_is_no_group() -> None:
    with Spool() as spool:
        assert list(spool.groups()) == []


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, octets: bytes) -> int:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            pass

    def full() -> IO[bytes]:
        return Full()  # type: ignore[return-value]

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with Spool() as spool, pytest.raises(CheckpointError, match="No space left") as error:
        spool.add(DifferentRows("t", "c", None, DifferenceKind.MISSING, source=rows(1)))
    assert "TMPDIR" in error.value.next_step


def test_a_machine_without_a_temporary_folder_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/none/of/these"])
    with pytest.raises(CheckpointError, match="No usable temporary directory") as error:
        Spool()
    assert "TMPDIR" in error.value.next_step


@pytest.mark.skipif(not FULL.is_char_device(), reason="this system has no device that is always full")
def test_a_full_disk_is_no_second_failure_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: FULL.open("wb"))
    with Spool() as spool, pytest.raises(CheckpointError, match="No space left"):
        spool.add(DifferentRows("t", "c", None, DifferenceKind.MISSING, source=rows(*range(1000), size=100)))
