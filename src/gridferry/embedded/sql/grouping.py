"""GROUP BY: which values make a group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from gridferry.embedded.refusal import Code, Refusal
from gridferry.embedded.sql.aggregates import AGGREGATES
from gridferry.embedded.sql.expressions import Expressions
from gridferry.embedded.sql.names import Scope, same
from gridferry.embedded.sql.syntax import syntax_error
from gridferry.embedded.tql_syntax import operands

if TYPE_CHECKING:
    from gridferry.embedded.sql.compiling import Compiling


def has_aggregates(node: exp.Expression) -> bool:
    """Whether an expression holds an aggregation of its own query."""
    if isinstance(node, exp.Query):
        return False
    if isinstance(node, exp.Anonymous) and str(node.this).upper() in AGGREGATES:
        several = str(node.this).upper() in ("MIN", "MAX") and len(node.expressions) > 1
        if not several:
            return True
    return any(has_aggregates(child) for child in operands(node))


def keys_of(compiling: Compiling, scope: Scope, select: exp.Select, group: exp.Expression) -> list[str]:
    """The SQL of each key: a column, an output's alias, or its place. Raises: 240001 for any other expression."""
    return [_key(compiling, scope, select, node) for node in group.expressions]


def _key(compiling: Compiling, scope: Scope, select: exp.Select, node: exp.Expression) -> str:
    expressions = Expressions(compiling, scope)
    if isinstance(node, exp.Literal) and not node.is_string and str(node.this).isdigit():
        place = int(node.this)
        if not 1 <= place <= len(select.expressions):
            raise syntax_error("GROUP BY names a place that the result does not have")
        return expressions.value(_plain(select.expressions[place - 1])).sql
    if not isinstance(node, exp.Column):
        raise syntax_error("GROUP BY takes columns")
    try:
        return scope.column(node).sql
    except Refusal as error:
        if error.code is not Code.SQL_COMPILE_COLUMN_NOT_FOUND:
            raise
        quoted = bool(node.this.args.get("quoted"))
        for each in select.expressions:
            if isinstance(each, exp.Alias) and same(each.alias, node.name, quoted=quoted):
                return expressions.value(each.this).sql
        raise


def _plain(node: exp.Expression) -> exp.Expression:
    return node.this if isinstance(node, exp.Alias) else node
