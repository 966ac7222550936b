"""Requests that GridDB's own client sends and gridferry does not. Source: protocol page, section 7."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gridferry.griddb.wire.requests import request
from gridferry.griddb.wire.row_requests import KeyedRow
from gridferry.griddb.wire.statement import Statement


@request
@dataclass(frozen=True)
class AppendRow(KeyedRow):
    """Put one row into a TIME_SERIES at the server's time; the key in its image means nothing."""

    statement: ClassVar[Statement] = Statement.APPEND_TIME_SERIES_ROW
