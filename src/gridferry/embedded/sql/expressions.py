"""SQL expressions -> DuckDB SQL, typed as GridDB types them.

No text of the user reaches DuckDB: names become those of the store, numbers and strings are written out again from the
syntax tree, and every operator and function is one of a table. What is in none is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlglot import exp

from gridferry.embedded.refusal import Code
from gridferry.embedded.shape import sql_type
from gridferry.embedded.sql.casts import cast
from gridferry.embedded.sql.functions import call
from gridferry.embedded.sql.names import Scope
from gridferry.embedded.sql.operators import compared, lowered, nullable
from gridferry.embedded.sql.syntax import check_parts, syntax_error, unsupported
from gridferry.embedded.sql.values import (
    NULL,
    Typed,
    as_type,
    common_type,
    double,
    finite,
    guarded,
    integer,
    literal,
    mismatch,
    text_of,
)
from gridferry.embedded.tql_syntax import operands
from gridferry.embedded.tql_values import INTEGERS, NUMBERS, bound_once
from gridferry.griddb.schema import GridType

if TYPE_CHECKING:
    from gridferry.embedded.sql.compiling import Compiling


class Expressions:
    """Compiles expressions of one SELECT (or of none). `groups` says whether aggregations may stand here."""

    def __init__(self, compiling: Compiling, scope: Scope, *, aggregates: bool = False) -> None:
        self.compiling = compiling
        self.scope = scope
        self.aggregates = aggregates

    def value(self, node: exp.Expression) -> Typed:
        """Any expression. Raises: Refusal."""
        handler = _HANDLERS.get(type(node))
        if handler is None:
            raise unsupported(type(node).__name__.upper())
        check_parts(node, _KNOWN_PARTS, type(node).__name__.upper())
        return handler(self, node)

    def condition(self, node: exp.Expression) -> Typed:
        """A truth value. Raises: 305010, also where the real server takes any value of WHERE as true."""
        found = self.value(node)
        if not found.is_a(GridType.BOOL):
            raise mismatch(found.label, "BOOL")
        if found.type is None:
            return Typed("NULL::BOOLEAN", GridType.BOOL)
        return Typed(found.sql, GridType.BOOL, found.nullable)

    def parameter(self, node: exp.Expression) -> Typed:
        """What a `?` stands for."""
        return self.compiling.parameter(int(node.this))

    def inner(self) -> Expressions:
        """For what stands inside an aggregation: rows, not groups."""
        return Expressions(self.compiling, Scope(self.scope.relations, self.scope.outer), aggregates=False)


def _literal(_: Expressions, node: exp.Expression) -> Typed:
    raw = str(node.this)
    if node.args.get("is_string"):
        return literal(GridType.STRING, raw)
    try:
        return integer(int(raw)) if raw.isdigit() else literal(GridType.DOUBLE, float(raw))
    except ValueError as error:
        raise syntax_error(f'Syntax error at or near "{raw}"') from error


def _hex(_: Expressions, node: exp.Expression) -> Typed:
    try:
        return literal(GridType.BLOB, bytes.fromhex(str(node.this)))
    except ValueError as error:
        raise syntax_error(f'unrecognized token: "X\'{node.this}"') from error


def _negative(compiler: Expressions, node: exp.Expression) -> Typed:
    if isinstance(node.this, exp.Literal) and not node.this.is_string and str(node.this.this).isdigit():
        return integer(-int(str(node.this.this)))
    inner = compiler.value(node.this)
    if not inner.is_a(*NUMBERS):
        raise mismatch(inner.label, "DOUBLE")
    if inner.type is None:
        return Typed("NULL::BIGINT", GridType.LONG)
    if inner.type in INTEGERS:
        return Typed(f"(-({inner.sql})::BIGINT)", GridType.LONG, inner.nullable)
    # Taken from 0, so that 0.0 stays 0.0.
    return Typed(f"(0.0::DOUBLE - {double(inner)})", GridType.DOUBLE, inner.nullable)


def _not(compiler: Expressions, node: exp.Expression) -> Typed:
    inner = compiler.condition(node.this)
    return Typed(f"(NOT {inner.sql})", GridType.BOOL, inner.nullable)


def _logic(word: str) -> Callable[[Expressions, exp.Expression], Typed]:
    def handler(compiler: Expressions, node: exp.Expression) -> Typed:
        found = [compiler.condition(part) for part in operands(node)]
        return Typed(f"({f' {word} '.join(f.sql for f in found)})", GridType.BOOL, any(f.nullable for f in found))

    return handler


_TESTS = (exp.Is, exp.Like, exp.Escape, exp.Glob, exp.In, exp.Between, exp.Not)
_NUMERIC = (
    exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod,
    exp.BitwiseAnd, exp.BitwiseOr, exp.BitwiseLeftShift, exp.BitwiseRightShift,
)  # fmt: skip


def _need_parentheses(node: exp.Expression, kinds: tuple[type[exp.Expression], ...], what: str) -> None:
    """Refuse operators of which GridDB binds another one tighter than sqlglot does, unless parentheses say which."""
    if isinstance(node.this, kinds) or isinstance(node.expression, kinds):
        raise unsupported(f"{what} without parentheses")
    inner = node.expression.this if isinstance(node.expression, exp.Paren) else None
    while isinstance(inner, exp.Not):
        inner = inner.this
    if isinstance(inner, exp.Is):
        # sqlglot puts parentheses around an IS at the right itself: whether they were written cannot be told.
        raise unsupported("IS at the right of another operator; at the left, in parentheses, it is clear")


def _comparison(sign: str) -> Callable[[Expressions, exp.Expression], Typed]:
    def handler(compiler: Expressions, node: exp.Expression) -> Typed:
        _need_parentheses(node, _TESTS, "a comparison beside IS, IN, LIKE, GLOB, BETWEEN or NOT")
        return compared(compiler.value(node.this), sign, compiler.value(node.expression))

    return handler


def _between(compiler: Expressions, node: exp.Expression) -> Typed:
    value = compiler.value(node.this)
    parts = [compared(value, sign, compiler.value(node.args[name])) for sign, name in ((">=", "low"), ("<=", "high"))]
    return Typed(f"({parts[0].sql} AND {parts[1].sql})", GridType.BOOL, parts[0].nullable or parts[1].nullable)


def _in(compiler: Expressions, node: exp.Expression) -> Typed:
    value = compiler.value(node.this)
    query = node.args.get("query")
    if query is not None:
        return compiler.compiling.value_in(value, query, compiler.scope)
    values = [compiler.value(each) for each in node.expressions]
    listed = [compared(value, "=", each) for each in values]
    if not listed:
        return Typed("FALSE", GridType.BOOL, nullable=False)
    if all(each.type is value.type for each in values) and value.type is not None:
        # A long chain of ORs is more than DuckDB takes.
        sql = f"({value.sql} IN ({', '.join(each.sql for each in values)}))"
        return Typed(sql, GridType.BOOL, any(each.nullable for each in listed))
    return Typed(f"({' OR '.join(each.sql for each in listed)})", GridType.BOOL, any(each.nullable for each in listed))


def _exists(compiler: Expressions, node: exp.Expression) -> Typed:
    return Typed(f"EXISTS {compiler.compiling.inner_query(node.this, compiler.scope).sql}", GridType.BOOL, False)


def _scalar(compiler: Expressions, node: exp.Expression) -> Typed:
    return compiler.compiling.scalar(node, compiler.scope)


def _is(compiler: Expressions, node: exp.Expression) -> Typed:
    left, wanted = compiler.value(node.this), node.expression
    if isinstance(wanted, exp.Null):
        return Typed(f"({left.sql} IS NULL)", GridType.BOOL, nullable=False)
    right = compiler.value(wanted)
    same = compared(left, "IS NOT DISTINCT FROM", right)
    return Typed(same.sql, GridType.BOOL, nullable=False)


def _arithmetic(sign: str) -> Callable[[Expressions, exp.Expression], Typed]:
    def handler(compiler: Expressions, node: exp.Expression) -> Typed:
        left, right = compiler.value(node.this), compiler.value(node.expression)
        for value in (left, right):
            if not value.is_a(*NUMBERS):
                raise mismatch(value.label, "DOUBLE")
        if left.type is None and right.type is None:
            return NULL
        may_be_null = nullable(left, right)
        if left.type is None or right.type is None:
            kind = GridType.LONG if left.is_a(*INTEGERS) and right.is_a(*INTEGERS) else GridType.DOUBLE
            return Typed(f"NULL::{sql_type(kind)}", kind)
        if left.type in INTEGERS and right.type in INTEGERS:
            return Typed(_whole(sign, left.sql, right.sql), GridType.LONG, may_be_null)
        return Typed(_fraction(sign, double(left), double(right)), GridType.DOUBLE, may_be_null)

    return handler


def _whole(sign: str, left: str, right: str) -> str:
    if sign not in ("/", "%"):
        return f"(({left})::BIGINT {sign} ({right})::BIGINT)"
    whole = "//" if sign == "/" else "%"
    return bound_once(
        right,
        "divisor",
        lambda by: guarded(
            f"{by} = 0 AND ({left}) IS NOT NULL",
            Code.QF_DIVIDE_BY_ZERO,
            f"(({left})::BIGINT {whole} ({by})::BIGINT)",
            "BIGINT",
        ),
    )


def _fraction(sign: str, left: str, right: str) -> str:
    if sign in ("/", "%"):
        return bound_once(
            right,
            "divisor",
            lambda by: guarded(
                f"{by} = 0 AND ({left}) IS NOT NULL", Code.QF_DIVIDE_BY_ZERO, f"({left} {sign} {by})", "DOUBLE"
            ),
        )
    return finite(f"({left} {sign} {right})", left, right)


def _bits(sign: str) -> Callable[[Expressions, exp.Expression], Typed]:
    def handler(compiler: Expressions, node: exp.Expression) -> Typed:
        values = [compiler.value(part) for part in (node.this, node.expression)]
        for value in values:
            if not value.is_a(*INTEGERS):
                raise mismatch(value.label, "LONG") if not value.is_a(*NUMBERS) else unsupported("bits of fractions")
        left, right = (f"({v.sql})::BIGINT" for v in values)
        sql = f"({left} {sign} {right})"
        if sign in ("<<", ">>"):
            raise unsupported(f"operator {sign}")
        return Typed(sql, GridType.LONG, nullable(*values))

    return handler


def _inverted(compiler: Expressions, node: exp.Expression) -> Typed:
    inner = compiler.value(node.this)
    if not inner.is_a(*INTEGERS):
        raise mismatch(inner.label, "LONG")
    return Typed(f"(~({inner.sql})::BIGINT)", GridType.LONG, nullable(inner))


def _joined(compiler: Expressions, node: exp.Expression) -> Typed:
    _need_parentheses(node, _NUMERIC, "|| beside another operator")
    values = [compiler.value(part) for part in (node.this, node.expression)]
    texts = [text_of(v, compiler.compiling.zone_ms) for v in values]
    return Typed(f"({texts[0]} || {texts[1]})", GridType.STRING, nullable(*values))


def _like(compiler: Expressions, node: exp.Expression) -> Typed:
    escape = ""
    if isinstance(node, exp.Escape):
        mark = compiler.value(node.expression)
        if not isinstance(mark.value, str) or len(mark.value) != 1 or mark.value.isalpha():
            raise unsupported("ESCAPE but with one character that is no letter")
        escape, node = f" ESCAPE {mark.sql}", node.this
    if not isinstance(node, exp.Like):
        raise unsupported("ESCAPE but for LIKE")
    left, right = compiler.value(node.this), compiler.value(node.expression)
    for value in (left, right):
        if not value.is_a(GridType.STRING):
            raise mismatch(value.label, "STRING")
    negated = "NOT " if node.args.get("negate") else ""
    if left.type is None or right.type is None:
        return Typed("NULL::BOOLEAN", GridType.BOOL)
    sql = f"({lowered(left.sql)} {negated}LIKE {lowered(right.sql)}{escape})"
    return Typed(sql, GridType.BOOL, nullable(left, right))


def _glob(compiler: Expressions, node: exp.Expression) -> Typed:
    left, right = compiler.value(node.this), compiler.value(node.expression)
    for value in (left, right):
        if not value.is_a(GridType.STRING):
            raise mismatch(value.label, "STRING")
    negated = "NOT " if node.args.get("negate") else ""
    return Typed(f"({negated}({left.sql} GLOB {right.sql}))", GridType.BOOL, nullable(left, right))


def _case(compiler: Expressions, node: exp.Expression) -> Typed:
    subject = None if node.this is None else compiler.value(node.this)
    tests: list[Typed] = []
    for branch in node.args["ifs"]:
        if subject is None:
            tests.append(compiler.condition(branch.this))
        else:
            tests.append(compared(subject, "=", compiler.value(branch.this)))
    results = [compiler.value(branch.args["true"]) for branch in node.args["ifs"]]
    otherwise = node.args.get("default")
    last = NULL if otherwise is None else compiler.value(otherwise)
    kind = common_type([*results, last])
    branches = " ".join(f"WHEN {t.sql} THEN {as_type(r, kind)}" for t, r in zip(tests, results, strict=True))
    if kind is None:
        return NULL
    return Typed(f"CASE {branches} ELSE {as_type(last, kind)} END", kind, nullable(*tests, *results, last))


def _cast(compiler: Expressions, node: exp.Expression) -> Typed:
    return cast(compiler.value(node.this), node.args["to"].name, zone_ms=compiler.compiling.zone_ms)


def _call(compiler: Expressions, node: exp.Expression) -> Typed:
    return call(compiler, str(node.this).upper(), list(node.expressions))


_KNOWN_PARTS = frozenset(
    {"this", "expression", "expressions", "is_string", "table", "negate", "low", "high", "query", "ifs", "default",
     "to", "safe", "typed", "quoted", "db", "catalog"}
)  # fmt: skip
_HANDLERS: dict[type[exp.Expression], Callable[[Expressions, exp.Expression], Typed]] = {
    exp.Literal: _literal,
    exp.HexString: _hex,
    exp.Boolean: lambda _, node: literal(GridType.BOOL, bool(node.this)),
    exp.Null: lambda _, __: NULL,
    exp.Placeholder: Expressions.parameter,
    exp.Column: lambda compiler, node: compiler.scope.column(node),  # type: ignore[arg-type]
    exp.Paren: lambda compiler, node: compiler.value(node.this),
    exp.Anonymous: _call,
    exp.Neg: _negative,
    exp.Not: _not,
    exp.And: _logic("AND"),
    exp.Or: _logic("OR"),
    exp.EQ: _comparison("="),
    exp.NEQ: _comparison("<>"),
    exp.LT: _comparison("<"),
    exp.LTE: _comparison("<="),
    exp.GT: _comparison(">"),
    exp.GTE: _comparison(">="),
    exp.Between: _between,
    exp.In: _in,
    exp.Exists: _exists,
    exp.Subquery: _scalar,
    exp.Is: _is,
    exp.Add: _arithmetic("+"),
    exp.Sub: _arithmetic("-"),
    exp.Mul: _arithmetic("*"),
    exp.Div: _arithmetic("/"),
    exp.Mod: _arithmetic("%"),
    exp.BitwiseAnd: _bits("&"),
    exp.BitwiseOr: _bits("|"),
    exp.BitwiseLeftShift: _bits("<<"),
    exp.BitwiseRightShift: _bits(">>"),
    exp.BitwiseNot: _inverted,
    exp.DPipe: _joined,
    exp.Like: _like,
    exp.Escape: _like,
    exp.Glob: _glob,
    exp.Case: _case,
    exp.Cast: _cast,
}
