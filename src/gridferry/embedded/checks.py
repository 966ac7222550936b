"""What a server refuses: names, schemas and values outside GridDB's limits (64 KB blocks)."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gridferry.embedded.refusal import Code, Refusal
from gridferry.griddb.schema import ColumnSpec, ContainerSchema, GridType

MAX_COLUMNS = 1024
MAX_NAME_BYTES = 16_384
MAX_COLUMN_NAME_BYTES = 256
MAX_STRING_BYTES = 31_744
MAX_ARRAY_ELEMENTS = 4000
MAX_AFFINITY_BYTES = 8
MAX_APPLICATION_NAME_BYTES = 64
LAST_MS = 253_402_300_799_999
# Each precision's last moment, 9999-12-31T23:59:59.999...; Arrow's nanoseconds end in 2262 by themselves.
_LAST: dict[GridType, int] = {
    GridType.TIMESTAMP_MS: LAST_MS,
    GridType.TIMESTAMP_US: LAST_MS * 1000 + 999,
    GridType.TIMESTAMP_NS: 2**63 - 1,
}
_NAME = re.compile(r"[A-Za-z0-9_.\-/=]+")


def check_container_name(name: str) -> None:
    """Raise 1008 unless the name (`base` or `base@affinity`) is one that GridDB allows."""
    base, mark, affinity = name.partition("@")
    if not _NAME.fullmatch(base) or (mark and not _NAME.fullmatch(affinity)):
        raise Refusal(Code.CM_LIMITS_EXCEEDED, f'container name "{name}": only A-Z a-z 0-9 _ . - / = are allowed')
    if len(base) > MAX_NAME_BYTES or len(affinity) > MAX_NAME_BYTES:
        raise Refusal(Code.CM_LIMITS_EXCEEDED, f"container name of {len(name)} bytes: at most {MAX_NAME_BYTES}")


def check_application_name(name: str) -> None:
    """Raise 1008 unless a login may call its application so; "" means no name."""
    if name and (not _NAME.fullmatch(name) or len(name) > MAX_APPLICATION_NAME_BYTES):
        raise Refusal(Code.CM_LIMITS_EXCEEDED, f'application name "{name}" is not allowed')


def check_schema(schema: ContainerSchema, affinity: str) -> None:
    """Raise 60015 or 1008 for a schema that no container can have (`ContainerSchema` has refused the rest)."""
    if len(schema.columns) > MAX_COLUMNS:
        raise Refusal(Code.DS_DS_SCHEMA_INVALID, f"{len(schema.columns)} columns: at most {MAX_COLUMNS}")
    for column in schema.columns:
        if not _NAME.fullmatch(column.name) or len(column.name) > MAX_COLUMN_NAME_BYTES:
            raise Refusal(Code.CM_LIMITS_EXCEEDED, f'column name "{column.name}" is not allowed')
    if len(affinity.encode()) > MAX_AFFINITY_BYTES:
        raise Refusal(Code.CM_LIMITS_EXCEEDED, f'data affinity "{affinity}": at most {MAX_AFFINITY_BYTES} bytes')


def first_bad_row(schema: ContainerSchema, batch: pa.RecordBatch) -> tuple[int, Refusal] | None:
    """The first row that may not be stored, and why (60079); None when all may."""
    worst: tuple[int, str] | None = None
    for column, values in zip(schema.columns, batch.columns, strict=True):
        for rule in _rules(column):
            bad = rule(values)
            if bad is not None and (worst is None or bad[0] < worst[0]):
                worst = (bad[0], f'column "{column.name}": {bad[1]}')
    if worst is None:
        return None
    return worst[0], Refusal(Code.DS_TIM_ROW_DATA_INVALID, f"row {worst[0]}, {worst[1]}")


Rule = Callable[[pa.Array], "tuple[int, str] | None"]


def _rules(column: ColumnSpec) -> list[Rule]:
    rules: list[Rule] = []
    if not column.nullable:
        rules.append(_nulls)
    if column.array:
        rules += [_long_arrays, *(_within(rule) for rule in _value_rules(column.type))]
    else:
        rules += _value_rules(column.type)
    return rules


def _value_rules(kind: GridType) -> list[Rule]:
    if kind in _LAST:
        return [_out_of_time(_LAST[kind])]
    return [_broken_text, _long_text] if kind is GridType.STRING else []


def _nulls(values: pa.Array) -> tuple[int, str] | None:
    return _first(values.is_null(), "NULL in a NOT NULL column") if values.null_count else None


def _out_of_time(last: int) -> Rule:
    def rule(values: pa.Array) -> tuple[int, str] | None:
        ticks = values.cast(pa.int64())
        span = pc.min_max(ticks)
        if not span["min"].is_valid or (span["min"].as_py() >= 0 and span["max"].as_py() <= last):
            return None
        wrong = pc.or_(pc.less(ticks, 0), pc.greater(ticks, last))
        return _first(wrong, "the timestamp is outside 1970-01-01 .. 9999-12-31")

    return rule


def _long_text(values: pa.Array) -> tuple[int, str] | None:
    longest = pc.max(pc.binary_length(values)).as_py()
    if longest is None or longest <= MAX_STRING_BYTES:
        return None
    long = pc.greater(pc.binary_length(values), MAX_STRING_BYTES)
    return _first(long, f"a STRING is longer than {MAX_STRING_BYTES} bytes")


def _broken_text(values: pa.Array) -> tuple[int, str] | None:
    try:
        values.validate(full=True)
    except pa.ArrowInvalid:
        raw = values.cast(pa.binary()).to_pylist()
        return next(row for row, value in enumerate(raw) if value is not None and not _is_utf8(value)), "not UTF-8"
    return _first(pc.match_substring(values, "\0"), "NUL in a STRING")


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _long_arrays(values: pa.Array) -> tuple[int, str] | None:
    long = pc.greater(pc.list_value_length(values), MAX_ARRAY_ELEMENTS)
    return _first(long, f"an array has more than {MAX_ARRAY_ELEMENTS} elements")


def _within(rule: Rule) -> Rule:
    """The rule for each element; the row reported is the array's."""

    def inner(values: pa.Array) -> tuple[int, str] | None:
        bad = rule(values.flatten())
        return None if bad is None else (pc.list_parent_indices(values)[bad[0]].as_py(), bad[1])

    return inner


def _first(mask: pa.Array, text: str) -> tuple[int, str] | None:
    rows = np.flatnonzero(mask.fill_null(False).to_numpy(zero_copy_only=False))
    return (int(rows[0]), text) if len(rows) else None
