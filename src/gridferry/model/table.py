"""PostgreSQL tables as the catalog describes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple


class TableName(NamedTuple):
    """A table's schema and name, as PostgreSQL has them."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


class TypeKind(str, Enum):
    """What sort of type a column has, after domains are followed down to their base."""

    BASE = "base"
    ENUM = "enum"
    ARRAY = "array"
    OTHER = "other"


@dataclass(frozen=True)
class PgType:
    """A column's type.

    `name` is pg_type.typname of the base type (`int4`, `numeric`, `timestamptz`, an enum's own name); `formatted`
    is what format_type() shows of the declared type (`numeric(10,2)`, a domain's name); `domain` is the outermost
    domain's name or "". `length` is n of varchar(n) and char(n); `precision` and `scale` those of numeric(p,s),
    `precision` also that of timestamp(p); each None where not declared. `builtin`: it compares by PostgreSQL's own
    operators; the others are an extension's (citext) or a user's, and not in the search path of a session.
    """

    name: str
    formatted: str
    kind: TypeKind = TypeKind.BASE
    domain: str = ""
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    builtin: bool = True


@dataclass(frozen=True)
class Column:
    """One live column. `nullable` is False for NOT NULL columns and domains with NOT NULL; `readable` is False where
    the role has no privilege to read it. `number` is pg_attribute.attnum, which a column keeps when it is renamed, and
    no other column gets; 0 where it is not known.
    """

    name: str
    type: PgType
    nullable: bool = True
    generated: bool = False
    readable: bool = True
    number: int = 0


@dataclass(frozen=True)
class UniqueKey:
    """A primary key, or a unique, immediate, whole-table (not partial, no expression) index over `columns`."""

    name: str
    columns: tuple[str, ...]
    primary: bool = False
    nulls_distinct: bool = True


@dataclass(frozen=True)
class Relation:
    """A relation that holds rows: the table itself, or one leaf of a partitioned table or of an inheritance tree.

    `pages` of the server's block size. `heap` says that its rows lie in numbered pages and carry the transaction that
    wrote them (ctid, xmin): true for tables and materialized views of the heap access method whose rows are all there.
    `tree` says that it stands for all relations below it too, because those may not be read by themselves.
    """

    schema: str
    name: str
    pages: int
    row_estimate: int
    relkind: str = "r"
    heap: bool = True
    tree: bool = False


@dataclass(frozen=True)
class Table:
    """A table, partitioned table, view or foreign table. `relkind` as in pg_class.

    `blocked` says why this role cannot read all of it (no privilege, a row policy), or is "". `elsewhere` says why its
    rows do not all lie in heaps of its own ("it is a foreign table"), or is ""; `hypertable` that TimescaleDB keeps it.
    """

    schema: str
    name: str
    relkind: str
    columns: tuple[Column, ...]
    keys: tuple[UniqueKey, ...] = ()
    relations: tuple[Relation, ...] = ()
    row_estimate: int = 0
    size_bytes: int = 0
    indexed: frozenset[str] = field(default_factory=frozenset)  # columns that lead an index
    blocked: str = ""
    elsewhere: str = ""
    hypertable: bool = False

    @property
    def own_heap(self) -> bool:
        """Whether every row lies in a heap of the table's own, so that ctid and xmin are known of all of them."""
        return bool(self.relations) and all(relation.heap for relation in self.relations)

    @property
    def qualified(self) -> str:
        """`schema.name`, as it is written in a config file."""
        return f"{self.schema}.{self.name}"

    def column(self, name: str) -> Column | None:
        """The column called exactly `name`, or None."""
        return next((c for c in self.columns if c.name == name), None)


@dataclass(frozen=True)
class TablesLeftOut:
    """Tables that a list of all tables leaves out, as `schema.name`, and why."""

    tables: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class Listing:
    """All tables of a database that are worth loading by themselves, and those that are not."""

    tables: tuple[Table, ...]
    left_out: tuple[TablesLeftOut, ...] = ()
