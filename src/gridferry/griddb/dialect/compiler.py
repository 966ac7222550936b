"""SQLAlchemy's statements in GridDB's words. What GridDB's SQL does not have is refused here, by name."""

from __future__ import annotations

from typing import Any

from sqlalchemy import exc, util
from sqlalchemy.sql import compiler

_ALL_ROWS = (1 << 63) - 1


class GridDBCompiler(compiler.SQLCompiler):
    """SELECT, INSERT, UPDATE and DELETE."""

    def limit_clause(self, select: Any, **kw: Any) -> str:
        """LIMIT, also where there is an OFFSET alone, which GridDB does not take."""
        if select._limit_clause is None and select._offset_clause is None:
            return ""
        limit, offset = select._limit_clause, select._offset_clause
        text = f" \n LIMIT {_ALL_ROWS if limit is None else self._number(select, limit, **kw)}"
        return text if offset is None else f"{text} OFFSET {self._number(select, offset, **kw)}"

    def _number(self, select: Any, clause: Any, **kw: Any) -> str:
        """A number in the text of the statement: GridDB takes no parameter here."""
        if not select._simple_int_clause(clause):
            raise exc.CompileError("LIMIT and OFFSET of GridDB's SQL are plain numbers")
        return str(self.process(clause.render_literal_execute(), **kw))

    def for_update_clause(self, select: Any, **kw: Any) -> str:
        """Nothing is locked: each statement commits by itself."""
        return ""

    def visit_true(self, expr: Any, **kw: Any) -> str:
        return "TRUE"

    def visit_false(self, expr: Any, **kw: Any) -> str:
        return "FALSE"

    def visit_now_func(self, fn: Any, **kw: Any) -> str:
        return "NOW()"

    visit_current_timestamp_func = visit_localtimestamp_func = visit_now_func

    def visit_mod_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        return f"{self.process(binary.left, **kw)} % {self.process(binary.right, **kw)}"

    def visit_truediv_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        """As numbers with a fraction: GridDB divides whole numbers to whole ones."""
        return f"{self.process(binary.left, **kw)} / CAST({self.process(binary.right, **kw)} AS DOUBLE)"

    def visit_empty_set_expr(self, element_types: Any, **kw: Any) -> str:
        """`IN ()`: a query without rows."""
        return f"SELECT {', '.join('1' for _ in element_types or [None])} WHERE 1 != 1"

    def returning_clause(self, *args: Any, **kw: Any) -> str:
        raise exc.CompileError("GridDB's SQL has no RETURNING")


class GridDBDDLCompiler(compiler.DDLCompiler):
    """CREATE and DROP. Constraints that GridDB would not keep are left out with a warning."""

    def visit_create_table(self, create: Any, **kw: Any) -> str:
        key = [c.name for c in create.element.primary_key.columns]
        first = [c.name for c in create.element.columns][: len(key)]
        if key != first:
            raise exc.CompileError(
                f"the row key of a GridDB table is its first columns, in their order: put {', '.join(key)} first in "
                f"{create.element.name}"
            )
        return str(super().visit_create_table(create, **kw))  # type: ignore[no-untyped-call]

    def get_column_specification(self, column: Any, **kwargs: Any) -> str:
        """A column's name, type and NOT NULL."""
        if column.server_default is not None or column.computed is not None or column.identity is not None:
            raise exc.CompileError(
                f"GridDB has no default of the server for {column.table.name}.{column.name}: use `default` in Python"
            )
        kind = self.dialect.type_compiler_instance.process(column.type, type_expression=column)
        return f"{self.preparer.format_column(column)} {kind}{'' if column.nullable else ' NOT NULL'}"

    def visit_foreign_key_constraint(self, constraint: Any, **kw: Any) -> None:  # type: ignore[override]
        self._left_out(constraint, "a foreign key")

    def visit_unique_constraint(self, constraint: Any, **kw: Any) -> None:  # type: ignore[override]
        self._left_out(constraint, "a unique constraint")

    def visit_check_constraint(self, constraint: Any, **kw: Any) -> None:
        self._left_out(constraint, "a check constraint")

    def visit_column_check_constraint(self, constraint: Any, **kw: Any) -> str:
        self._left_out(constraint, "a check constraint")
        return ""

    def visit_create_index(self, create: Any, *args: Any, **kw: Any) -> str:
        index = create.element
        if index.unique:
            raise exc.CompileError(f"GridDB has no unique indexes: {index.name}")
        columns = ", ".join(self.preparer.format_column(column) for column in index.columns)
        exists = "IF NOT EXISTS " if create.if_not_exists else ""
        table, name = self.preparer.format_table(index.table), self._prepared_index_name(index)
        return f"CREATE INDEX {exists}{name} ON {table} ({columns})"

    def visit_drop_index(self, drop: Any, **kw: Any) -> str:
        index = drop.element
        exists = "IF EXISTS " if drop.if_exists else ""
        return f"DROP INDEX {exists}{self._prepared_index_name(index)} ON {self.preparer.format_table(index.table)}"

    @staticmethod
    def _left_out(constraint: Any, what: str) -> None:
        parent = constraint.parent  # the table, or a column of it
        table = getattr(parent, "table", parent)
        util.warn(f"GridDB keeps no such rule: {what} of {table.name} is left out of CREATE TABLE")


class GridDBIdentifiers(compiler.IdentifierPreparer):
    """Names in double quotes where they need them; without quotes GridDB does not tell capitals from small letters."""

    reserved_words = compiler.RESERVED_WORDS | {
        "blob", "bool", "byte", "database", "date", "day", "double", "every", "float", "hour", "index", "integer",
        "interval", "key", "long", "minute", "month", "partition", "partitions", "password", "pragma", "range",
        "replace", "row", "second", "short", "string", "subpartition", "subpartitions", "time", "timeseries",
        "timestamp", "type", "value", "values", "view", "year",
    }  # fmt: skip
