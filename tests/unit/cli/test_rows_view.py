from __future__ import annotations

import csv
import io
import json
from datetime import datetime, timezone
from typing import Any

import pyarrow as pa
import pytest
from rich.console import Console

from gridferry.cli.rows_view import records_view, row_values, rows_view, write_csv, write_json

NAMES = ("ts", "name", "value", "on", "raw", "list")
BATCH = pa.record_batch(
    {
        "ts": pa.array([datetime(2020, 7, 12, 0, 1, 34, 385000, timezone.utc), None], pa.timestamp("ms", tz="UTC")),
        "name": ["a,\n[b]", None],
        "value": [0.1 + 0.2, float("nan")],
        "on": [True, False],
        "raw": [b"\x00\xff", b""],
        "list": pa.array([[1.5], None], pa.list_(pa.float64())),
    }
)


def text(*renderables: Any, width: int = 80) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, highlight=False)
    for renderable in renderables:
        console.print(renderable)
    return stream.getvalue()


def rows() -> list[tuple[Any, ...]]:
    return list(row_values([BATCH]))


def test_times_keep_every_digit() -> None:
    nanos = pa.array([1, 4_102_444_800_123_456_789], pa.timestamp("ns", tz="UTC"))
    values = [row[0] for row in row_values([pa.record_batch({"t": nanos})])]
    assert values == ["1970-01-01T00:00:00.000000001Z", "2100-01-01T00:00:00.123456789Z"]


def test_floats_of_four_bytes_are_as_short_as_they_were() -> None:
    assert list(row_values([pa.record_batch({"f": pa.array([0.1, None], pa.float32())})])) == [(0.1,), (None,)]


def test_csv_reads_back(capsys: pytest.CaptureFixture[str]) -> None:
    write_csv(NAMES, iter(rows()))
    header, first, second = csv.reader(io.StringIO(capsys.readouterr().out))
    assert header == list(NAMES)
    assert first == ["2020-07-12T00:01:34.385Z", "a,\n[b]", "0.30000000000000004", "true", "00ff", "[1.5]"]
    assert second == ["", "", "NaN", "false", "", ""]


def test_json_reads_back(capsys: pytest.CaptureFixture[str]) -> None:
    write_json({"container": "c"}, NAMES, iter(rows()))
    document = json.loads(capsys.readouterr().out)
    assert document["container"] == "c"
    assert document["rows"][0]["value"] == 0.1 + 0.2
    assert document["rows"][0]["list"] == [1.5]
    assert document["rows"][1] == {"ts": None, "name": None, "value": "NaN", "on": False, "raw": "", "list": None}


def test_json_without_rows_is_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    write_json({"container": "c"}, NAMES, iter(()))
    assert json.loads(capsys.readouterr().out) == {"container": "c", "rows": []}


def test_a_table_shows_values_in_full_where_they_fit() -> None:
    shown = text(*rows_view(NAMES, rows(), width=120), width=120)
    assert "0.30000000000000004" in shown
    assert "a,\\n[b]" in shown
    assert "NULL" in shown
    assert "digits" not in shown


def test_a_narrow_table_shortens_numbers_and_names_what_it_leaves_out() -> None:
    shown = text(*rows_view(NAMES, rows(), width=56), width=56)
    assert "0.3 " in shown
    assert "no room for list" in " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= 56


def test_records_show_everything() -> None:
    shown = text(*records_view(NAMES, rows()), width=60)
    for part in ("row 1", "row 2", "0.30000000000000004", "[1.5]", "00ff"):
        assert part in shown


def test_a_long_text_is_cut_for_people_only(capsys: pytest.CaptureFixture[str]) -> None:
    long = [("x" * 500,)]
    assert "…" in text(*rows_view(["c"], long, width=80))
    write_csv(["c"], iter(long))
    assert "x" * 500 in capsys.readouterr().out
