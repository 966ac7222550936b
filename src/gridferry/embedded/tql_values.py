"""TQL expressions -> DuckDB SQL, typed as GridDB types them.

No text of the user reaches DuckDB: columns become c0, c1, ..., numbers and strings are written out again from the
syntax tree, and every operator and function is one of a table.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
from sqlglot import exp

from gridferry.embedded.refusal import Code, Refusal
from gridferry.embedded.shape import TIMESTAMPS
from gridferry.embedded.tql_syntax import operands
from gridferry.griddb.schema import ContainerSchema, GridType

INTEGERS = frozenset({GridType.BYTE, GridType.SHORT, GridType.INTEGER, GridType.LONG})
NUMBERS = INTEGERS | {GridType.FLOAT, GridType.DOUBLE}
TICKS_A_SECOND = {GridType.TIMESTAMP_MS: 10**3, GridType.TIMESTAMP_US: 10**6, GridType.TIMESTAMP_NS: 10**9}


@dataclass(frozen=True)
class Typed:
    """An SQL expression and its GridDB type; `type` None is NULL. `value` is set for a literal."""

    sql: str
    type: GridType | None
    array: bool = False
    value: int | float | str | None = None

    @property
    def label(self) -> str:
        """The type's name as GridDB's messages write it."""
        if self.type is None:
            return "NULL"
        name = "TIMESTAMP" if self.type is GridType.TIMESTAMP_MS else self.type.label
        return name + ("_ARRAY" if self.array else "")

    def is_a(self, *types: GridType) -> bool:
        """Whether it is a plain value of one of the types, or NULL."""
        return not self.array and (self.type is None or self.type in types)


NULL = Typed("NULL", None)
_SHORT = 40  # characters of SQL: a column, a literal


def integer(value: int) -> Typed:
    """A literal; one beyond 64 bits is taken as a double, as the real server does."""
    if -(2**63) <= value < 2**63:
        return Typed(f"({value})::BIGINT", GridType.LONG, value=value)
    return double(float(value))


def double(value: float) -> Typed:
    """A literal."""
    text = repr(value) if math.isfinite(value) else f"'{value}'"
    return Typed(f"({text})::DOUBLE", GridType.DOUBLE, value=value)


def text(value: str) -> Typed:
    """A literal."""
    return Typed(exp.Literal.string(value).sql("duckdb"), GridType.STRING, value=value)


def time(ticks: int, kind: GridType) -> Typed:
    """A literal, in ticks of the type's precision since 1970."""
    return Typed(f"({ticks})::BIGINT", kind, value=ticks)


def key_bound(schema: ContainerSchema, key: pa.RecordBatch, sign: str) -> str:
    """SQL that compares the row key with the one key in the batch; `sign` is `>=` or `<=`."""
    values = []
    for column, array in zip(schema.key, key.columns, strict=True):
        value = array[0].as_py() if column.type is GridType.STRING else array.cast(pa.int64())[0].as_py()
        values.append(text(value).sql if isinstance(value, str) else integer(value).sql)
    if schema.key_length == 1:
        # Two bounds of a row of one column become a BETWEEN, which DuckDB 2.0 does not know for rows.
        return f"(c0 {sign} {values[0]})"
    names = ", ".join(f"c{number}" for number in range(schema.key_length))
    return f"(row({names}) {sign} row({', '.join(values)}))"


def row_error(code: Code) -> str:
    """SQL that fails with the code when it is evaluated."""
    return f"error('TQL:{int(code)}')"


def bound_once(sql: str, name: str, use: Callable[[str], str]) -> str:
    """SQL of what `use` makes of a value that it names several times, with the value's own SQL in it only once.

    Written out each time, operands within operands would double at each level. `name` is one that no column has; an
    inner use of it hides the outer one, which nothing inside the inner one means. Short SQL stays as it is: that is
    faster for a column, and does not grow.
    """
    if len(sql) <= _SHORT:
        return use(sql)
    return f"(list_transform([{sql}], lambda {name}: {use(name)})[1])"


Call = Callable[["Compiler", str, list[exp.Expression]], Typed]


class Compiler:
    """Compiles expressions over one container's columns; `functions` gives the meaning of calls, by name.

    Raises, from every method: Refusal with GridDB's code.
    """

    def __init__(self, schema: ContainerSchema, functions: dict[str, Call]) -> None:
        self.schema = schema
        self._functions = functions
        self._exact = {c.name: n for n, c in enumerate(schema.columns)}
        self._folded = {c.name.lower(): n for n, c in enumerate(schema.columns)}

    def column_number(self, node: exp.Expression) -> int:
        """Which column a name means; a quoted name is taken letter by letter."""
        if not isinstance(node, exp.Column) or not isinstance(node.this, exp.Identifier):
            raise Refusal(Code.TQ_CONSTRAINT_INVALID_ARGUMENT_TYPE, "a column's name is expected")
        outer = node.args.get("table")
        name = str(outer.name if outer is not None else node.this.this)
        number = self._exact.get(name) if node.this.args.get("quoted") else self._folded.get(name.lower())
        if number is None or outer is not None:
            raise Refusal(Code.TQ_COLUMN_NOT_FOUND, f"No such column {name}")
        return number

    def condition(self, node: exp.Expression) -> str:
        """A WHERE clause, as SQL. Raises: 150019 for what is no condition."""
        found = self.value(node)
        if not found.is_a(GridType.BOOL):
            raise Refusal(Code.TQ_COLUMN_IS_NOT_BOOLEAN, "Cannot use non-boolean column as search condition")
        return found.sql

    def value(self, node: exp.Expression) -> Typed:
        """Any expression."""
        handler = _HANDLERS.get(type(node))
        # sqlglot knows more of SQL than TQL does: what is not understood here must not be dropped without a word.
        if handler is None or any(value and name not in _KNOWN_PARTS for name, value in node.args.items()):
            raise Refusal(Code.TQ_SYNTAX_ERROR_EXECUTION, f"TQL has no {type(node).__name__.upper()}")
        return handler(self, node)

    def call(self, node: exp.Anonymous) -> Typed:
        """A function's value."""
        name = str(node.this).upper()
        function = self._functions.get(name)
        if function is None:
            raise Refusal(Code.TQ_FUNCTION_NOT_FOUND, f"No such function : {name}")
        return function(self, name, list(node.expressions))

    def column(self, node: exp.Expression) -> Typed:
        """A column's value."""
        number = self.column_number(node)
        spec = self.schema.columns[number]
        return Typed(f"c{number}", spec.type, spec.array)


def _literal(_: Compiler, node: exp.Expression) -> Typed:
    raw = str(node.this)
    if node.args.get("is_string"):
        return text(raw)
    try:
        return integer(int(raw)) if raw.isdigit() else double(float(raw))
    except ValueError as error:
        raise Refusal(Code.TQ_SYNTAX_ERROR_INVALID_TOKEN, f"Invalid token '{raw}'") from error


def _negative(compiler: Compiler, node: exp.Expression) -> Typed:
    inner = compiler.value(node.this)
    if not inner.is_a(*NUMBERS):
        raise Refusal(Code.TQ_OPERATION_NOT_DEFINED, f"Unary operation is not defined for the type {inner.label}")
    if isinstance(inner.value, int):
        return integer(-inner.value)
    return double(-inner.value) if isinstance(inner.value, float) else Typed(f"(-{inner.sql})", inner.type)


def _not(compiler: Compiler, node: exp.Expression) -> Typed:
    return Typed(f"(NOT {compiler.condition(node.this)})", GridType.BOOL)


def _logic(word: str) -> Callable[[Compiler, exp.Expression], Typed]:
    def handler(compiler: Compiler, node: exp.Expression) -> Typed:
        conditions = [compiler.condition(part) for part in operands(node)]
        return Typed(f"({f' {word} '.join(conditions)})", GridType.BOOL)

    return handler


def _comparison(sign: str) -> Callable[[Compiler, exp.Expression], Typed]:
    def handler(compiler: Compiler, node: exp.Expression) -> Typed:
        left, right = compiler.value(node.this), compiler.value(node.expression)
        if left.type is None or right.type is None:
            return Typed("NULL::BOOLEAN", GridType.BOOL)
        left, right = comparable(left, right, equality=sign in ("=", "<>"))
        return Typed(f"({left.sql} {sign} {right.sql})", GridType.BOOL)

    return handler


def comparable(left: Typed, right: Typed, *, equality: bool) -> tuple[Typed, Typed]:
    """The two at one precision. Raises: 150018 if their types cannot be compared."""
    if left.is_a(*NUMBERS) and right.is_a(*NUMBERS):
        return left, right
    if left.is_a(*TIMESTAMPS) and right.is_a(*TIMESTAMPS) and left.type and right.type:
        finest = max(left.type, right.type, key=lambda kind: TICKS_A_SECOND[kind])
        return at_precision(left, finest), at_precision(right, finest)
    # The real server knows no order of STRING and BOOL values.
    if equality and left.type is right.type and left.is_a(GridType.STRING, GridType.BOOL) and not right.array:
        return left, right
    raise _undefined(left, right)


def _undefined(left: Typed, right: Typed) -> Refusal:
    return Refusal(
        Code.TQ_OPERATION_NOT_DEFINED,
        f"Binary operation is not defined for the types {left.label} and {right.label}",
    )


def at_precision(value: Typed, kind: GridType) -> Typed:
    """A timestamp in the ticks of a finer or equal precision."""
    if value.type is None or value.type is kind:
        return value
    factor = TICKS_A_SECOND[kind] // TICKS_A_SECOND[value.type]
    if isinstance(value.value, int):
        # Beyond 64 bits it compares as the wider integer that DuckDB makes of it.
        return Typed(f"({value.value * factor})", kind, value=value.value * factor)
    return Typed(f"({value.sql}::HUGEINT * {factor})", kind)


def _arithmetic(sign: str) -> Callable[[Compiler, exp.Expression], Typed]:
    def handler(compiler: Compiler, node: exp.Expression) -> Typed:
        left, right = compiler.value(node.this), compiler.value(node.expression)
        if not (left.is_a(*NUMBERS) and right.is_a(*NUMBERS)):
            raise _undefined(left, right)
        if left.type is None or right.type is None:
            return NULL
        if left.type in INTEGERS and right.type in INTEGERS:
            return Typed(_integer_arithmetic(sign, left.sql, right.sql), GridType.LONG)
        return Typed(f"({left.sql}::DOUBLE {sign} {right.sql}::DOUBLE)", GridType.DOUBLE)

    return handler


def _integer_arithmetic(sign: str, left: str, right: str) -> str:
    if sign not in ("/", "%"):
        return f"({left}::BIGINT {sign} {right}::BIGINT)"
    whole = "//" if sign == "/" else "%"
    guard = row_error(Code.TQ_DIVIDE_BY_ZERO)
    return bound_once(
        right,
        "divisor",
        lambda by: f"CASE WHEN {by} = 0 THEN {guard}::BIGINT ELSE ({left}::BIGINT {whole} {by}::BIGINT) END",
    )


def _is_null(compiler: Compiler, node: exp.Expression) -> Typed:
    wanted = node.expression
    negated = isinstance(wanted, exp.Not)
    if not isinstance(wanted.this if negated else wanted, exp.Null):
        raise Refusal(Code.TQ_SYNTAX_ERROR_EXECUTION, "IS takes NULL or NOT NULL")
    return Typed(f"({compiler.value(node.this).sql} IS {'NOT ' if negated else ''}NULL)", GridType.BOOL)


def _like(compiler: Compiler, node: exp.Expression) -> Typed:
    escape = ""
    if isinstance(node, exp.Escape):
        mark = compiler.value(node.expression)
        if not isinstance(mark.value, str) or len(mark.value) != 1:
            raise Refusal(Code.TQ_CONSTRAINT_INVALID_ARGUMENT, "ESCAPE takes one character")
        escape, node = f" ESCAPE {mark.sql}", node.this
    left, right = compiler.value(node.this), compiler.value(node.expression)
    if not (isinstance(node, exp.Like) and left.is_a(GridType.STRING) and right.is_a(GridType.STRING)):
        raise _undefined(left, right)
    negated = "NOT " if node.args.get("negate") else ""
    return Typed(f"({left.sql} {negated}LIKE {right.sql}{escape})", GridType.BOOL)


def _unsupported_bits(_: Compiler, __: exp.Expression) -> Typed:
    raise Refusal(Code.TQ_CRITICAL_LOGIC_ERROR, "Internal logic error: not implemented operation.")


def _call(compiler: Compiler, node: exp.Expression) -> Typed:
    return compiler.call(node) if isinstance(node, exp.Anonymous) else NULL


_KNOWN_PARTS = frozenset({"this", "expression", "expressions", "is_string", "table", "negate"})
_HANDLERS: dict[type[exp.Expression], Callable[[Compiler, exp.Expression], Typed]] = {
    exp.Literal: _literal,
    exp.Null: lambda _, __: NULL,
    exp.Column: Compiler.column,
    exp.Paren: lambda compiler, node: compiler.value(node.this),
    exp.Anonymous: _call,
    exp.Neg: _negative,
    exp.Not: _not,
    exp.And: _logic("AND"),
    exp.Or: _logic("OR"),
    # Of two truth values, one or the other: they differ.
    exp.Xor: _logic("<>"),
    exp.EQ: _comparison("="),
    exp.NEQ: _comparison("<>"),
    exp.LT: _comparison("<"),
    exp.LTE: _comparison("<="),
    exp.GT: _comparison(">"),
    exp.GTE: _comparison(">="),
    exp.Add: _arithmetic("+"),
    exp.Sub: _arithmetic("-"),
    exp.Mul: _arithmetic("*"),
    exp.Div: _arithmetic("/"),
    exp.Mod: _arithmetic("%"),
    exp.Is: _is_null,
    exp.Like: _like,
    exp.Escape: _like,
    exp.BitwiseAnd: _unsupported_bits,
    exp.BitwiseOr: _unsupported_bits,
    exp.BitwiseLeftShift: _unsupported_bits,
    exp.BitwiseRightShift: _unsupported_bits,
}
