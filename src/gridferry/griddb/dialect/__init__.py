"""SQLAlchemy's dialect `griddb+gridferry://`, for pandas and notebooks too. It needs the extra sqlalchemy."""

from __future__ import annotations

from gridferry.griddb.dialect.dialect import GridDBDialect
from gridferry.griddb.dialect.types import TIMESTAMP

__all__ = ["TIMESTAMP", "GridDBDialect"]
