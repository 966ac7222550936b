from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gridferry.compare.difference_file import open_difference_file
from gridferry.compare.difference_rows import DIFFERENCE_SCHEMA
from gridferry.compare.tally import Tally
from gridferry.compare.value_text import texts
from gridferry.errors import ConfigError
from gridferry.model.verification import DifferenceKind, DifferentRows

MS = pa.timestamp("ms", tz="UTC")


def rows(kind: DifferenceKind, count: int, *, container: str = "d1", day: int = 0) -> DifferentRows:
    keys = pa.array([day * 86_400_000 + i for i in range(count)], pa.int64()).view(MS)

    def side(temp: float, note: str | None) -> pa.RecordBatch:
        columns = [keys, pa.array([temp] * count), pa.array([note] * count, pa.utf8())]
        return pa.RecordBatch.from_arrays(columns, names=["ts", "temp", "note"])

    return DifferentRows(
        "public.t",
        container,
        "v",
        kind,
        source=None if kind is DifferenceKind.EXTRA else side(0.0, ""),
        target=None if kind is DifferenceKind.MISSING else side(-0.0, ""),
    )


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
@pytest.mark.slow
def test_every_difference_is_in_the_file(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"found.{ending}"
    with open_difference_file(path) as file:
        file.add(rows(DifferenceKind.DIFFERENT, 12_000), key_length=1)
        file.add(rows(DifferenceKind.MISSING, 1), key_length=1)
        file.add(rows(DifferenceKind.EXTRA, 1), key_length=1)
    if ending == "parquet":
        table = pq.read_table(path)
        assert table.schema.equals(DIFFERENCE_SCHEMA)
        assert len(table) == 12_002
        first = table.slice(0, 1).to_pylist()[0]
        assert first["columns"] == [{"name": "temp", "source": "0", "target": "-0"}]
        assert first["key"] == [{"name": "ts", "value": "1970-01-01T00:00:00.000Z"}]
        return
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == 12_002
    assert lines[0] == {
        "table": "public.t",
        "container": "d1",
        "value": "v",
        "kind": "different",
        "key": {"ts": "1970-01-01T00:00:00.000Z"},
        "columns": {"temp": {"source": "0", "target": "-0"}},
    }
    assert lines[-2]["columns"] == {"temp": {"source": "0", "target": None}, "note": {"source": "", "target": None}}
    assert lines[-1]["columns"] == {"temp": {"source": None, "target": "-0"}, "note": {"source": None, "target": ""}}


def test_another_ending_and_a_missing_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"written as \.parquet or \.jsonl"), open_difference_file(tmp_path / "a.csv"):
        pass
    with pytest.raises(ConfigError, match="there is no folder"), open_difference_file(tmp_path / "no" / "a.jsonl"):
        pass


def test_counts_are_by_container_and_day_and_coarser_where_there_are_too_many() -> None:
    tally = Tally(key_length=1, most_first=4, most_groups=10)
    for day in range(8):
        tally.add(rows(DifferenceKind.MISSING, 2, day=day))
    assert [(c.bucket, c.missing) for c in tally.summary[:2]] == [("1970-01-01", 2), ("1970-01-02", 2)]
    for day in range(8, 400):
        tally.add(rows(DifferenceKind.EXTRA, 1, day=day))
    assert {c.bucket for c in tally.summary} == {"1970", "1971"}
    assert sum(c.total for c in tally.summary) == 16 + 392
    assert tally.kinds == {DifferenceKind.MISSING: 16, DifferenceKind.EXTRA: 392}
    assert [d.kind.value for d in tally.first] == ["missing", "extra", "missing", "extra"]


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (
            pa.array([0.1, -0.0, float("nan"), float("inf"), None, 5e-324]),
            ["0.1", "-0", "NaN", "Infinity", None, "5e-324"],
        ),
        (pa.array([1594512094385975]).view(pa.timestamp("us", tz="UTC")), ["2020-07-12T00:01:34.385975Z"]),
        (pa.array([b"\x00\xff", None]), ["\\x00ff", None]),
        (pa.array([True, None]), ["true", None]),
        (pa.array(["", " a"]), ["", " a"]),
        (pa.array([-(2**63)]), ["-9223372036854775808"]),
    ],
)
def test_values_as_text(array: pa.Array, expected: list[str | None]) -> None:
    assert texts(array).to_pylist() == expected


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="this system has no device that is always full")
@pytest.mark.parametrize("count", [1, 100_000])
@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_a_full_disk_is_told(tmp_path: Path, ending: str, count: int) -> None:
    """When the rows are written, or when the file is closed."""
    path = tmp_path / f"found.{ending}"
    path.symlink_to("/dev/full")
    with (
        pytest.raises(ConfigError, match=r"cannot be written: .*No space left") as error,
        open_difference_file(path) as f,
    ):
        f.add(rows(DifferenceKind.DIFFERENT, count), key_length=1)
    assert "--output" in error.value.next_step
    assert error.value.state
