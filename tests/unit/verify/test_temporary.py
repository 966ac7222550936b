"""What waits on disk during a verification: a disk that does not take it is told."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gridferry.compare import findings as findings_module
from gridferry.compare.findings import Findings, FindingsSpool
from gridferry.compare.partitions import Partitions, Side
from gridferry.errors import CheckpointError, SourceError
from gridferry.source.postgres.log.spill import Spill

ROWS = pa.record_batch({"k": pa.array([1, 2], pa.int64())})


@pytest.fixture(autouse=True)
def no_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))


def test_rows_to_compare() -> None:
    with (
        Partitions(ROWS.schema, key_length=1, count=2, memory_bytes=0) as parts,
        pytest.raises(CheckpointError, match=r"could not be kept in .*gone") as error,
    ):
        parts.add(Side.SOURCE, ROWS, np.zeros(2, np.int64))
    assert "TMPDIR" in error.value.next_step


def test_rows_to_look_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings_module, "_MEMORY_BYTES", 0)
    numbers = np.zeros(2, np.int64)
    with FindingsSpool() as waiting, pytest.raises(CheckpointError, match=r"could not be kept in .*gone"):
        waiting.add(Findings(numbers, numbers, ROWS, ROWS))


def test_a_large_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/none/of/these"])
    with pytest.raises(SourceError, match="No usable temporary directory"):
        Spill(block_bytes=1).append(b"message", subxid=1)
