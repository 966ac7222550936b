"""Values on their way into a column, as INSERT puts them: converted as GridDB converts them, or refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from gridferry.embedded.refusal import Code, Refusal
from gridferry.embedded.shape import TIMESTAMPS, shape_of
from gridferry.embedded.sql.values import INTEGER_BITS, Typed, mismatch, out_of_range
from gridferry.embedded.tql_values import INTEGERS, NUMBERS, TICKS_A_SECOND
from gridferry.griddb.schema import ColumnSpec, ContainerSchema, GridType
from gridferry.griddb.wire.sql_values import Plain


@dataclass(frozen=True)
class Cell:
    """A value and its type; NULL has none."""

    type: GridType | None
    value: Plain


def batch_of(schema: ContainerSchema, columns: Sequence[Sequence[Cell]]) -> pa.RecordBatch:
    """Rows for a container, column by column. Raises: 305010, 305004, 60079."""
    shape = shape_of(schema)
    arrays = []
    for spec, cells, stored in zip(schema.columns, columns, shape.physical, strict=True):
        try:
            plain = pa.array(_stored(spec, cells), stored.type)
        except (OverflowError, pa.ArrowInvalid) as error:
            raise Refusal(Code.DS_TIM_ROW_DATA_INVALID, f'column "{spec.name}": a value is out of range') from error
        arrays.append(plain if plain.type == spec.arrow_type else plain.cast(spec.arrow_type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema.arrow_schema)


def _stored(spec: ColumnSpec, cells: Sequence[Cell]) -> list[Plain]:
    kinds = {cell.type for cell in cells}
    if not spec.nullable and (None in kinds or any(cell.value is None for cell in cells)):
        raise mismatch("NULL", spec.label)
    if kinds <= {spec.type, None}:
        return [cell.value for cell in cells]
    return [converted(cell, spec.type) for cell in cells]


def converted(cell: Cell, kind: GridType) -> Plain:
    """The value as a column of the type stores it. Raises: 305010 another sort of value, 305004 out of range."""
    value = cell.value
    if cell.type is None or value is None or cell.type is kind:
        return value
    if cell.type in NUMBERS and kind in NUMBERS and isinstance(value, int | float):
        return _number(value, kind)
    if cell.type in TIMESTAMPS and kind in TIMESTAMPS and isinstance(value, int):
        have, want = TICKS_A_SECOND[cell.type], TICKS_A_SECOND[kind]
        return value * want // have
    raise mismatch(Typed("", cell.type).label, Typed("", kind).label)


def _number(value: float, kind: GridType) -> Plain:
    if kind in INTEGERS:
        if isinstance(value, float) and not math.isfinite(value):
            raise out_of_range(value)
        whole, bits = int(value), INTEGER_BITS[kind]
        if not -(1 << bits - 1) <= whole < 1 << bits - 1:
            raise out_of_range(value)
        return whole
    number = float(value)
    if kind is GridType.FLOAT and math.isfinite(number):
        with np.errstate(over="ignore"):
            if not math.isfinite(np.float32(number)):
                raise out_of_range(value)
    return number
