"""Rows of a query: a table on a screen, or streamed as JSON or CSV, batch by batch."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import RenderableType
from rich.text import Text

from gridferry.cli.output import scalar
from gridferry.cli.tables import facts, listing

if TYPE_CHECKING:
    import pyarrow as pa

_GAP = 2  # between two columns of a table
_LONGEST_CELL = 60
_SHORT_DIGITS = 6


def row_values(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[Any, ...]]:
    """The rows of Arrow batches, one after another, one batch in memory."""
    for batch in batches:
        yield from zip(*(_python_values(column) for column in batch.columns), strict=True)


def first_rows(
    names: Sequence[str], rows: Iterable[tuple[Any, ...]], *, limit: int, width: int, records: bool = False
) -> Iterator[RenderableType]:
    """The first `limit` rows in `width` columns; the last line says so if there are more, or none."""
    taken = list(islice(rows, limit + 1))
    yield from records_view(names, taken[:limit]) if records else rows_view(names, taken[:limit], width=width)
    if len(taken) > limit:
        yield Text("… more rows", style="dim")
    elif not taken:
        yield Text("no rows", style="dim")


def rows_view(names: Sequence[str], rows: Sequence[tuple[Any, ...]], *, width: int) -> Iterator[RenderableType]:
    """The rows as a table; with shorter numbers where that makes it fit, else without the columns that have no room."""
    cells = [[_cell(value) for value in row] for row in rows]
    if _fitting(names, cells, width) == len(names):
        yield _table(names, rows, cells)
        return
    cells = [[_cell(value, digits=_SHORT_DIGITS) for value in row] for row in rows]
    shown = _fitting(names, cells, width)
    yield _table(names[:shown], [row[:shown] for row in rows], [line[:shown] for line in cells])
    said = (
        [f"{_SHORT_DIGITS} digits are shown"] if any(isinstance(v, float) for row in rows for v in row[:shown]) else []
    )
    said += [f"no room for {', '.join(names[shown:])}"] if shown < len(names) else []
    yield Text(f"{'; '.join(said)} (--records, --csv and --json give all)", style="dim")


def records_view(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> Iterator[RenderableType]:
    """The rows one after another, a line for each value."""
    for number, row in enumerate(rows, start=1):
        yield Text(f"row {number}", style="bold")
        yield facts([(name, Text(_cell(value))) for name, value in zip(names, row, strict=True)], indent=2)


def write_csv(names: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """All rows on stdout, with a header; NULL is an empty field, times are ISO 8601, bytes hexadecimal."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow(["" if value is None else _csv_value(value) for value in row])
    sys.stdout.flush()


def write_json(head: dict[str, Any], names: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """One document on stdout, `head` and then `rows` as a list of objects, written as they come."""
    opening = json.dumps(head, ensure_ascii=False, indent=2).rstrip("}").rstrip()
    sys.stdout.write(f'{opening},\n  "rows": [')
    for number, row in enumerate(rows):
        fields = {name: _json_value(value) for name, value in zip(names, row, strict=True)}
        sys.stdout.write(("," if number else "") + "\n    " + json.dumps(fields, ensure_ascii=False))
    sys.stdout.write("\n  ]\n}\n")
    sys.stdout.flush()


def _python_values(column: pa.Array) -> list[Any]:
    """A column's values. Times finer than Python's are text, since datetime would cut their nanoseconds."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        zone = "Z"
        texts = column.cast(pa.timestamp(column.type.unit)).cast(pa.string()).to_pylist()
        return [None if text is None else text.replace(" ", "T") + zone for text in texts]
    values: list[Any] = column.to_pylist()
    if pa.types.is_float32(column.type):
        return [None if value is None else _shortest_float32(value) for value in values]
    return values


def _shortest_float32(value: float) -> float:
    import numpy as np

    return float(str(np.float32(value)))


def _cell(value: Any, *, digits: int | None = None) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and digits is not None:
        return f"{value:.{digits}g}"
    if isinstance(value, bytes):
        return _clipped(value.hex())
    if isinstance(value, list):
        return _clipped("[" + ", ".join(_cell(v, digits=digits) for v in value) + "]")
    return _clipped(str(value)) if isinstance(value, str) else str(value)


def _clipped(text: str) -> str:
    """`text` on one line, its end left out where it is long."""
    line = text.encode("unicode_escape").decode("ascii") if not text.isprintable() else text
    return line if len(line) <= _LONGEST_CELL else line[: _LONGEST_CELL - 1] + "…"


def _fitting(names: Sequence[str], cells: Sequence[Sequence[str]], width: int) -> int:
    """How many of the columns, from the left, have room in `width`; at least one."""
    used = 0
    for place, name in enumerate(names):
        used += max([cell_len(name), *(cell_len(line[place]) for line in cells)]) + (_GAP if place else 0)
        if used > width:
            return max(place, 1)
    return len(names)


def _table(names: Sequence[str], rows: Sequence[tuple[Any, ...]], cells: Sequence[Sequence[str]]) -> RenderableType:
    numeric = [
        name for i, name in enumerate(names)
        if any(isinstance(row[i], int | float) and not isinstance(row[i], bool) for row in rows)
    ]  # fmt: skip
    styled = [
        [Text(cell, style="dim" if value is None else "") for cell, value in zip(line, row, strict=True)]
        for line, row in zip(cells, rows, strict=True)
    ]
    return listing(names, styled, right=numeric)


def _json_value(value: Any) -> Any:
    return [_json_value(v) for v in value] if isinstance(value, list) else scalar(value)


def _csv_value(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(_json_value(value), ensure_ascii=False) if isinstance(value, list) else scalar(value)
