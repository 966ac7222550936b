"""The user's wishes for one table: what an entry of the config may hold, and what of it goes together."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)

from gridferry.griddb.schema import GridType
from gridferry.model.epoch import EpochUnit
from gridferry.model.table import TableName
from gridferry.model.word import Word
from gridferry.plan.conditions import condition_problem
from gridferry.plan.config_messages import refusal, validation_sentences
from gridferry.plan.plan import OnBadRow, OnDuplicate

TYPE_NAMES: dict[str, GridType] = {
    t.label.lower(): t
    for t in (
        GridType.STRING,
        GridType.BLOB,
        GridType.BOOL,
        GridType.BYTE,
        GridType.SHORT,
        GridType.INTEGER,
        GridType.LONG,
        GridType.FLOAT,
        GridType.DOUBLE,
        GridType.TIMESTAMP_MS,
        GridType.TIMESTAMP_US,
    )
}

T = TypeVar("T")
_WISH_WORDS = ("type", "exact", "scale", "from", "out_of_range")
_MOST_SCALE = 18
_DURATION = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")
_UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SIZE = re.compile(r"([0-9]{1,6})(MB|GB|TB)")
_UNIT_BITS = {"MB": 20, "GB": 30, "TB": 40}
_PART = r'(?:"((?:[^"]|"")+)"|([^".]+))'
QUALIFIED = re.compile(rf"(?:{_PART}\.)?{_PART}")
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


class KindWish(str, Enum):
    """Which kind of container the user wants."""

    AUTO = "auto"
    TIMESERIES = "timeseries"
    COLLECTION = "collection"


class Precision(str, Enum):
    """What to do with digits of a time that its place in GridDB cannot hold."""

    AUTO = "auto"  # keep them, where the data has any
    KEEP = "keep"  # keep them, always
    TRUNCATE = "truncate"  # cut them off


class OnTruncate(str, Enum):
    """What mode cdc does when a table was emptied by TRUNCATE."""

    REFUSE = "refuse"
    APPLY = "apply"


class NewColumns(str, Enum):
    """What a sync does with a column that was added to the source."""

    ADD = "add"
    IGNORE = "ignore"


class SyncMode(Word):
    """How changes are followed."""

    CDC = "cdc"
    WATERMARK = "watermark"


class KeyWish(str, Enum):
    """A row key that names no columns."""

    GENERATED = "generated"  # see `plan.generated_key`


class OutOfRange(str, Enum):
    """What to do with values of a column that its type cannot hold. None of these: another type."""

    ERROR = "error"
    NULL = "null"
    CLAMP = "clamp"
    QUARANTINE = "quarantine"


class Options(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def duration_ms(value: object) -> int:
    """A duration such as `90s`, in milliseconds. Raises: ValueError."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("expected a number with its unit, such as 90s, 15m, 2h or 1d")
    return int(match.group(1)) * _UNIT_MS[match.group(2)]


class SyncOptions(Options):
    """How one table is kept in step.

    In mode watermark `column` grows with each new row, and late rows are looked for `lookback_ms` back in a time
    column, `lookback_values` back in a number. In mode cdc PostgreSQL keeps log until it is read: from `warn_lag` bytes
    of it on a sync warns, from `stop_lag` on it stops. A column that is added to the source is added to the containers,
    unless `new_columns` says ignore. `publication` names the publications that somebody else made of the tables;
    `failover`: the slot is to be there after a failover. Tables in mode cdc have one slot, and agree about both.
    """

    mode: SyncMode
    publication: tuple[str, ...] = ()
    failover: bool = False
    new_columns: NewColumns = NewColumns.ADD
    on_truncate: OnTruncate = OnTruncate.REFUSE
    warn_lag: int = 1 << 30
    stop_lag: int = 64 << 30
    column: str | None = None
    lookback_ms: int = Field(default=15 * 60_000, alias="lookback")
    lookback_values: int = Field(default=10_000, ge=0)

    @field_validator("publication", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        names = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list | tuple) else ()
        if not names or not all(isinstance(name, str) and 0 < len(name.encode()) <= 63 for name in names):
            raise ValueError("expected the name of a publication, or a list of such names")
        return names

    @field_validator("lookback_ms", mode="before")
    @classmethod
    def _duration(cls, value: Any) -> int:
        return duration_ms(value)

    @field_validator("warn_lag", "stop_lag", mode="before")
    @classmethod
    def _size(cls, value: Any) -> int:
        match = _SIZE.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise ValueError("expected a number with its unit, such as 512MB or 64GB")
        return int(match.group(1)) << _UNIT_BITS[match.group(2)]

    @model_validator(mode="after")
    def _only_for_its_mode(self) -> SyncOptions:
        watermark = {"column", "lookback_ms", "lookback_values"} & self.model_fields_set
        cdc = {"on_truncate", "warn_lag", "stop_lag", "publication", "failover"} & self.model_fields_set
        if self.mode is SyncMode.CDC and watermark:
            raise ValueError("column and lookback belong to mode watermark; leave them out with mode cdc")
        if self.mode is SyncMode.WATERMARK and cdc:
            raise ValueError(
                "on_truncate, warn_lag, stop_lag, publication and failover belong to mode cdc; leave them out with "
                "mode watermark"
            )
        return self


class ColumnWish(Options):
    """What the user wants of one column: a type, and what becomes of values that it cannot hold.

    `exact` of a numeric as a double: whether a number that would not come back is refused, or rounded; None lets the
    data decide. With `scale` a numeric becomes a LONG of that many decimals. `unit`, in the file `from`, is what a
    number counts that becomes a time. `out_of_range` may be a type, which the column gets if the data needs it.
    """

    type: GridType | None = None
    exact: bool | None = None
    scale: int | None = None
    unit: EpochUnit | None = None
    out_of_range: OutOfRange | GridType | None = None

    @classmethod
    def read(cls, name: str, given: object) -> ColumnWish:
        """The wish as it stands in the config file: a type, or pairs. Raises: ValueError."""
        if isinstance(given, ColumnWish):
            return given
        if not isinstance(given, Mapping):
            return cls(type=_type_of(name, given))
        unknown = sorted(set(map(str, given)) - set(_WISH_WORDS))
        if unknown or not given:
            what = f"does not know {unknown[0]}" if unknown else "is empty"
            raise ValueError(f'column "{name}" {what}; allowed: {", ".join(_WISH_WORDS)}')
        wish = cls(
            type=_type_of(name, given["type"]) if "type" in given else None,
            exact=_one_of(name, "exact", given.get("exact"), bool),
            scale=_one_of(name, "scale", given.get("scale"), int),
            unit=_unit(name, given["from"]) if "from" in given else None,
            out_of_range=_beyond(name, given["out_of_range"]) if "out_of_range" in given else None,
        )
        wish._require_sense(name)
        return wish

    def _require_sense(self, name: str) -> None:
        problems = (
            (self.exact is not None and self.type is not GridType.DOUBLE, "exact needs `type: double`"),
            (self.scale is not None and self.type is not GridType.LONG, "scale needs `type: long`"),
            (self.scale is not None and not 0 < self.scale <= _MOST_SCALE, f"scale is 1 to {_MOST_SCALE}"),
            (
                self.unit is not None and self.type not in (GridType.TIMESTAMP_MS, GridType.TIMESTAMP_US),
                "from needs `type: timestamp(3)` or `type: timestamp(6)`",
            ),
            (
                self.type is not None and isinstance(self.out_of_range, GridType),
                "out_of_range names a type, and type another; leave one out",
            ),
        )
        for wrong, sentence in problems:
            if wrong:
                raise ValueError(f'column "{name}": {sentence}')


def _type_of(name: str, given: object) -> GridType:
    kind = given if isinstance(given, GridType) else TYPE_NAMES.get(str(given).lower().replace(" ", ""))
    if kind is None:
        raise ValueError(f'the type wanted for column "{name}" is not known; allowed: {", ".join(TYPE_NAMES)}')
    return kind


def _unit(name: str, given: object) -> EpochUnit:
    found = next((unit for unit in EpochUnit if unit.value == str(given).lower()), None)
    if found is None:
        raise ValueError(f'column "{name}": from is {", ".join(unit.value for unit in EpochUnit)}')
    return found


def _one_of(name: str, option: str, given: object, kind: type[T]) -> T | None:
    if given is None or type(given) is kind:
        return given
    raise ValueError(f'column "{name}": {option} is {"true or false" if kind is bool else "a whole number"}')


def _beyond(name: str, given: object) -> OutOfRange | GridType:
    # `null` without quotes is YAML's own.
    word = "null" if given is None else str(given).lower().replace(" ", "")
    if word in {each.value for each in OutOfRange}:
        return OutOfRange(word)
    if word in TYPE_NAMES:
        return TYPE_NAMES[word]
    words = ", ".join(each.value for each in OutOfRange)
    raise ValueError(
        f'column "{name}": out_of_range is {words}, or a type that holds every value, such as long or string'
    )


class TableOptions(Options):
    """The user's wishes for one table. Names are as PostgreSQL has them; case counts.

    `exclude` has the reason of each column that is left out, None where the file lists its name only.
    """

    table: str = Field(min_length=1)
    split_by: str | None = Field(default=None, min_length=1)
    containers: dict[str, str] = Field(default_factory=dict)
    container: str | None = Field(default=None, min_length=1)
    key: tuple[str, ...] | KeyWish = ()
    kind: KindWish = KindWish.AUTO
    precision: Precision = Precision.AUTO
    rename: dict[str, str] = Field(default_factory=dict)
    exclude: dict[str, str | None] = Field(default_factory=dict)
    columns: dict[str, ColumnWish] = Field(default_factory=dict)
    keep_split_column: bool = False
    on_duplicate: OnDuplicate = OnDuplicate.ERROR
    on_bad_row: OnBadRow = OnBadRow.ERROR
    order_by: tuple[str, ...] = ()
    where: str = ""
    sync: SyncOptions | None = None

    @field_validator("exclude", mode="before")
    @classmethod
    def _reasons(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return dict.fromkeys(cls._name_or_list(value))
        if not value or not all(isinstance(name, str) and name for name in value):
            raise ValueError("expected column names, or `column: reason` pairs such as {notes: not needed}")
        for name, why in value.items():
            if not isinstance(why, str) or not why.strip():
                raise ValueError(
                    f'the column "{name}" needs a reason why it is not needed, as text; or give a list of names only'
                )
        return {name: " ".join(why.split()) for name, why in value.items()}

    @field_serializer("exclude")
    def _names(self, value: dict[str, str | None]) -> list[str]:
        # A reason decides nothing about what is loaded: with another one it is the same load.
        return sorted(value)

    @field_validator("key", mode="before")
    @classmethod
    def _key(cls, value: Any) -> Any:
        if value in ("none", None):
            raise ValueError(
                "a container without a row key cannot be loaded again after an interruption, repaired or kept in step; "
                "write `key: generated`, which keeps every row, or `key: [none]` for a column of that name"
            )
        return KeyWish.GENERATED if value == KeyWish.GENERATED.value else cls._name_or_list(value)

    @field_validator("order_by", mode="before")
    @classmethod
    def _name_or_list(cls, value: Any) -> Any:
        names = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list | tuple) else ()
        if not names or not all(isinstance(name, str) and name for name in names):
            raise ValueError("expected a column name, or a list of column names such as [device, ts]")
        if len(set(names)) < len(names):
            raise ValueError("names a column twice")
        return names

    @field_validator("columns", mode="before")
    @classmethod
    def _types(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError("expected `column: type` pairs, such as {price: double}")
        return {name: ColumnWish.read(name, wish) for name, wish in value.items()}

    @field_serializer("columns")
    def _wishes(self, value: dict[str, ColumnWish]) -> dict[str, Any]:
        # A type alone is written as its number, as it was before there was anything else to say.
        written = {name: wish.model_dump(mode="json", exclude_none=True) for name, wish in value.items()}
        return {name: each["type"] if list(each) == ["type"] else each for name, each in written.items()}

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The columns that `key` names; none where it is left out, or generated."""
        return () if isinstance(self.key, KeyWish) else self.key

    @property
    def aside(self) -> tuple[str, ...]:
        """The columns that say `out_of_range: quarantine`."""
        return tuple(n for n, wish in sorted(self.columns.items()) if wish.out_of_range is OutOfRange.QUARANTINE)

    @property
    def types(self) -> dict[str, GridType]:
        """The types that are wanted, by column."""
        return {name: wish.type for name, wish in self.columns.items() if wish.type is not None}

    @field_validator("where")
    @classmethod
    def _condition(cls, value: str) -> str:
        problem = condition_problem(value)
        if problem:
            raise ValueError(f"{problem}; write one SQL condition, such as: active AND ts > '2024-01-01'")
        return value

    @field_validator("table")
    @classmethod
    def _table_name(cls, value: str) -> str:
        if QUALIFIED.fullmatch(value) is None:
            raise ValueError('expected schema.table; a name with a dot or a quote in it is written in "double quotes"')
        if is_pattern(value):
            raise ValueError('means many tables; one with * or ? in its name is written in "double quotes"')
        return value

    @field_validator("container")
    @classmethod
    def _template(cls, value: str | None) -> str | None:
        rest = PLACEHOLDER.sub("", value or "")
        if "{" in rest or "}" in rest:
            raise ValueError("has a brace without its partner; placeholders look like {value}")
        return value

    @model_validator(mode="after")
    def _splitting(self) -> TableOptions:
        fields = set(PLACEHOLDER.findall(self.container or ""))
        of_value = {"value", self.split_by} if self.split_by else set()
        unknown = sorted(fields - of_value - {"table", "schema"})
        problems = [
            (bool(unknown), f"container: the placeholder {{{''.join(unknown[:1])}}} means nothing here; allowed: "
             + ", ".join(f"{{{name}}}" for name in sorted({"table", "schema"} | {str(v) for v in of_value}))),
            (bool(self.split_by and self.container and not fields & of_value),
             "container: needs {value} in it, because split_by makes one container for each value"),
            (bool(self.containers and not self.split_by), "containers: gives names to values, so it needs split_by"),
            (bool(self.keep_split_column and not self.split_by), "keep_split_column: needs split_by"),
        ]  # fmt: skip
        found = [sentence for wrong, sentence in problems if wrong]
        if found:
            raise ValueError("; ".join(found))
        return self

    @property
    def schema_name(self) -> str:
        """The table's schema: `public` where none was written."""
        return self._parts[0]

    @property
    def table_name(self) -> str:
        """The table's name without its schema."""
        return self._parts[1]

    @property
    def full_name(self) -> TableName:
        """The table's schema and name."""
        return self._parts

    @property
    def qualified(self) -> str:
        """`schema.table`, as the state and all messages name the table."""
        return f"{self.schema_name}.{self.table_name}"

    @property
    def sync_mode(self) -> SyncMode | None:
        """How the table is followed; None where it is not."""
        return None if self.sync is None else self.sync.mode

    @property
    def _parts(self) -> TableName:
        return _parts_of(self.table)


@lru_cache(maxsize=20_000)
def _parts_of(written: str) -> TableName:
    match = QUALIFIED.fullmatch(written)
    quoted_schema, schema, quoted_name, name = match.groups() if match else (None, None, None, written)
    plain = [q.replace('""', '"') if q else p for q, p in ((quoted_schema, schema), (quoted_name, name))]
    return TableName(plain[0] or "public", plain[1] or "")


def is_pattern(written: str) -> bool:
    """Whether a name holds `*` or `?` outside of double quotes, and so means many tables."""
    return bool({"*", "?"} & set(_QUOTED.sub("", written)))


SYNC_OPTIONS = (
    "mode",
    "new_columns",
    "column",
    "lookback",
    "lookback_values",
    "on_truncate",
    "warn_lag",
    "stop_lag",
    "publication",
    "failover",
)


def table_options(**options: Any) -> TableOptions:
    """Options for one table given as in the config file, from Python. Raises: ConfigError with every mistake."""
    try:
        return TableOptions.model_validate_json(json.dumps(options))
    except ValidationError as error:
        allowed = {"": tuple(TableOptions.model_fields), "sync": SYNC_OPTIONS}
        raise refusal("the table's options", validation_sentences(error, allowed=allowed)) from None
