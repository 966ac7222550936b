"""What both clients must agree on: a table of containers with edge values, and seeded random ones."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.oracle.values import Nanos, Row, Value, float_bits

from gridferry.griddb.schema import ARRAY_TYPES, KEY_TYPES, ColumnSpec, ContainerKind, ContainerSchema, GridType

SECOND_NS = 1_000_000_000
LAST_MS_NS = 253_402_300_799_999 * 1_000_000
"""9999-12-31T23:59:59.999, the last millisecond GridDB takes."""
LAST_NS = 2**63 - 1
"""2262-04-11: the last nanosecond Arrow's 64-bit timestamps hold; GridDB's TIMESTAMP(9) goes on to 9999."""

TICKS_NS = {GridType.TIMESTAMP_MS: 1_000_000, GridType.TIMESTAMP_US: 1000, GridType.TIMESTAMP_NS: 1}
WHOLE_BITS = {GridType.BYTE: 8, GridType.SHORT: 16, GridType.INTEGER: 32, GridType.LONG: 64}
WORDS = (
    "",
    "a",
    "plain words",
    "tab\tnew\nline",
    "äöü ß €",
    "日本語テスト",
    "🚀👩‍👩‍👧",
    "é vs é",
    "'quote\" \\ %",
    "x" * 200,
)
LONGEST_STRING_BYTES = 31744
MOST_ARRAY_ELEMENTS = 4000


@dataclass(frozen=True)
class Sample:
    """A container and the rows to put into it, each row key once."""

    label: str
    schema: ContainerSchema
    rows: tuple[Row, ...]


def _edges(grid_type: GridType) -> tuple[Value, ...]:
    if grid_type in WHOLE_BITS:
        half = 1 << (WHOLE_BITS[grid_type] - 1)
        return (0, 1, -1, half - 1, -half, 100, -100)
    if grid_type in TICKS_NS:
        tick = TICKS_NS[grid_type]
        last = LAST_NS if grid_type is GridType.TIMESTAMP_NS else LAST_MS_NS + 1_000_000 - tick
        near = (0, tick, SECOND_NS - tick, 1_594_512_094_385_975_123, 249, 250, 251, 1_700_000_000 * SECOND_NS)
        return tuple(Nanos(value // tick * tick) for value in (*near, last))
    if grid_type in (GridType.FLOAT, GridType.DOUBLE):
        tiny, huge = (1e-45, 3.4028234663852886e38) if grid_type is GridType.FLOAT else (5e-324, 1.7976931348623157e308)
        numbers = (0.0, -0.0, 1.5, -math.pi, tiny, -tiny, huge, -huge, math.inf, -math.inf, math.nan, 0.1)
        return tuple(float_bits(grid_type, number) for number in numbers)
    others: dict[GridType, tuple[Value, ...]] = {
        GridType.BOOL: (True, False),
        GridType.STRING: WORDS,
        GridType.BLOB: (b"", b"\x00", bytes(range(256)), b"\xff" * 70_000, b"\x00" * 63, b"\x01" * 64, b"plain"),
    }
    return others[grid_type]


PLAIN_TYPES = tuple(t for t in GridType if t is not GridType.GEOMETRY)


def value_columns(*, nullable: bool) -> tuple[ColumnSpec, ...]:
    """One column of each type and each array type; GEOMETRY has a test of its own, as its bytes are GridDB's."""
    plain = [ColumnSpec(f"c_{t.name.lower()}", t, nullable=nullable) for t in PLAIN_TYPES]
    arrays = [ColumnSpec(f"a_{t.name.lower()}", t, array=True, nullable=nullable) for t in sorted(ARRAY_TYPES)]
    return (*plain, *arrays)


def edge_value(column: ColumnSpec, number: int) -> Value:
    """The edge value number `number` of the column; they repeat. Arrays have 0, 1, 2 ... elements."""
    edges = _edges(column.type)
    if column.array:
        return [edges[(number + i) % len(edges)] for i in range(number % 5 * (1 if number < 5 else 3))]
    return edges[number % len(edges)]


def _key_columns(*types: GridType) -> tuple[ColumnSpec, ...]:
    return tuple(ColumnSpec(f"k{i}", t, nullable=False) for i, t in enumerate(types))


def _second(number: int) -> Nanos:
    return Nanos((1_600_000_000 + number) * SECOND_NS + 123_000_000)


def _edge_rows(schema: ContainerSchema, key: Callable[[int], Value], count: int, *, nulls: str) -> tuple[Row, ...]:
    rows = []
    for n in range(count):
        values: list[Value] = [edge_value(column, n) for column in schema.columns[1:]]
        if nulls == "one":
            values[n % len(values)] = None
        elif nulls == "all":
            values = [None] * len(values)
        rows.append((key(n), *values))
    return tuple(rows)


def _all_types(label: str, kind: ContainerKind, key_type: GridType, *, nulls: str) -> Sample:
    columns = (*_key_columns(key_type), *value_columns(nullable=nulls != "none"))
    schema = ContainerSchema(kind, columns)
    key: Callable[[int], Value] = _second if key_type is GridType.TIMESTAMP_MS else (lambda n: n - 5)
    return Sample(label, schema, _edge_rows(schema, key, 26, nulls=nulls))


def _each_key(grid_type: GridType) -> Sample:
    columns = (*_key_columns(grid_type), ColumnSpec("n", GridType.INTEGER), ColumnSpec("s", GridType.STRING))
    edges = sorted(set(_edges(grid_type)), key=repr)
    rows = tuple((edge, n, f"row {n}") for n, edge in enumerate(edges) if edge != "")
    return Sample(f"key {grid_type.label}", ContainerSchema(ContainerKind.COLLECTION, columns), rows)


def _composite(*types: GridType) -> Sample:
    columns = (*_key_columns(*types), ColumnSpec("v", GridType.DOUBLE), ColumnSpec("s", GridType.STRING))
    rows = {}
    for n in range(24):
        key = tuple(edge_value(c, n if i == 0 else n // 2) for i, c in enumerate(columns[: len(types)]))
        rows[key] = (*key, float_bits(GridType.DOUBLE, n / 3), None if n % 4 == 0 else f"wert {n}")
    schema = ContainerSchema(ContainerKind.COLLECTION, columns, len(types))
    return Sample("composite " + " ".join(t.label for t in types), schema, tuple(rows.values()))


def _fixed_only() -> Sample:
    columns = (*_key_columns(GridType.TIMESTAMP_MS), *(ColumnSpec(f"d{i}", GridType.DOUBLE) for i in range(9)))
    schema = ContainerSchema(ContainerKind.TIME_SERIES, columns)
    return Sample("TIME_SERIES without variable columns", schema, _edge_rows(schema, _second, 40, nulls="one"))


def _without_key() -> Sample:
    columns = (ColumnSpec("n", GridType.LONG), ColumnSpec("s", GridType.STRING))
    rows: tuple[Row, ...] = ((1, "same"), (1, "same"), (None, None), (2, "other"))
    return Sample("COLLECTION without row key", ContainerSchema(ContainerKind.COLLECTION, columns, 0), rows)


def _at_the_limits() -> Sample:
    columns = (
        *_key_columns(GridType.LONG),
        ColumnSpec("s", GridType.STRING),
        ColumnSpec("many", GridType.BYTE, array=True),
        ColumnSpec("words", GridType.STRING, array=True),
    )
    long_text = "ß" * (LONGEST_STRING_BYTES // 2)
    rows: tuple[Row, ...] = (
        (1, "x" * LONGEST_STRING_BYTES, [n % 256 - 128 for n in range(MOST_ARRAY_ELEMENTS)], []),
        (2, long_text, [], ["", "y" * 127, "y" * 128, "", long_text]),
        (3, "z" * 127, [1], ["a"] * MOST_ARRAY_ELEMENTS),
        (4, "z" * 128, [], [""]),
    )
    return Sample("longest string and array", ContainerSchema(ContainerKind.COLLECTION, columns), rows)


def _wide() -> Sample:
    types = (GridType.DOUBLE, GridType.BOOL, GridType.STRING)
    columns = (*_key_columns(GridType.LONG), *(ColumnSpec(f"c{i}", types[i % 3]) for i in range(200)))
    schema = ContainerSchema(ContainerKind.COLLECTION, columns)
    return Sample("201 columns", schema, _edge_rows(schema, lambda n: n, 15, nulls="one"))


def _empty(kind: ContainerKind) -> Sample:
    columns = (*_key_columns(GridType.TIMESTAMP_MS), ColumnSpec("s", GridType.STRING))
    return Sample(f"empty {kind.name}", ContainerSchema(kind, columns), ())


def samples() -> list[Sample]:
    """The table of samples; labels are unique."""
    kinds = ((ContainerKind.COLLECTION, GridType.LONG), (ContainerKind.TIME_SERIES, GridType.TIMESTAMP_MS))
    return [
        *(
            _all_types(f"all types, NULLs {n}, {k.name}", k, key, nulls=n)
            for k, key in kinds
            for n in ("none", "one", "all")
        ),
        *map(_each_key, sorted(KEY_TYPES)),
        _composite(GridType.TIMESTAMP_US, GridType.STRING),
        _composite(GridType.STRING, GridType.INTEGER, GridType.LONG),
        _composite(GridType.LONG, GridType.TIMESTAMP_NS, GridType.TIMESTAMP_MS, GridType.STRING),
        _composite(GridType.INTEGER, GridType.LONG),
        _fixed_only(),
        _without_key(),
        _at_the_limits(),
        _wide(),
        *map(_empty, ContainerKind),
    ]


def random_sample(seed: int) -> Sample:
    """A random schema with up to 120 random rows; the same for the same seed."""
    dice = random.Random(seed)
    kind = dice.choice(list(ContainerKind))
    if kind is ContainerKind.TIME_SERIES:
        key_types = [GridType.TIMESTAMP_MS]
    else:
        key_types = dice.choices(sorted(KEY_TYPES), k=dice.choice((0, 1, 1, 2, 3)))
    columns = (*_key_columns(*key_types), *(_random_column(dice, i) for i in range(dice.randint(1, 20))))
    schema = ContainerSchema(kind, columns, len(key_types))
    rows = {}
    for n in range(dice.randint(1, 120)):
        row = tuple(_random_value(dice, column) for column in columns)
        rows[row[: len(key_types)] or n] = row
    return Sample(f"seed {seed}", schema, tuple(rows.values()))


def _random_column(dice: random.Random, number: int) -> ColumnSpec:
    array = dice.random() < 0.3
    grid_type = dice.choice(sorted(ARRAY_TYPES) if array else PLAIN_TYPES)
    return ColumnSpec(f"c{number}", grid_type, array, dice.random() < 0.7)


def _random_value(dice: random.Random, column: ColumnSpec) -> Value:
    if column.nullable and dice.random() < 0.25:
        return None
    if column.array:
        return [_random_element(dice, column.type) for _ in range(dice.choice((0, 1, 2, 7, 70)))]
    return _random_element(dice, column.type)


def _random_element(dice: random.Random, grid_type: GridType) -> Value:
    if dice.random() < 0.3:
        edge: Value = dice.choice(_edges(grid_type))
        return edge
    if grid_type in WHOLE_BITS:
        return dice.getrandbits(WHOLE_BITS[grid_type]) - (1 << (WHOLE_BITS[grid_type] - 1))
    if grid_type in TICKS_NS:
        return Nanos(dice.randrange(LAST_NS) // TICKS_NS[grid_type] * TICKS_NS[grid_type])
    if grid_type in (GridType.FLOAT, GridType.DOUBLE):
        return float_bits(grid_type, dice.uniform(-1e6, 1e6))
    if grid_type is GridType.BOOL:
        return dice.random() < 0.5
    if grid_type is GridType.BLOB:
        return dice.randbytes(dice.choice((0, 1, 63, 64, 127, 128, 3000)))
    length = dice.choice((0, 3, 40, 300))
    ascii_ones, others = dice.choices(range(1, 0x80), k=length), dice.choices(range(0x80, 0xD800), k=length)
    which = dice.choices((0, 1), k=length)
    return "".join(chr(pair[place]) for pair, place in zip(zip(ascii_ones, others, strict=True), which, strict=True))
