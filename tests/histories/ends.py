"""What stands at both ends of a history, told by PostgreSQL alone and by the driver's reader, never the engine."""

from __future__ import annotations

from collections import Counter
from typing import Any

import psycopg
from tests.e2e.ferry import CATALOG, OWN, Ferry
from tests.histories.shapes import Shape
from tests.histories.values import KINDS, US, Kind

from gridferry.errors import FerryError

MISSING = "no such column"
Rows = dict[str | None, Counter[tuple[Any, ...]]]
_COLUMNS = (
    "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
    " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attname"
)


def columns_of(session: psycopg.Connection[Any], shape: Shape) -> dict[str, Kind]:
    """The columns that both ends must have, as the source has them now."""
    found = session.execute(_COLUMNS, (shape.name,)).fetchall()
    return {name: KINDS[kind] for name, kind in found if not (shape.split and name == "device")}


def source_rows(session: psycopg.Connection[Any], shape: Shape, columns: dict[str, Kind]) -> Rows:
    """All committed rows by split value."""
    split = "device" if shape.split else "NULL"
    shown = ", ".join(kind.show.format(name) for name, kind in columns.items())
    found: Rows = {}
    for value, *row in session.execute(f"SELECT {split}, {shown} FROM {shape.name}").fetchall():
        pairs = zip(row, columns.values(), strict=True)
        found.setdefault(value, Counter())[tuple(None if v is None else kind.want(v) for v, kind in pairs)] += 1
    return found


def target_rows(everything: dict[str, list[dict[str, Any]]], shape: Shape, columns: dict[str, Kind]) -> Rows:
    """All stored rows by split value; a column that is not there holds `MISSING`, a container that is not no rows."""
    found: Rows = {}
    for entry in everything.get(CATALOG, []):
        if entry["source_table"] == f"public.{shape.name}":
            held = everything.get(entry["container"], [])
            rows = Counter(tuple(stored(r, n, k, shape) for n, k in columns.items()) for r in held)
            if rows:
                found[entry["value"]] = rows
    return found


def stored(row: dict[str, Any], name: str, kind: Kind, shape: Shape) -> Any:
    """A stored value in the form that the source shows."""
    value = row.get(name, MISSING)
    if value is MISSING:
        return value
    if name == "k" and kind.show == US and shape.key in ("series", "milliseconds"):
        fine = row.get("k_us")  # a TIME_SERIES has milliseconds in its key, and all digits beside it
        assert fine is None or fine // 1000 == value, f"k is {value} and k_us {fine}"
        return value * 1000 if fine is None else fine
    return None if value is None else kind.got(value)


def differences_now(session: psycopg.Connection[Any], ferry: Ferry, shapes: tuple[Shape, ...]) -> list[str]:
    """The same beside a run, which may change a container while it is read: that too is a difference."""
    try:
        return differences(session, ferry, shapes)
    except FerryError as error:
        return [f"not readable: {error.message}"]


def differences(session: psycopg.Connection[Any], ferry: Ferry, shapes: tuple[Shape, ...]) -> list[str]:
    """What differs, in words; nothing where both ends are equal."""
    everything = ferry.everything()
    listed = {entry["container"] for entry in everything.get(CATALOG, [])}
    found = [f"{name} holds {len(rows)} rows and is in no catalog"
             for name, rows in everything.items() if rows and name not in listed and name not in OWN]  # fmt: skip
    for shape in shapes:
        columns = columns_of(session, shape)
        wanted = source_rows(session, shape, columns)
        got = target_rows(everything, shape, columns)
        for value in sorted({*wanted, *got}, key=repr):
            here, there = wanted.get(value, Counter()), got.get(value, Counter())
            found += [
                f"{shape.name} {value!r}: missing x{n}: {_shown(columns, row)}" for row, n in (here - there).items()
            ]
            found += [
                f"{shape.name} {value!r}: too many x{n}: {_shown(columns, row)}" for row, n in (there - here).items()
            ]
    return found


def _shown(columns: dict[str, Kind], row: tuple[Any, ...]) -> str:
    cells = (f"{name}={value!r}" for name, value in zip(columns, row, strict=True))
    return ", ".join(cell if len(cell) < 80 else f"{cell[:60]}...({len(cell)})" for cell in cells)
