"""Tables and facts for the planner's tests."""

from __future__ import annotations

from gridferry.model.profile import ColumnProfile, KeyProfile, SplitValue, TableProfile
from gridferry.model.table import Column, PgType, Table, UniqueKey

TS = PgType("timestamp", "timestamp without time zone")
TEXT = PgType("text", "text")
DOUBLE = PgType("float8", "double precision")
BIGINT = PgType("int8", "bigint")
BOOL = PgType("bool", "boolean")


def sensor(**changes: object) -> Table:
    """The sensor table: no key, a time and a device."""
    columns = (
        Column("ts", TS, nullable=False),
        Column("device", PgType("varchar", "character varying(30)", length=30)),
        Column("co", DOUBLE),
        Column("light", BOOL),
        Column("temp", DOUBLE),
    )
    return Table(**{"schema": "public", "name": "device", "relkind": "r", "columns": columns, **changes})  # type: ignore[arg-type]


def sensor_facts(
    *,
    fine: int | None = 3,
    key: KeyProfile | None = None,
    values: tuple[str | None, ...] = ("a", "b"),
    **changes: object,
) -> TableProfile:
    """Its facts: ten rows, times in range, `fine` with digits below the millisecond."""
    facts = ColumnProfile("ts", nulls=0, minimum=0, maximum=10**15, infinite=0, fine=fine, outside=0)
    split = tuple(SplitValue(value, 5) for value in values)
    fields = {"rows": 10, "columns": (facts,), "key": key or key_facts(), "split": split, **changes}
    return TableProfile(**fields)  # type: ignore[arg-type]


def key_facts(colliding: int = 0, truncated: int | None = 0, nulls: int = 0) -> KeyProfile:
    """Facts of the key (device, ts)."""
    return KeyProfile(
        columns=("device", "ts"),
        colliding=colliding,
        examples=("a, 2020-01-01 00:00:00.123456",) if colliding else (),
        truncated_colliding=truncated,
        truncated_examples=("a, 2020-01-01 00:00:00.123",) if truncated else (),
        nulls=nulls,
    )


def primary(*columns: str) -> tuple[UniqueKey, ...]:
    """A primary key."""
    return (UniqueKey("pk", columns, primary=True),)
