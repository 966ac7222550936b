"""SQLAlchemy's types as GridDB's: a type that GridDB does not have is refused by name, and none is cut in silence."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

from sqlalchemy import exc
from sqlalchemy import types as sa
from sqlalchemy.sql import compiler

_NO_NUMERIC = "GridDB has no decimal numbers: use Double, or a BigInteger of the smallest unit, or String"
_NO_TIME = "GridDB has no type for a time of day: use String, or DateTime"
_PRECISIONS = (3, 6, 9)


class TIMESTAMP(sa.DateTime):
    """A time in UTC with `precision` digits below the second: 3, 6 or 9. The key of a TIME_SERIES has 3.

    Values of 9 digits come as numpy.datetime64, which Python's datetime cannot hold.
    """

    __visit_name__ = "GRIDDB_TIMESTAMP"

    def __init__(self, precision: int = 3, timezone: bool = False) -> None:
        if precision not in _PRECISIONS:
            raise exc.ArgumentError(f"a TIMESTAMP of GridDB has 3, 6 or 9 digits, and not {precision}")
        super().__init__(timezone=timezone)
        self.precision = precision


class UtcDateTime(sa.DateTime):
    """Naive times mean UTC, as everywhere in gridferry; they come back naive unless the type has a time zone."""

    def result_processor(self, dialect: Any, coltype: Any) -> Callable[[Any], Any] | None:
        if self.timezone:
            return None
        return lambda value: value.replace(tzinfo=None) if isinstance(value, dt.datetime) else value


class MidnightDate(sa.Date):
    """A date is stored as the midnight, in UTC, that it begins with."""

    def bind_processor(self, dialect: Any) -> Callable[[Any], Any]:
        def midnight(value: Any) -> Any:
            if not isinstance(value, dt.date) or isinstance(value, dt.datetime):
                return value
            return dt.datetime(value.year, value.month, value.day, tzinfo=dt.timezone.utc)

        return midnight

    def result_processor(self, dialect: Any, coltype: Any) -> Callable[[Any], Any]:
        return lambda value: value.date() if isinstance(value, dt.datetime) else value


COLSPECS: dict[type[sa.TypeEngine[Any]], type[sa.TypeEngine[Any]]] = {
    sa.DateTime: UtcDateTime,
    sa.Date: MidnightDate,
}


class GridDBTypeCompiler(compiler.GenericTypeCompiler):
    """The types of CREATE TABLE and CAST. Raises: CompileError for what GridDB does not have."""

    def visit_SMALLINT(self, type_: Any, **kw: Any) -> str:
        return "SHORT"

    def visit_INTEGER(self, type_: Any, **kw: Any) -> str:
        return "INTEGER"

    def visit_BIGINT(self, type_: Any, **kw: Any) -> str:
        return "LONG"

    def visit_REAL(self, type_: Any, **kw: Any) -> str:
        return "FLOAT"

    def visit_FLOAT(self, type_: Any, **kw: Any) -> str:
        return "FLOAT" if type_.precision is not None and type_.precision <= 24 else "DOUBLE"

    def visit_DOUBLE(self, type_: Any, **kw: Any) -> str:
        return "DOUBLE"

    def visit_DOUBLE_PRECISION(self, type_: Any, **kw: Any) -> str:
        return "DOUBLE"

    def visit_NUMERIC(self, type_: Any, **kw: Any) -> str:
        raise exc.CompileError(_NO_NUMERIC)

    visit_DECIMAL = visit_NUMERIC

    def visit_BOOLEAN(self, type_: Any, **kw: Any) -> str:
        return "BOOL"

    def visit_VARCHAR(self, type_: Any, **kw: Any) -> str:
        return "STRING"

    visit_CHAR = visit_NVARCHAR = visit_NCHAR = visit_TEXT = visit_CLOB = visit_JSON = visit_VARCHAR

    def visit_uuid(self, type_: Any, **kw: Any) -> str:
        return "STRING"

    def visit_BLOB(self, type_: Any, **kw: Any) -> str:
        return "BLOB"

    visit_BINARY = visit_VARBINARY = visit_BLOB

    def visit_large_binary(self, type_: Any, **kw: Any) -> str:
        return "BLOB"

    def visit_DATETIME(self, type_: Any, **kw: Any) -> str:
        return "TIMESTAMP(6)"  # as many digits as Python's datetime

    visit_TIMESTAMP = visit_DATETIME

    def visit_GRIDDB_TIMESTAMP(self, type_: Any, **kw: Any) -> str:
        return f"TIMESTAMP({type_.precision})"

    def visit_DATE(self, type_: Any, **kw: Any) -> str:
        return "TIMESTAMP(3)"

    def visit_TIME(self, type_: Any, **kw: Any) -> str:
        raise exc.CompileError(_NO_TIME)


def reflected(name: str, digits: int | None) -> sa.TypeEngine[Any]:
    """The type of a column as the catalog names it. Types that SQL does not have (arrays, GEOMETRY) are NullType."""
    if name.startswith("TIMESTAMP"):
        return TIMESTAMP(digits or 3)
    return _REFLECTED.get(name, sa.NullType)()


_REFLECTED: dict[str, type[sa.TypeEngine[Any]]] = {
    "BOOL": sa.Boolean,
    "BYTE": sa.SmallInteger,
    "SHORT": sa.SmallInteger,
    "INTEGER": sa.Integer,
    "LONG": sa.BigInteger,
    "FLOAT": sa.REAL,
    "DOUBLE": sa.Double,
    "STRING": sa.String,
    "BLOB": sa.LargeBinary,
}
