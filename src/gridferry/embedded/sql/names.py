"""What names mean inside one SELECT: the tables of its FROM clause, their columns, and those of the queries around."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from sqlglot import exp

from gridferry.embedded.refusal import Code, Refusal
from gridferry.embedded.sql.syntax import unsupported
from gridferry.embedded.sql.values import Typed


@dataclass(frozen=True)
class Column:
    """A column of a result or of a table in FROM: its name, and its value as others name it."""

    name: str
    value: Typed


@dataclass(frozen=True)
class Relation:
    """A table in FROM. `name` is its alias or its own name; `exact` says that the name was made with quotes."""

    name: str
    columns: tuple[Column, ...]
    hidden: frozenset[int] = frozenset()  # of USING and NATURAL: shown once by *, and found at the left

    def nullable(self) -> Relation:
        """As the right side of a LEFT JOIN has it."""
        columns = tuple(Column(c.name, replace(c.value, nullable=True, value=None)) for c in self.columns)
        return replace(self, columns=columns)


@dataclass
class Scope:
    """The tables of a SELECT, and the scope around it. `keys` are the SQL of GROUP BY's columns, where it groups."""

    relations: list[Relation] = field(default_factory=list)
    outer: Scope | None = None
    keys: frozenset[str] | None = None

    def column(self, node: exp.Column) -> Typed:
        """The column that a name means. Raises: 240007 no such table, 240008 no such column, 240009 more than one."""
        table = node.args.get("table")
        if node.args.get("db") or node.args.get("catalog"):
            raise Refusal(Code.SQL_COMPILE_TABLE_NOT_FOUND, f"Table not found (name={node.args.get('db')})")
        name, quoted = node.name, bool(node.this.args.get("quoted"))
        scope: Scope | None = self
        table_known = False
        while scope is not None:
            relations = [r for r in scope.relations if table is None or same_name(r.name, table)]
            table_known |= bool(relations)
            found = [
                column.value
                for relation in relations
                for number, column in enumerate(relation.columns)
                if same(column.name, name, quoted=quoted) and not (table is None and number in relation.hidden)
            ]
            if len(found) > 1:
                raise Refusal(Code.SQL_COMPILE_COLUMN_NOT_RESOLVED, f"Ambiguous column (name={name})")
            if found:
                scope.check_grouped(found[0], name)
                return found[0]
            scope = scope.outer
        if table is not None and not table_known:
            raise Refusal(Code.SQL_COMPILE_TABLE_NOT_FOUND, f"Table not found (name={table.name})")
        raise Refusal(Code.SQL_COMPILE_COLUMN_NOT_FOUND, f"Column not found (name={name})")

    def check_grouped(self, value: Typed, name: str) -> None:
        """Refuse a column that has many values in a group: the real server takes any one of them."""
        if self.keys is not None and value.sql not in self.keys:
            raise unsupported(f'column "{name}" beside aggregations that is not in GROUP BY')

    def stars(self, table: exp.Expression | None) -> Iterator[Column]:
        """The columns of `*`, or of `table.*`. Raises: 240007."""
        relations = [r for r in self.relations if table is None or same_name(r.name, table)]
        if not relations:
            raise Refusal(Code.SQL_COMPILE_TABLE_NOT_FOUND, f"Table not found (name={table.name if table else '*'})")
        for relation in relations:
            for number, column in enumerate(relation.columns):
                if table is not None or number not in relation.hidden:
                    self.check_grouped(column.value, column.name)
                    yield column


def same(name: str, asked: str, *, quoted: bool) -> bool:
    """Whether a name is the one asked for: letter by letter where it is quoted."""
    return name == asked if quoted else name.lower() == asked.lower()


def same_name(name: str, asked: exp.Expression) -> bool:
    """As `same`, of an identifier."""
    return same(name, asked.name, quoted=bool(asked.args.get("quoted")))
