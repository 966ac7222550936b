"""The user's wishes for one table: what an entry of the config may hold, and what of it goes together."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from typing import Any

from pydantic import (
    Field,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)

from gridferry.griddb.schema import GridType
from gridferry.model.table import TableName
from gridferry.plan.column_wish import ColumnWish, OutOfRange
from gridferry.plan.conditions import condition_problem
from gridferry.plan.config_messages import refusal, validation_sentences
from gridferry.plan.plan import OnBadRow, OnDuplicate
from gridferry.plan.sync_options import SYNC_OPTIONS, Options, SyncMode, SyncOptions

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


class KeyWish(str, Enum):
    """A row key that names no columns."""

    GENERATED = "generated"  # see `plan.generated_key`


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


def table_options(**options: Any) -> TableOptions:
    """Options for one table given as in the config file, from Python. Raises: ConfigError with every mistake."""
    try:
        return TableOptions.model_validate_json(json.dumps(options))
    except ValidationError as error:
        allowed = {"": tuple(TableOptions.model_fields), "sync": SYNC_OPTIONS}
        raise refusal("the table's options", validation_sentences(error, allowed=allowed)) from None
