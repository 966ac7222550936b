"""INSERT, UPDATE and DELETE on containers. Behaviour as seen on GridDB CE 5.9.0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
from sqlglot import exp

from gridferry.embedded.catalog import Container
from gridferry.embedded.checks import first_bad_row
from gridferry.embedded.database import Database
from gridferry.embedded.refusal import Code, Refusal
from gridferry.embedded.results import rows_of
from gridferry.embedded.row_statements import PutMode, put_rows
from gridferry.embedded.shape import Shape, shape_of, sql_type
from gridferry.embedded.sources import committed
from gridferry.embedded.sql.cells import Cell, batch_of
from gridferry.embedded.sql.compiling import Compiling
from gridferry.embedded.sql.expressions import Expressions
from gridferry.embedded.sql.names import Column, Relation, Scope, same_name
from gridferry.embedded.sql.syntax import check_parts, syntax_error, unsupported
from gridferry.embedded.sql.tables import Tables, name_of
from gridferry.embedded.sql.values import Typed, assigned, mismatch
from gridferry.embedded.transactions import stored_keys
from gridferry.griddb.schema import ColumnSpec, GridType

_INSERT_PARTS = frozenset({"this", "expression", "alternative"})


@dataclass(frozen=True)
class InsertPlan:
    """INSERT .. VALUES: where to, which columns, and what to do about keys that are there."""

    container: Container
    columns: tuple[int, ...]
    mode: PutMode
    listed: bool


def writable(tables: Tables, node: exp.Expression) -> Container:
    """The container that a statement changes. Raises: 280005, 280010 a view, 240000 columns that SQL does not have."""
    if not isinstance(node, exp.Table):
        raise syntax_error("a table's name is expected")
    tables.check_database(node)
    name = name_of(node)
    if name.startswith("#"):
        raise Refusal(Code.SQL_DDL_INVALID_CONTAINER_ATTRIBUTE, f"Target table '{name}' is not a table")
    found = tables.container(node)
    if found is None and tables.view(node) is not None:
        raise Refusal(Code.SQL_DDL_INVALID_CONTAINER_ATTRIBUTE, f"Target '{name}' is a view")
    if found is None:
        raise Refusal(Code.SQL_DDL_TABLE_NOT_EXISTS, f"Specified table '{name}' is not found")
    for column in found.schema.columns:
        if column.array or column.type is GridType.GEOMETRY:
            raise Refusal(
                Code.SQL_COMPILE_UNSUPPORTED, f"Target table '{name}' is not writable: {column.name} is {column.label}"
            )
    return found


def insert(compiling: Compiling, node: exp.Insert) -> int:
    """INSERT. Returns the rows. Raises: 60154 a key that is there, 240014 number of values, 270006, 305010, .."""
    plan = insert_plan(compiling.tables, node)
    source = node.expression
    if isinstance(source, exp.Values):
        return put_cells(compiling.tables.db, plan, _cells(compiling, source, len(plan.columns)))
    if not isinstance(source, exp.Select | exp.SetOperation | exp.Subquery):
        raise syntax_error("INSERT takes VALUES or a query")
    return _insert_query(compiling, plan, source)


def insert_plan(tables: Tables, node: exp.Insert) -> InsertPlan:
    """What an INSERT writes to. Raises: Refusal."""
    check_parts(node, _INSERT_PARTS, "INSERT")
    if node.args.get("alternative") not in (None, "REPLACE"):
        raise syntax_error(f"INSERT OR {node.args['alternative']} is not known")
    mode = PutMode.UPSERT if node.args.get("alternative") else PutMode.INSERT
    target: exp.Expression = node.this
    listed: tuple[exp.Expression, ...] = ()
    if isinstance(target, exp.Schema):
        check_parts(target, frozenset({"this", "expressions"}), "INSERT")
        target, listed = target.this, tuple(target.expressions)
    check_parts(target, frozenset({"this", "db"}), "INSERT INTO")
    container = writable(tables, target)
    specs = container.schema.columns
    columns = tuple(_number_of(specs, each) for each in listed) or tuple(range(len(specs)))
    if len(set(columns)) != len(columns):
        raise syntax_error("a column stands twice in INSERT")
    for number, spec in enumerate(specs):
        if number not in columns and not spec.nullable:
            raise Refusal(
                Code.SQL_DML_INSERT_INVALID_NULL_CONSTRAINT, f"column {spec.name} is NOT NULL and gets no value"
            )
    return InsertPlan(container, columns, mode, bool(listed))


def _number_of(specs: Sequence[ColumnSpec], node: exp.Expression) -> int:
    if isinstance(node, exp.Column) and node.args.get("table"):
        raise syntax_error("a column's name stands alone here")
    name = node.this if isinstance(node, exp.Column) else node
    for number, spec in enumerate(specs):
        if isinstance(name, exp.Identifier) and same_name(spec.name, name):
            return number
    raise syntax_error(f"no column {node.name} in the table")


def put_cells(db: Database, plan: InsertPlan, columns: Sequence[Sequence[Cell]]) -> int:
    """Put rows of values, given by column of the plan. Returns how many."""
    count = len(columns[0]) if columns else 0
    by_number = dict(zip(plan.columns, columns, strict=True))
    absent = [Cell(None, None)] * count
    specs = plan.container.schema.columns
    batch = batch_of(plan.container.schema, [by_number.get(number, absent) for number in range(len(specs))])
    put_rows(db, plan.container, batch, mode=plan.mode, whole=plan.listed)
    return count


def _cells(compiling: Compiling, values: exp.Values, width: int) -> list[list[Cell]]:
    """The values by column; those that are no literals and parameters are computed in one query."""
    check_parts(values, frozenset({"expressions"}), "VALUES")
    expressions = Expressions(compiling, Scope())
    rows: list[list[Typed]] = []
    for row in values.expressions:
        cells = row.expressions if isinstance(row, exp.Tuple) else [row.this if isinstance(row, exp.Paren) else row]
        if len(cells) != width:
            raise Refusal(Code.SQL_COMPILE_MISMATCH_SCHEMA, f"{width} columns get {len(cells)} values")
        rows.append([expressions.value(cell) for cell in cells])
    found = [[Cell(value.type, value.value) for value in row] for row in rows]
    computed = [
        (r, c, value)
        for r, row in enumerate(rows)
        for c, value in enumerate(row)
        if value.value is None and value.type is not None
    ]
    if computed:
        items = ", ".join(f"({v.sql})::{sql_type(v.type)} AS o{n}" for n, (_, _, v) in enumerate(computed) if v.type)
        answer = compiling.tables.db.duck.select(f"SELECT {items}", tables=compiling.tables.used)
        for place, (r, c, value) in enumerate(computed):
            plain = answer.column(place)[0].as_py()
            found[r][c] = Cell(None if plain is None else value.type, plain)
    return [list(column) for column in zip(*found, strict=True)]


def _insert_query(compiling: Compiling, plan: InsertPlan, node: exp.Expression) -> int:
    query = compiling.query(node)
    db, schema = compiling.tables.db, plan.container.schema
    if len(query.columns) != len(plan.columns):
        raise Refusal(Code.SQL_COMPILE_MISMATCH_SCHEMA, f"{len(plan.columns)} columns get {len(query.columns)} values")
    by_number = dict(zip(plan.columns, query.columns, strict=True))
    items = []
    for number, spec in enumerate(schema.columns):
        column = by_number.get(number)
        value = f"NULL::{sql_type(spec.type)}" if column is None else assigned(column.value, spec.type)
        items.append(f"{value} AS c{number}")
    db.settle()
    table = db.duck.select(f"SELECT {', '.join(items)} FROM ({query.sql}) AS source", tables=compiling.tables.used)
    batch = _checked_nulls(plan.container, table)
    put_rows(db, plan.container, batch, mode=plan.mode, whole=True)
    return int(batch.num_rows)


def _checked_nulls(container: Container, table: pa.Table) -> pa.RecordBatch:
    schema = container.schema
    arrays = []
    for number, spec in enumerate(schema.columns):
        column = table.column(f"c{number}").combine_chunks()
        if not spec.nullable and column.null_count:
            raise mismatch("NULL", spec.label)
        arrays.append(column if column.type == spec.arrow_type else column.cast(spec.arrow_type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema.arrow_schema)


@dataclass(frozen=True)
class _Rows:
    """The rows that UPDATE or DELETE means: their container, as a relation, and the condition."""

    container: Container
    shape: Shape
    source: str
    scope: Scope
    condition: str


def _rows(compiling: Compiling, node: exp.Update | exp.Delete) -> _Rows:
    target = node.this
    check_parts(target, frozenset({"this", "db", "alias"}), "a table")
    container = writable(compiling.tables, target)
    shape = shape_of(container.schema)
    compiling.tables.db.rows.make(shape)
    alias = compiling.alias()
    columns = tuple(
        Column(spec.name, Typed(f"{alias}.{name}", spec.type, spec.nullable))
        for name, spec in zip(shape.value_names, container.schema.columns, strict=True)
    )
    scope = Scope([Relation(target.alias if target.args.get("alias") else container.name, columns)])
    where = node.args.get("where")
    condition = "" if where is None else f" WHERE {Expressions(compiling, scope).condition(where.this).sql}"
    return _Rows(container, shape, f"{committed(container).sql} AS {alias}", scope, condition)


def update(compiling: Compiling, node: exp.Update) -> int:
    """UPDATE. Returns the rows. Raises: 60049 another key, 305004, 305010, 60079, 60166."""
    check_parts(node, frozenset({"this", "expressions", "where"}), "UPDATE")
    rows = _rows(compiling, node)
    specs = rows.container.schema.columns
    alias = rows.source.rpartition(" ")[2]
    values = {name: f"{alias}.{name}" for name in rows.shape.names}
    expressions = Expressions(compiling, rows.scope)
    seen: set[int] = set()
    for each in node.expressions:
        if not isinstance(each, exp.EQ) or each.expression.find(exp.Query) is not None:
            raise syntax_error("SET takes column = value, without queries")
        number = _number_of(specs, each.this)
        if number in seen:
            raise syntax_error(f"column {specs[number].name} stands twice in SET")
        seen.add(number)
        value = expressions.value(each.expression)
        if value.type is None and not specs[number].nullable:
            raise mismatch("NULL", specs[number].label)
        values[f"c{number}"] = assigned(value, specs[number].type)
    names = ", ".join(f"{sql} AS {name}" for name, sql in values.items())
    olds = ", ".join(f"{alias}.{name} AS old_{name}" for name in rows.shape.key_names)
    asked = f"SELECT {names}{', ' if olds else ''}{olds} FROM {rows.source}{rows.condition}"
    return _replace(compiling.tables, rows, asked)


def _replace(tables: Tables, rows: _Rows, asked: str) -> int:
    db, container, shape = tables.db, rows.container, rows.shape
    db.faults.check_put()
    table = _held(tables, rows, asked)
    for name in shape.key_names:
        if not table.column(name).equals(table.column(f"old_{name}")):
            raise Refusal(Code.DS_COL_ROWKEY_INVALID, "Row key is not same value")
    table = table.select(list(shape.names))
    batch = rows_of(container.schema, table).batch
    bad = first_bad_row(container.schema, batch)
    if bad is not None:
        raise mismatch("NULL", "NOT NULL") if _holds_null(container, batch) else bad[1]
    if table.num_rows:
        with db.writing():
            db.rows.replace(shape, table, contested=True)
    return int(table.num_rows)


def _holds_null(container: Container, batch: pa.RecordBatch) -> bool:
    return any(
        not spec.nullable and array.null_count
        for spec, array in zip(container.schema.columns, batch.columns, strict=True)
    )


def delete(compiling: Compiling, node: exp.Delete) -> int:
    """DELETE. Returns the rows. Raises: 60166."""
    check_parts(node, frozenset({"this", "where"}), "DELETE")
    if node.this.args.get("alias"):
        raise unsupported("DELETE with an alias")
    rows = _rows(compiling, node)
    names = ", ".join(rows.shape.names)
    table = _held(compiling.tables, rows, f"SELECT {names} FROM {rows.source}{rows.condition}")
    if table.num_rows:
        db = compiling.tables.db
        with db.writing():
            db.rows.remove(rows.container, table.column(rows.shape.identity).combine_chunks())
    return int(table.num_rows)


def _held(tables: Tables, rows: _Rows, asked: str) -> pa.Table:
    """The rows, once no transaction of NoSQL holds any of them."""
    db = tables.db
    db.settle()
    table = db.duck.select(asked, tables=tables.used)
    if db.wait_for(rows.container, set(stored_keys(rows.shape, table))):
        db.settle()
        table = db.duck.select(asked, tables=tables.used)
    return table
