"""FROM: tables, queries and their joins -> one FROM item of DuckDB's, and the columns it brings into a scope."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from gridferry.embedded.sql.expressions import Expressions
from gridferry.embedded.sql.names import Relation, Scope, same
from gridferry.embedded.sql.operators import compared
from gridferry.embedded.sql.syntax import check_parts, syntax_error, unsupported

if TYPE_CHECKING:
    from gridferry.embedded.sql.compiling import Compiling

_TABLE_PARTS = frozenset({"this", "db", "alias", "joins"})


class FromClause:
    """Compiles the FROM clause of one SELECT into its scope."""

    def __init__(self, compiling: Compiling, scope: Scope) -> None:
        self._compiling = compiling
        self._scope = scope

    def sql(self, node: exp.Select) -> str:
        """` FROM ..`, or nothing where there is no table. Raises: Refusal."""
        source = node.args.get("from_") or node.args.get("from")
        if source is None:
            return ""
        return " FROM " + self._joined(source.this, node.args.get("joins") or [])

    def _joined(self, first: exp.Expression, joins: list[exp.Expression]) -> str:
        sql = self._item(first)
        for join in joins:
            sql = self._join(sql, join)
        return sql

    def _item(self, node: exp.Expression) -> str:
        """One table, query or join in parentheses; its relations enter the scope."""
        if isinstance(node, exp.Table):
            check_parts(node, _TABLE_PARTS, "a table")
            _check_alias(node)
            sql, relation = self._compiling.relation(node)
            self._enter(relation)
            return self._with_own_joins(sql, node)
        if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table):
            check_parts(node, frozenset({"this", "joins"}), "a join in parentheses")
            return self._with_own_joins(f"({self._item(node.this)})", node)
        if isinstance(node, exp.Subquery):
            return self._query(node)
        raise unsupported(f"{type(node).__name__.upper()} in FROM")

    def _with_own_joins(self, sql: str, node: exp.Expression) -> str:
        for join in node.args.get("joins") or []:
            sql = self._join(sql, join)
        return sql

    def _query(self, node: exp.Subquery) -> str:
        from gridferry.embedded.sql.compiling import derived

        check_parts(node, frozenset({"this", "alias", "joins"}), "a query in FROM")
        _check_alias(node)
        if not node.alias:
            raise syntax_error("a query in FROM needs a name")
        query = self._compiling.query(node.this)
        alias = self._compiling.alias()
        self._enter(derived(node.alias, alias, query))
        return self._with_own_joins(f"({query.sql}) AS {alias}", node)

    def _enter(self, relation: Relation) -> None:
        if any(r.name.lower() == relation.name.lower() for r in self._scope.relations):
            raise syntax_error(f'two tables in FROM are called "{relation.name}"')
        self._scope.relations.append(relation)

    def _join(self, left: str, join: exp.Expression) -> str:
        check_parts(join, frozenset({"this", "side", "kind", "on", "using", "method"}), "a join")
        side, kind, method = (str(join.args.get(name) or "").upper() for name in ("side", "kind", "method"))
        if side not in ("", "LEFT") or kind not in ("", "INNER", "OUTER", "CROSS") or method not in ("", "NATURAL"):
            raise syntax_error(f"no join {' '.join(word for word in (method, side, kind) if word)}")
        before = len(self._scope.relations)
        right = self._item(join.this)
        condition = self._condition(join, before, natural=method == "NATURAL")
        if side == "LEFT":
            for place in range(before, len(self._scope.relations)):
                self._scope.relations[place] = self._scope.relations[place].nullable()
            return f"({left} LEFT JOIN {right} ON {condition or 'TRUE'})"
        return f"({left} JOIN {right} ON {condition})" if condition else f"({left} CROSS JOIN {right})"

    def _condition(self, join: exp.Expression, before: int, *, natural: bool) -> str:
        if join.args.get("on") is not None:
            return Expressions(self._compiling, self._scope).condition(join.args["on"]).sql
        if not natural and not join.args.get("using"):
            return ""
        left, right = self._scope.relations[:before], self._scope.relations[before:]
        if len(left) != 1 or len(right) != 1:
            raise unsupported("NATURAL or USING between more than two tables")
        if natural:
            names = [
                c.name for c in right[0].columns if any(same(c.name, d.name, quoted=False) for d in left[0].columns)
            ]
        else:
            names = [each.name for each in join.args["using"]]
        return self._equal(left[0], right[0], names, before)

    def _equal(self, left: Relation, right: Relation, names: list[str], place: int) -> str:
        parts: list[str] = []
        hidden: set[int] = set()
        for name in names:
            found = [
                [(n, c) for n, c in enumerate(side.columns) if same(c.name, name, quoted=False)]
                for side in (left, right)
            ]
            if not found[0] or not found[1]:
                raise syntax_error(f'USING names the column "{name}", which not both tables have')
            parts.append(compared(found[0][0][1].value, "=", found[1][0][1].value).sql)
            hidden.add(found[1][0][0])
        self._scope.relations[place] = Relation(right.name, right.columns, frozenset(hidden))
        return " AND ".join(parts)


def _check_alias(node: exp.Expression) -> None:
    alias = node.args.get("alias")
    if alias is not None:
        check_parts(alias, frozenset({"this"}), "a table's alias")
