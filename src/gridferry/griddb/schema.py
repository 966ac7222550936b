"""Containers, columns and types as GridDB knows them: frozen values, closed sets, no I/O."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import TYPE_CHECKING

from gridferry.errors import LocalProtocolError

if TYPE_CHECKING:
    import pyarrow as pa


class GridType(IntEnum):
    """Column types; the numbers are those of the wire."""

    STRING = 0
    BOOL = 1
    BYTE = 2
    SHORT = 3
    INTEGER = 4
    LONG = 5
    FLOAT = 6
    DOUBLE = 7
    TIMESTAMP_MS = 8
    GEOMETRY = 9
    BLOB = 10
    TIMESTAMP_US = 11
    TIMESTAMP_NS = 12

    @property
    def label(self) -> str:
        """The name a GridDB user writes: STRING, TIMESTAMP(6), ..."""
        return _LABELS.get(self, self.name)


_LABELS = {
    GridType.TIMESTAMP_MS: "TIMESTAMP(3)",
    GridType.TIMESTAMP_US: "TIMESTAMP(6)",
    GridType.TIMESTAMP_NS: "TIMESTAMP(9)",
}

KEY_TYPES = frozenset(
    {
        GridType.STRING,
        GridType.INTEGER,
        GridType.LONG,
        GridType.TIMESTAMP_MS,
        GridType.TIMESTAMP_US,
        GridType.TIMESTAMP_NS,
    }
)
ARRAY_TYPES = frozenset(
    {
        GridType.STRING,
        GridType.BOOL,
        GridType.BYTE,
        GridType.SHORT,
        GridType.INTEGER,
        GridType.LONG,
        GridType.FLOAT,
        GridType.DOUBLE,
        GridType.TIMESTAMP_MS,
    }
)


class ContainerKind(IntEnum):
    """Container types; the numbers are those of the wire."""

    COLLECTION = 0
    TIME_SERIES = 1


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """One column. `array` columns hold a list of `type` without NULL elements."""

    name: str
    type: GridType
    array: bool = False
    nullable: bool = True

    @property
    def variable(self) -> bool:
        """Whether the value is in the variable part of a row."""
        return self.array or self.type in (GridType.STRING, GridType.BLOB, GridType.GEOMETRY)

    @property
    def arrow_type(self) -> pa.DataType:
        """The Arrow type that batches of this column have."""
        import pyarrow as pa

        from gridferry.griddb.arrow_types import ARROW_TYPES

        element = ARROW_TYPES[self.type]
        return pa.list_(element) if self.array else element

    @property
    def label(self) -> str:
        """The type as a GridDB user writes it: `DOUBLE`, `STRING[]`."""
        return self.type.label + ("[]" if self.array else "")


@dataclass(frozen=True)
class ContainerSchema:
    """Kind, columns and row key of a container; many containers share one.

    The row key is the first `key_length` columns; 0 means a COLLECTION without a row key.
    Raises: LocalProtocolError for what no server would take (see the constructor).
    """

    kind: ContainerKind
    columns: tuple[ColumnSpec, ...]
    key_length: int = 1

    def __post_init__(self) -> None:
        for problem in _problems(self):
            raise LocalProtocolError(problem)

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        """The schema of batches put into and read from such a container, key columns first."""
        import pyarrow as pa

        return pa.schema([pa.field(c.name, c.arrow_type, nullable=c.nullable) for c in self.columns])

    @property
    def key(self) -> tuple[ColumnSpec, ...]:
        """The row key's columns, in order."""
        return self.columns[: self.key_length]

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in order."""
        return tuple(c.name for c in self.columns)

    @cached_property
    def key_schema(self) -> ContainerSchema:
        """A COLLECTION schema of the key columns only: the shape of a composite row key."""
        return ContainerSchema(ContainerKind.COLLECTION, self.key, self.key_length)

    def column(self, name: str) -> ColumnSpec:
        """The column called `name`, ignoring case. Raises: LocalProtocolError."""
        for column in self.columns:
            if column.name.lower() == name.lower():
                return column
        raise LocalProtocolError(f'no column "{name}"; there are {", ".join(self.names)}')


def _problems(schema: ContainerSchema) -> list[str]:
    found = []
    if not schema.columns:
        found.append("a container needs at least one column")
    if not 0 <= schema.key_length <= min(16, len(schema.columns)):
        found.append(f"{schema.key_length} row key columns: 0 to 16 are possible, and no more than there are columns")
    lowered = [c.name.lower() for c in schema.columns]
    found += [f'two columns are called "{name}"' for name, times in sorted(Counter(lowered).items()) if times > 1]
    for column in schema.columns:
        if column.array and column.type not in ARRAY_TYPES:
            found.append(f'column "{column.name}": there is no array of {column.type.label}')
    for column in schema.key:
        if column.array or column.type not in KEY_TYPES:
            found.append(f'row key column "{column.name}": {column.label} cannot be a row key')
        if column.nullable:
            found.append(f'row key column "{column.name}" must be NOT NULL')
    time_key = [c.type for c in schema.key] == [GridType.TIMESTAMP_MS]
    if schema.kind is ContainerKind.TIME_SERIES and not time_key:
        found.append("a TIME_SERIES has exactly one row key column, a TIMESTAMP(3)")
    return found
