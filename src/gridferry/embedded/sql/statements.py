"""One SQL statement: prepared once, run with parameters as often as wanted."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import pyarrow as pa
from sqlglot import exp

from gridferry.embedded.database import Database
from gridferry.embedded.refusal import Code, Refusal
from gridferry.embedded.sql.cells import Cell
from gridferry.embedded.sql.changes import delete, insert, insert_plan, put_cells, update
from gridferry.embedded.sql.compiling import Compiling
from gridferry.embedded.sql.definition_syntax import FIRST_WORDS, parse_definition
from gridferry.embedded.sql.definitions import define
from gridferry.embedded.sql.driver_tables import DRIVER_TABLES
from gridferry.embedded.sql.meta_tables import TABLES, Place, meta_table
from gridferry.embedded.sql.names import Column
from gridferry.embedded.sql.syntax import Parsed, parse, syntax_error, unsupported
from gridferry.embedded.sql.tables import Tables
from gridferry.embedded.sql.values import Typed, literal
from gridferry.griddb.wire.sql_values import Value

_FIRST = re.compile(r"\s*(?:--[^\n]*\n\s*|/\*.*?\*/\s*)*(\w+)", re.DOTALL)
_TRANSACTIONS = frozenset({"BEGIN", "COMMIT", "ROLLBACK"})
_PRAGMA = re.compile(r"\s*PRAGMA\s+([\w.]+)\s*(?:=\s*([\w.'-]+))?\s*;?\s*", re.IGNORECASE)
# Many rows of parameters and nothing else: looked at without a syntax tree, which would take most of the time.
_ROWS = re.compile(r"(?P<head>\s*(?:INSERT|REPLACE)\b.*?\bVALUES)\s*(?P<rows>\([\s?,()]*\))\s*;?\s*", re.I | re.DOTALL)
_LEAST_ROWS = 2


@dataclass(frozen=True)
class Selected:
    """A query to be run: DuckDB's SQL, the columns of its result, and the tables it is to be given."""

    sql: str
    columns: tuple[Column, ...]
    tables: dict[str, pa.Table]


@dataclass(frozen=True)
class Changed:
    """What a statement without a result did: rows, and pragmas."""

    rows: int
    pragmas: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Login:
    """Who runs a statement: database, and time zone in milliseconds. `internal` may read the tables of drivers."""

    database: str
    database_id: int
    zone_ms: int = 0
    internal: bool = False


@dataclass(frozen=True)
class Statement:
    """A statement's text, looked at once. `word` is its first; `rows` those of a plain INSERT of parameters."""

    text: str
    word: str
    parameters: int
    rows: int = 0

    @property
    def selects(self) -> bool:
        """Whether it has a result."""
        return self.word in ("SELECT", "VALUES", "WITH", "(")


@lru_cache(maxsize=256)
def statement_of(text: str) -> Statement:
    """Look at a statement. Raises: 240001, 240000."""
    found = _FIRST.match(text)
    word = found[1].upper() if found else ("(" if text.lstrip().startswith("(") else "")
    if word in _TRANSACTIONS:
        raise Refusal(Code.SQL_COMPILE_UNSUPPORTED, "Unsupported: SQL has no transactions")
    if word in FIRST_WORDS:
        parse_definition(text)
        return Statement(text, word, 0)
    if word == "PRAGMA":
        return Statement(text, word, 0)
    if word in ("EXPLAIN", "GRANT", "REVOKE"):
        raise unsupported(f"statement {word}")
    if word not in ("SELECT", "VALUES", "WITH", "(", "INSERT", "REPLACE", "UPDATE", "DELETE"):
        raise syntax_error(f'Syntax error at or near "{word}"')
    many = _many_rows(text)
    if many is not None:
        return Statement(text, word, *many)
    return Statement(text, word, parsed(text).parameters)


def _many_rows(text: str) -> tuple[int, int] | None:
    """How many parameters and rows an INSERT of nothing but parameters has; None for any other statement."""
    found = _ROWS.fullmatch(text)
    if found is None:
        return None
    plain = "".join(found["rows"].split())
    width = plain.find(")") // 2
    row = f"({','.join('?' * width)})"
    rows = (len(plain) + 1) // (len(row) + 1)
    if rows < _LEAST_ROWS or plain != ",".join([row] * rows):
        return None
    return rows * width, rows


def parsed(text: str) -> Parsed:
    """The syntax tree; `REPLACE INTO` is another word for INSERT OR REPLACE."""
    found = _FIRST.match(text)
    if found and found[1].upper() == "REPLACE":
        text = f"{text[: found.start(1)]}INSERT OR REPLACE{text[found.end(1) :]}"
    return parse(text)


def tables_of(db: Database, login: Login) -> Tables:
    """The tables that a login sees."""
    place = Place(db, login.database, login.database_id)
    known = {**TABLES, **DRIVER_TABLES} if login.internal else TABLES
    return Tables(db, login.database, login.database_id, lambda name: meta_table(place, name, known), {})


def check(db: Database, login: Login, statement: Statement) -> None:
    """What PREPARE looks at: names and types, with NULL for each parameter. Raises: Refusal."""
    if not (statement.selects or statement.word in ("INSERT", "REPLACE", "UPDATE", "DELETE")):
        return
    with db.lock:
        tables = tables_of(db, login)
        compiling = Compiling(tables, None, zone_ms=login.zone_ms)
        if statement.selects:
            compiling.query(parsed(statement.text).tree)
        elif statement.word in ("INSERT", "REPLACE"):
            tree = _insert_of(statement)
            insert_plan(tables, tree)


def _insert_of(statement: Statement) -> exp.Insert:
    text = statement.text
    if statement.rows:
        # One row says all that the head does.
        found = _ROWS.fullmatch(text)
        text = f"{found['head']} (NULL)" if found else text
    tree = parsed(text).tree
    if not isinstance(tree, exp.Insert):
        raise syntax_error('Syntax error at or near "INSERT"')
    return tree


def run(db: Database, login: Login, statement: Statement, values: Sequence[Value]) -> Selected | Changed:
    """Run a statement with its parameters; a query is compiled, to be run by the caller. Raises: Refusal."""
    if len(values) < statement.parameters:
        raise Refusal(
            Code.SQL_COMPILE_INTERNAL, f"the statement has {statement.parameters} parameters, and {len(values)} values"
        )
    if statement.word == "PRAGMA":
        return _pragma(statement.text)
    with db.lock:
        tables = tables_of(db, login)
        if statement.rows:
            return Changed(_insert_rows(tables, statement, values))
        parameters = [Typed("NULL", None) if v.type is None else literal(v.type, v.plain) for v in values]
        compiling = Compiling(tables, parameters, zone_ms=login.zone_ms, now_ms=int(time.time() * 1000))
        if statement.selects:
            query = compiling.query(parsed(statement.text).tree)
            db.settle()
            return Selected(query.sql, query.columns, tables.used)
        return Changed(_change(compiling, statement))


def _change(compiling: Compiling, statement: Statement) -> int:
    if statement.word in FIRST_WORDS:
        define(compiling, statement.text)
        return 0
    tree = parsed(statement.text).tree
    if isinstance(tree, exp.Insert):
        return insert(compiling, tree)
    if isinstance(tree, exp.Update):
        return update(compiling, tree)
    if isinstance(tree, exp.Delete):
        return delete(compiling, tree)
    raise syntax_error(f'Syntax error at or near "{statement.word}"')


def _insert_rows(tables: Tables, statement: Statement, values: Sequence[Value]) -> int:
    plan = insert_plan(tables, _insert_of(statement))
    width = statement.parameters // statement.rows
    if width != len(plan.columns):
        raise Refusal(Code.SQL_COMPILE_MISMATCH_SCHEMA, f"{len(plan.columns)} columns get {width} values")
    cells = [Cell(v.type, v.plain) for v in values[: statement.parameters]]
    return put_cells(tables.db, plan, [cells[n::width] for n in range(width)])


def _pragma(text: str) -> Changed:
    found = _PRAGMA.fullmatch(text)
    if found is None:
        raise syntax_error('Syntax error at or near "PRAGMA"')
    return Changed(0, ((found[1], (found[2] or "").strip("'")),))
