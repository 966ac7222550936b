"""The options of a table that say how it is kept in step."""

from __future__ import annotations

import re
from enum import Enum
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from gridferry.model.word import Word

_DURATION = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")
_UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SIZE = re.compile(r"([0-9]{1,6})(MB|GB|TB)")
_UNIT_BITS = {"MB": 20, "GB": 30, "TB": 40}


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
