"""SELECT -> one DuckDB query: tables, joins, groups, subqueries, set operations.

A SELECT becomes `SELECT .. AS o0, .. AS o1 FROM ..`; its columns are known by these names and by their types. What the
real server has and this has not is refused by name.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot import exp

from gridferry.embedded.refusal import Code, Refusal
from gridferry.embedded.shape import sql_type
from gridferry.embedded.sql.expressions import Expressions
from gridferry.embedded.sql.from_clause import FromClause
from gridferry.embedded.sql.grouping import has_aggregates, keys_of
from gridferry.embedded.sql.names import Column, Relation, Scope, same
from gridferry.embedded.sql.operators import compared
from gridferry.embedded.sql.syntax import check_parts, syntax_error, unsupported
from gridferry.embedded.sql.tables import Tables
from gridferry.embedded.sql.values import NULL, Typed, as_type, common_type
from gridferry.griddb.schema import GridType

_SELECT_PARTS = frozenset(
    {"expressions", "from_", "joins", "where", "group", "having", "order", "limit", "offset", "distinct"}
)
_SET_PARTS = frozenset({"this", "expression", "distinct", "order", "limit", "offset"})
_SETS: dict[type[exp.Expression], str] = {exp.Union: "UNION", exp.Intersect: "INTERSECT", exp.Except: "EXCEPT"}


@dataclass(frozen=True)
class Query:
    """A query in DuckDB's SQL, and its columns: o0, o1, ..."""

    sql: str
    columns: tuple[Column, ...]


class Compiling:
    """Compiles one statement. `parameters` are its values; None where it is only prepared: then all are NULL."""

    def __init__(
        self, tables: Tables, parameters: Sequence[Typed] | None = None, *, zone_ms: int = 0, now_ms: int = 0
    ) -> None:
        self.tables = tables
        self.zone_ms = zone_ms
        self.now_ms = now_ms
        self._parameters = parameters
        self._numbers = itertools.count(1)

    def parameter(self, number: int) -> Typed:
        """What a `?` stands for."""
        if self._parameters is None:
            return NULL
        if number >= len(self._parameters):
            raise Refusal(Code.SQL_COMPILE_INTERNAL, f"the statement has more parameters than values ({number})")
        return self._parameters[number]

    def alias(self) -> str:
        """A name that nothing else in the statement has."""
        return f"r{next(self._numbers)}"

    def relation(self, node: exp.Table) -> tuple[str, Relation]:
        """A table, a view or a table of the catalog: its FROM item and its columns. Raises: 280005, 240007, 280011."""
        found = self.tables.find(node)
        alias = self.alias()
        name = node.alias if node.args.get("alias") else found.name
        if found.view is not None:
            query = Compiling(self.tables.inside_view(), zone_ms=self.zone_ms, now_ms=self.now_ms).query(found.view)
            return f"({query.sql}) AS {alias}", derived(name, alias, query)
        columns = tuple(
            Column(c.name, Typed("NULL", None) if c.type is None else Typed(f"{alias}.{c.sql}", c.type, c.nullable))
            for c in found.columns
        )
        return f"{found.sql} AS {alias}", Relation(name, columns)

    def query(self, node: exp.Expression, outer: Scope | None = None) -> Query:
        """A SELECT, VALUES or a set operation. Raises: Refusal."""
        while isinstance(node, exp.Subquery | exp.Paren):
            check_parts(node, frozenset({"this"}), "a query in parentheses")
            node = node.this
        if isinstance(node, exp.Select):
            return self._select(node, outer)
        if isinstance(node, exp.SetOperation):
            return self._set_operation(node, outer)
        if isinstance(node, exp.Values):
            return self._values(node)
        raise syntax_error(f"Syntax error at or near {type(node).__name__.upper()}")

    def inner_query(self, node: exp.Expression, scope: Scope) -> Query:
        """A query inside an expression, in parentheses."""
        found = self.query(node, scope)
        return Query(f"({found.sql})", found.columns)

    def scalar(self, node: exp.Expression, scope: Scope) -> Typed:
        """A query that stands for its one value; with more rows it fails with 305009."""
        found = self.inner_query(node, scope)
        return Typed(found.sql, _only(found).value.type)

    def value_in(self, value: Typed, node: exp.Expression, scope: Scope) -> Typed:
        """`value IN (SELECT ..)`."""
        found = self.query(node, scope)
        column = _only(found).value
        if value.type is None or column.type is None:
            raise unsupported("IN of NULL and a query")
        compared(value, "=", column)
        kind = common_type([value, column])
        right = as_type(Typed("o0", column.type), kind)
        sql = f"({as_type(value, kind)} IN (SELECT {right} FROM ({found.sql}) AS {self.alias()}))"
        return Typed(sql, GridType.BOOL)

    # SELECT

    def _select(self, node: exp.Select, outer: Scope | None) -> Query:
        check_parts(node, _SELECT_PARTS, "SELECT")
        scope = Scope(outer=outer)
        source = FromClause(self, scope).sql(node)
        where = node.args.get("where")
        condition = "" if where is None else f" WHERE {Expressions(self, scope).condition(where.this).sql}"
        grouped, group, having = self._grouping(node, scope)
        columns = self._columns(node, scope, grouped=grouped)
        items = ", ".join(f"{_item(c.value)} AS o{n}" for n, c in enumerate(columns))
        distinct = node.args.get("distinct")
        if distinct is not None:
            check_parts(distinct, frozenset(), "DISTINCT")
        order = self._order(node, columns, None if distinct is not None else scope, grouped=grouped)
        head = "SELECT DISTINCT" if distinct is not None else "SELECT"
        sql = f"{head} {items}{source}{condition}{group}{having}{order}{self._window(node)}"
        return Query(sql, tuple(_named(columns)))

    def _grouping(self, node: exp.Select, scope: Scope) -> tuple[bool, str, str]:
        group, having = node.args.get("group"), node.args.get("having")
        grouped = group is not None or any(has_aggregates(each) for each in node.expressions)
        if having is not None and group is None:
            raise syntax_error('Syntax error at or near "HAVING"')
        if not grouped:
            return False, "", ""
        keys: list[str] = []
        if group is not None:
            check_parts(group, frozenset({"expressions"}), "GROUP BY")
            keys = keys_of(self, scope, node, group)
        scope.keys = frozenset(keys)
        condition = ""
        if having is not None:
            condition = f" HAVING {Expressions(self, scope, aggregates=True).condition(having.this).sql}"
        return True, f" GROUP BY {', '.join(keys)}" if keys else "", condition

    def _columns(self, node: exp.Select, scope: Scope, *, grouped: bool) -> list[Column]:
        columns: list[Column] = []
        expressions = Expressions(self, scope, aggregates=grouped)
        for each in node.expressions:
            if isinstance(each, exp.Star) or (isinstance(each, exp.Column) and isinstance(each.this, exp.Star)):
                check_parts(each, frozenset({"this", "table"}), "*")
                columns += scope.stars(each.args.get("table"))
                continue
            inner = each.this if isinstance(each, exp.Alias) else each
            value = self._item_value(expressions, scope, inner, grouped=grouped)
            label = each.alias if isinstance(each, exp.Alias) else _own_name(inner, scope)
            columns.append(Column(label, value))
        if not columns:
            raise syntax_error("Syntax error at or near the end")
        return columns

    def _item_value(self, expressions: Expressions, scope: Scope, node: exp.Expression, *, grouped: bool) -> Typed:
        if grouped and not has_aggregates(node):
            # An expression that is grouped by as a whole, by its alias or its place.
            alone = Expressions(self, Scope(scope.relations, scope.outer)).value(node)
            if scope.keys and alone.sql in scope.keys:
                return alone
        return expressions.value(node)

    def _order(
        self, node: exp.Expression, columns: Sequence[Column], scope: Scope | None, *, grouped: bool = False
    ) -> str:
        """ORDER BY: an output's place or label first, then, with a scope, any expression of it."""
        order = node.args.get("order")
        if order is None:
            return ""
        parts = []
        for each in order.expressions:
            plain, descending = (
                (each.this, bool(each.args.get("desc"))) if isinstance(each, exp.Ordered) else (each, False)
            )
            natural = not descending
            if isinstance(each, exp.Ordered) and bool(each.args.get("nulls_first")) != natural:
                raise syntax_error('Syntax error at or near "NULLS"')
            place = _place(plain, columns)
            if place is not None:
                key = str(place)
            elif scope is None:
                raise Refusal(Code.SQL_COMPILE_COLUMN_NOT_FOUND, "Column not found in the columns of the result")
            else:
                key = Expressions(self, scope).value(plain).sql
            # NULL is the greatest of all.
            parts.append(f"{key} DESC NULLS FIRST" if descending else f"{key} ASC NULLS LAST")
        return f" ORDER BY {', '.join(parts)}"

    def _window(self, node: exp.Expression) -> str:
        limit, offset = self._whole(node.args.get("limit")), self._whole(node.args.get("offset"))
        if node.args.get("offset") is not None and node.args.get("limit") is None:
            raise syntax_error('Syntax error at or near "OFFSET"')
        window = f" LIMIT {limit}" if limit is not None and limit >= 0 else ""
        return window + (f" OFFSET {offset}" if offset is not None and offset > 0 else "")

    def _whole(self, clause: exp.Expression | None) -> int | None:
        if clause is None:
            return None
        check_parts(clause, frozenset({"expression"}), "LIMIT")
        value = Expressions(self, Scope()).value(clause.args["expression"])
        if self._parameters is None and isinstance(clause.args["expression"], exp.Placeholder):
            return None
        if value.type is not GridType.LONG:
            raise syntax_error("LIMIT and OFFSET take a whole number")
        if not isinstance(value.value, int):
            raise unsupported("LIMIT but of a literal or a parameter")
        return value.value

    # sets and values

    def _set_operation(self, node: exp.SetOperation, outer: Scope | None) -> Query:
        word = _SETS.get(type(node))
        check_parts(node, _SET_PARTS, "a set operation")
        if word is None:
            raise unsupported(type(node).__name__.upper())
        if not node.args.get("distinct"):
            if word != "UNION":
                raise syntax_error(f"{word} has no ALL")
            word += " ALL"
        left, right = self.query(node.this, outer), self.query(node.expression, outer)
        if len(left.columns) != len(right.columns):
            raise syntax_error("the queries of a set operation have different numbers of columns")
        columns = []
        sides: tuple[list[str], list[str]] = ([], [])
        for number, (a, b) in enumerate(zip(left.columns, right.columns, strict=True)):
            try:
                kind = common_type([a.value, b.value])
            except Refusal as error:
                raise Refusal(
                    Code.SQL_COMPILE_COLUMN_LIST_UNMATCH, "Column types of a set operation unmatched"
                ) from error
            for side, value in zip(sides, (a.value, b.value), strict=True):
                side.append(f"{as_type(Typed(f'o{number}', value.type), kind)} AS o{number}")
            may_be_null = a.value.nullable or b.value.nullable or a.value.type is not b.value.type is None
            columns.append(
                Column(a.name, Typed(f"o{number}", kind, may_be_null or None in (a.value.type, b.value.type)))
            )
        parts = [
            f"SELECT {', '.join(side)} FROM ({query.sql}) AS {self.alias()}"
            for side, query in zip(sides, (left, right), strict=True)
        ]
        order = self._order(node, columns, None)
        return Query(f"{parts[0]} {word} {parts[1]}{order}{self._window(node)}", tuple(columns))

    def _values(self, node: exp.Values) -> Query:
        check_parts(node, frozenset({"expressions"}), "VALUES")
        if len(node.expressions) != 1 or not isinstance(node.expressions[0], exp.Tuple):
            raise syntax_error("VALUES is one row here")
        expressions = Expressions(self, Scope())
        columns = [Column("", expressions.value(each)) for each in node.expressions[0].expressions]
        items = ", ".join(f"{_item(c.value)} AS o{n}" for n, c in enumerate(columns))
        return Query(f"SELECT {items}", tuple(_named(columns)))


def derived(name: str, alias: str, query: Query) -> Relation:
    """A query in FROM."""
    return Relation(
        name,
        tuple(
            Column(c.name, Typed("NULL" if c.value.type is None else f"{alias}.o{n}", c.value.type, c.value.nullable))
            for n, c in enumerate(query.columns)
        ),
    )


def _item(value: Typed) -> str:
    if value.type is None:
        return "NULL"
    plain = value.sql.replace(".", "").replace("_", "").isalnum() and not value.sql[0].isdigit()
    return value.sql if plain else f"({value.sql})::{sql_type(value.type)}"


def _named(columns: Sequence[Column]) -> list[Column]:
    return [Column(c.name, Typed(f"o{n}", c.value.type, c.value.nullable)) for n, c in enumerate(columns)]


def _only(query: Query) -> Column:
    if len(query.columns) != 1:
        raise syntax_error("a query in an expression has one column")
    return query.columns[0]


def _own_name(node: exp.Expression, scope: Scope) -> str:
    """A column's name as it is stored; no other expression has one."""
    while isinstance(node, exp.Paren):
        node = node.this
    if not isinstance(node, exp.Column):
        return ""
    asked, table, quoted = node.name, node.args.get("table"), bool(node.this.args.get("quoted"))
    look: Scope | None = scope
    while look is not None:
        for relation in look.relations:
            if table is None or same(relation.name, table.name, quoted=bool(table.args.get("quoted"))):
                for column in relation.columns:
                    if same(column.name, asked, quoted=quoted):
                        return column.name
        look = look.outer
    return asked


def _place(node: exp.Expression, columns: Sequence[Column]) -> int | None:
    """The place, from 1, of the output that ORDER BY names by number or label."""
    if isinstance(node, exp.Literal) and not node.is_string:
        if not str(node.this).isdigit() or not 1 <= int(node.this) <= len(columns):
            raise syntax_error("ORDER BY names a place that the result does not have")
        return int(node.this)
    if isinstance(node, exp.Column) and not node.args.get("table"):
        quoted = bool(node.this.args.get("quoted"))
        for place, column in enumerate(columns, start=1):
            if column.name and same(column.name, node.name, quoted=quoted):
                return place
    return None
