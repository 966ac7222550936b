"""The plan: what goes where, in which form, and everything that was found on the way."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from typing import Any

from gridferry.errors import CheckpointError
from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema
from gridferry.model.coverage import LeftOut
from gridferry.model.decoding import Malformed, decoded
from gridferry.model.forms import ColumnName, Count, Name, Sentence

PLAN_VERSION = 2


class Fidelity(str, Enum):
    """How well a column's values survive."""

    EXACT = "exact"  # the same value, the same meaning
    WIDENED = "widened"  # another type, from which every value comes back unchanged
    TEXT = "text"  # its text, which PostgreSQL reads back to the same value; GridDB knows no more of it than a text
    LOSSY = "lossy"  # information is lost, because the user said so
    REFUSED = "refused"  # no rule, or the rule cannot hold


class Kernel(str, Enum):
    """The conversion from what the source reader yields to what the container takes: `transform.kernels`."""

    SAME = "same"  # cast between equal Arrow types
    TEXT = "text"  # text to STRING, checked for length
    TEXT_BLOB = "text_blob"  # text to BLOB as UTF-8
    BYTES = "bytes"  # bytea to BLOB
    DECIMAL_LONG = "decimal_long"  # numeric text to LONG
    DECIMAL_DOUBLE = "decimal_double"  # numeric text to DOUBLE, refused where rounding to scale loses a digit
    DECIMAL_DOUBLE_CHECKED = "decimal_double_checked"  # numeric text to DOUBLE, refused where that is another number
    DECIMAL_DOUBLE_LOSSY = "decimal_double_lossy"  # numeric text to the nearest DOUBLE
    TIME_MS = "time_ms"  # microseconds to TIMESTAMP(3); finer digits refused
    TIME_MS_TRUNCATE = "time_ms_truncate"  # microseconds to TIMESTAMP(3); finer digits cut off
    TIME_US = "time_us"  # microseconds to TIMESTAMP(6)
    DATE_MS = "date_ms"  # date to TIMESTAMP(3) at midnight UTC
    TIME_LONG = "time_long"  # microseconds since 1970 to LONG, infinities to its ends
    DATE_LONG = "date_long"  # days since 1970 to LONG, infinities to its ends
    DECIMAL_SCALED = "decimal_scaled"  # numeric text times 10**scale to LONG
    TIME_US_NULL = "time_us_null"  # as the kernels without the ending; what is out of range becomes NULL
    TIME_MS_NULL = "time_ms_null"
    DATE_MS_NULL = "date_ms_null"
    TEXT_NULL = "text_null"
    TIME_US_CLAMP = "time_us_clamp"  # what is out of range becomes the nearest value, a text its beginning
    TIME_MS_CLAMP = "time_ms_clamp"
    DATE_MS_CLAMP = "date_ms_clamp"
    TEXT_CLAMP = "text_clamp"
    EPOCH = "epoch"  # number of `scale` digits below the second to a time; what loses digits, or is beyond, refused
    EPOCH_TRUNCATE = "epoch_truncate"  # finer digits cut off
    EPOCH_NULL = "epoch_null"
    EPOCH_CLAMP = "epoch_clamp"
    EPOCH_DOUBLE = "epoch_double"  # the same four for doubles
    EPOCH_DOUBLE_TRUNCATE = "epoch_double_truncate"
    EPOCH_DOUBLE_NULL = "epoch_double_null"
    EPOCH_DOUBLE_CLAMP = "epoch_double_clamp"
    LIST = "list"  # text of an array to an array of GridDB's; one that is not flat is refused
    NUMBER = "number"  # between numeric Arrow types, refused where the value changes
    NUMBER_LOSSY = "number_lossy"  # between numeric Arrow types, nearest value
    ROW_HASH = "row_hash"  # the first column of a generated key
    ORDINAL = "ordinal"  # its second: 0 as it is read, numbered where rows with equal values are known to be together


class ReadAs(str, Enum):
    """How the source selects a column."""

    PLAIN = "plain"  # the column itself
    TEXT = "text"  # cast to text by PostgreSQL
    ROW_HASH = "row_hash"  # of the row's values: `source.postgres.sql.row_hash`
    ORDINAL = "ordinal"  # 0: `transform.ordinals` gives rows with equal values their numbers


MADE = frozenset({ReadAs.ROW_HASH, ReadAs.ORDINAL})  # of no column of the source


class OnDuplicate(str, Enum):
    """What to do with several rows of one row key."""

    ERROR = "error"
    LAST = "last"
    FIRST = "first"
    QUARANTINE = "quarantine"


class OnBadRow(str, Enum):
    """What to do with a row that the target cannot store exactly."""

    ERROR = "error"
    QUARANTINE = "quarantine"


@dataclass(frozen=True)
class ColumnPlan:
    """One target column: which source column feeds it, how it is read and converted, and with what verdict.

    `number` is the source column's (`Column.number`), by which it is known again under another name. A table may change
    after its load: `loaded_as` is the name that the source column had then, `loaded_type` its type; both "" while they
    are what they were. `gone`: the source has dropped the column. Rows that are put have NULL there from then on, those
    that are not put again keep the value that they had, and nothing of it is compared.
    """

    source: ColumnName
    pg_type: Name  # format_type() of the source column
    target: ColumnSpec
    read_as: ReadAs
    kernel: Kernel
    verdict: Fidelity
    rule: Sentence  # the rule in one sentence
    scale: Count | None = None  # DECIMAL_*: fractional digits that count; EPOCH*: those below the second of its unit
    number: Count = 0
    loaded_as: Name = ""
    loaded_type: Name = ""
    gone: bool = False

    @property
    def configured(self) -> str:
        """The name by which the config knows the source column."""
        return self.loaded_as or self.source


@dataclass(frozen=True)
class FormerColumns:
    """How the log described the table before a change that the plan has followed: names and types of its columns, and
    for each what the plan calls it now, "" for one that it does not read.

    Changes from before may come again after a stop, and are known by this.
    """

    names: tuple[Name, ...]
    types: tuple[Name, ...]
    now: tuple[Name, ...]


@dataclass(frozen=True)
class SourceColumn:
    """One column that the source selects, and how."""

    name: str
    read_as: ReadAs


@dataclass(frozen=True)
class ContainerPlan:
    """One container and the split value whose rows it takes (None where the table is not split, or for NULL)."""

    name: Name
    value: str | None = None
    rows: Count = 0


class Severity(str, Enum):
    """INFO is worth knowing, RISK may hurt, PROBLEM stops the load."""

    INFO = "info"
    RISK = "risk"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """Something the planner found. `subject` is a column, a key or a container; `advice` the way out."""

    severity: Severity
    subject: str
    message: str
    advice: str = ""


@dataclass(frozen=True)
class TablePlan:
    """Everything needed to load one table.

    `columns` are in target order, row key columns first; `split_by` is the source column that chooses the container,
    or None. `naming` makes container names for values that `containers` does not list (see `plan.names`).
    `order_by` are source columns that decide between rows of one key (`first` and `last`), in order; empty means
    the physical order; where rows have none, that of their values.
    """

    schema: ColumnName
    table: ColumnName
    columns: tuple[ColumnPlan, ...]
    kind: ContainerKind
    key_length: Count
    key: tuple[ColumnName, ...]  # source columns of the row key
    containers: tuple[ContainerPlan, ...]
    split_by: ColumnName | None = None
    naming: Name = ""
    aliases: dict[str, str] = field(default_factory=dict)
    on_duplicate: OnDuplicate = OnDuplicate.ERROR
    on_bad_row: OnBadRow = OnBadRow.ERROR
    order_by: tuple[ColumnName, ...] = ()
    where: str = ""
    rows: Count = 0
    size_bytes: Count = 0
    own_heap: bool = True  # every row lies in a heap of the table's own: `Table.own_heap` when this was planned
    colliding: Count = 0  # rows beyond the first of their row key, as the data was when the plan was made
    findings: tuple[Finding, ...] = ()
    left_out: tuple[LeftOut, ...] = ()  # columns of the source that the config leaves out
    former: tuple[FormerColumns, ...] = ()
    aside: tuple[ColumnName, ...] = ()  # as the config calls them: what has no place puts the row aside in any case

    @property
    def qualified(self) -> str:
        """`schema.table`."""
        return f"{self.schema}.{self.table}"

    @property
    def numbered(self) -> bool:
        """Whether the row key is a generated one: see `plan.generated_key`."""
        return any(column.kernel is Kernel.ROW_HASH for column in self.columns[: self.key_length])

    def puts_aside(self, column: str) -> bool:
        """Whether a row goes to the quarantine for a value of a source column that the target cannot store."""
        if self.on_bad_row is OnBadRow.QUARANTINE:
            return True
        return any(c.source == column and c.configured in self.aside for c in self.columns)

    @property
    def container_schema(self) -> ContainerSchema:
        """The schema that all its containers have."""
        return ContainerSchema(self.kind, tuple(c.target for c in self.columns), self.key_length)

    @property
    def source_columns(self) -> tuple[SourceColumn, ...]:
        """What the source must select for each row: every distinct column that is stored, splits or orders.

        A batch has one column for each, called `name`. The split column is read as text unless it is stored in
        another form.
        """
        wanted = {c.source: c.read_as for c in self.columns if not c.gone}
        if self.split_by is not None:
            wanted.setdefault(self.split_by, ReadAs.TEXT)
        for name in () if self.numbered else self.order_by:
            wanted.setdefault(name, ReadAs.PLAIN)
        return tuple(SourceColumn(name, read_as) for name, read_as in wanted.items())

    @property
    def gone_places(self) -> frozenset[int]:
        """The places of the columns that the source has dropped since the load: nothing of them is compared."""
        return frozenset(place for place, column in enumerate(self.columns) if column.gone)

    def narrowed(self, condition: str) -> TablePlan:
        """The plan of those of its rows that meet `condition` too, SQL of gridferry's own.

        The one place that adds to a user's `where`, which may end in a comment: each is on lines of its own.
        """
        where = f"(\n{self.where}\n) AND (\n{condition}\n)" if self.where.strip() else condition
        return replace(self, where=where)

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings that stop a load."""
        return tuple(f for f in self.findings if f.severity is Severity.PROBLEM)

    def digest(self) -> str:
        """SHA-256 over all that decides where a value goes and in which form; not over counts or findings."""
        document = table_to_json(self)
        for fact in ("containers", "rows", "size_bytes", "own_heap", "colliding", "findings", "left_out", "former"):
            document.pop(fact)
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class UnreadTable:
    """A table of the config that could not be planned: it is not there, or cannot be read. `finding` says why."""

    table: str
    finding: Finding


@dataclass(frozen=True)
class Plan:
    """The plan of a whole config file. `others` are tables of the database that the file does not name."""

    tables: tuple[TablePlan, ...]
    source: str = ""  # host:port/database, for people
    target: str = ""  # member, cluster and database, for people
    others: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()  # about the source itself
    unread: tuple[UnreadTable, ...] = ()

    @property
    def problems(self) -> tuple[Finding, ...]:
        """Every finding that stops a load, of the source and of all tables."""
        own = tuple(f for f in self.findings if f.severity is Severity.PROBLEM)
        return own + tuple(f for t in self.tables for f in t.problems) + tuple(u.finding for u in self.unread)

    def to_json(self) -> dict[str, Any]:
        """A JSON document that `from_json` reads back to an equal plan."""
        return {
            "version": PLAN_VERSION,
            "source": self.source,
            "target": self.target,
            "findings": json.loads(json.dumps([asdict(f) for f in self.findings])),
            "tables": [table_to_json(t) for t in self.tables],
            "others": list(self.others),
            "unread": json.loads(json.dumps([asdict(u) for u in self.unread])),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Plan:
        """The plan that `to_json` wrote. Raises: CheckpointError for another version or a broken document."""
        version = document.get("version")
        if version != PLAN_VERSION:
            raise CheckpointError(
                f"this plan has version {version}, this gridferry reads version {PLAN_VERSION}",
                next_step="make it again with `gridferry plan`",
            )
        try:
            return decoded(cls, {name: value for name, value in document.items() if name != "version"})
        except Malformed as error:
            raise CheckpointError(
                f"the plan is not readable: {error}", next_step="make it again with `gridferry plan`"
            ) from error


def table_to_json(plan: TablePlan) -> dict[str, Any]:
    """One table's plan as plain JSON values."""
    document: dict[str, Any] = json.loads(json.dumps(asdict(plan)))
    return document


def table_from_json(document: dict[str, Any]) -> TablePlan:
    """The table plan that `table_to_json` wrote. Raises: Malformed (a ValueError) if it is broken."""
    return decoded(TablePlan, document)
