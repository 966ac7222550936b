"""What GridDB's catalog says of tables, in the shapes that SQLAlchemy's reflection has."""

from __future__ import annotations

from typing import Any

from sqlalchemy import exc

from gridferry.griddb.dialect.types import reflected

_NAMES = {
    "tables": 'SELECT TABLE_NAME FROM "#tables" ORDER BY TABLE_NAME',
    "views": 'SELECT VIEW_NAME FROM "#views" ORDER BY VIEW_NAME',
}
_COLUMNS = (
    'SELECT COLUMN_NAME, TYPE_NAME, DECIMAL_DIGITS, NULLABLE FROM "#columns" WHERE TABLE_NAME = ? '
    "ORDER BY ORDINAL_POSITION"
)
_KEY = 'SELECT COLUMN_NAME FROM "#primary_keys" WHERE TABLE_NAME = ? ORDER BY KEY_SEQ'
_INDEXES = (
    'SELECT INDEX_NAME, COLUMN_NAME FROM "#index_info" WHERE TABLE_NAME = ? AND INDEX_NAME IS NOT NULL '
    "ORDER BY INDEX_NAME, ORDINAL_POSITION"
)
_VIEW = 'SELECT VIEW_DEFINITION FROM "#views" WHERE VIEW_NAME = ?'


def names(connection: Any, what: str) -> list[str]:
    """The names of all `tables` or `views` of the database."""
    return [name for (name,) in connection.exec_driver_sql(_NAMES[what])]


def real_name(connection: Any, name: str) -> tuple[str, str] | None:
    """A table or view as the catalog writes it, and which of the two; None where there is none. Case is ignored."""
    for what in ("tables", "views"):
        found = names(connection, what)
        if name in found:
            return name, what
        same = [each for each in found if each.lower() == name.lower()]
        if same:
            return same[0], what
    return None


def required(connection: Any, name: str) -> tuple[str, str]:
    """As `real_name`. Raises: NoSuchTableError."""
    found = real_name(connection, name)
    if found is None:
        raise exc.NoSuchTableError(name)
    return found


def columns(connection: Any, name: str) -> list[dict[str, Any]]:
    """The columns of a table or view."""
    real, what = required(connection, name)
    if what == "views":
        return _columns_of_view(connection, real)
    return [
        {"name": column, "type": reflected(kind, digits), "nullable": bool(nullable), "default": None}
        for column, kind, digits, nullable in connection.exec_driver_sql(_COLUMNS, (real,))
    ]


def _columns_of_view(connection: Any, name: str) -> list[dict[str, Any]]:
    """The catalog does not have them; a query without rows does."""
    quoted = '"' + name.replace('"', '""') + '"'
    described = connection.exec_driver_sql(f"SELECT * FROM {quoted} LIMIT 0").cursor.description
    found = []
    for column, code, *_, nullable in described:
        kind, _, digits = str(code).partition("(")
        digit = int(digits.rstrip(")")) if digits else None
        found.append({"name": column, "type": reflected(kind, digit), "nullable": bool(nullable), "default": None})
    return found


def primary_key(connection: Any, name: str) -> dict[str, Any]:
    """The columns of the row key, in order; none where rows have no key."""
    real, _ = required(connection, name)
    return {"constrained_columns": [column for (column,) in connection.exec_driver_sql(_KEY, (real,))], "name": None}


def indexes(connection: Any, name: str) -> list[dict[str, Any]]:
    """The indexes of a table, but for that of its key."""
    real, _ = required(connection, name)
    found: dict[str, list[str]] = {}
    for index, column in connection.exec_driver_sql(_INDEXES, (real,)):
        found.setdefault(index, []).append(column)
    return [{"name": index, "column_names": listed, "unique": False} for index, listed in found.items()]


def view_definition(connection: Any, name: str) -> str:
    """The statement of a view. Raises: NoSuchTableError."""
    real, what = required(connection, name)
    if what != "views":
        raise exc.NoSuchTableError(name)
    return str(connection.exec_driver_sql(_VIEW, (real,)).scalar_one())
