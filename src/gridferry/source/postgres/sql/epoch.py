"""Numbers that count time since 1970, in SQL: the same rules as `transform.epoch` has."""

from __future__ import annotations

from psycopg import sql

from gridferry.model.epoch import FINEST, Epoch, Numbers

NUMBER_SQL = {Numbers.WHOLE: "int8", Numbers.DOUBLE: "float8", Numbers.DECIMAL: "numeric"}
"""The widest type of each sort of numbers."""

# Of a domain too: an operator takes it for its base type.
_TO_MICROSECONDS = "pg_catalog.round({c}{sign}'1e{digits}'::float8)"


def reached_sql(column: sql.Composable, epoch: Epoch) -> sql.Composed:
    """That a number counts to a time of GridDB's; NaN and infinity do not."""
    return sql.SQL("({0} >= 0 AND {0} < {1})").format(column, sql.Literal(epoch.end))


def stored_sql(column: sql.Composable, epoch: Epoch) -> sql.Composed:
    """The time in the target's unit, finer digits cut off; NULL where GridDB does not reach it."""
    return sql.SQL("(CASE WHEN {} THEN {} END)").format(reached_sql(column, epoch), _time(column, epoch))


def fine_sql(column: sql.Composable, epoch: Epoch) -> sql.Composed:
    """That a number has digits that the target's type has not; not true of one whose time GridDB does not reach."""
    shift = epoch.unit - epoch.digits
    if epoch.numbers is Numbers.DOUBLE:
        micros = _microseconds(column, epoch)
        sign, digits = ("/", FINEST - epoch.unit) if epoch.unit <= FINEST else ("*", epoch.unit - FINEST)
        back = sql.SQL(f"({{}} {sign} '1e{digits}'::float8) <> {{}}").format(micros, column)
        if epoch.digits < FINEST:
            back = sql.SQL("({} OR {}::int8 % {} <> 0)").format(
                back, micros, sql.Literal(10 ** (FINEST - epoch.digits))
            )
        fine: sql.Composable = back
    elif epoch.numbers is Numbers.DECIMAL:
        kept = sql.SQL("pg_catalog.trunc({})").format(_shifted(column, -shift))
        fine = sql.SQL("{} <> {}").format(_shifted(column, -shift), kept)
    elif shift > 0:
        fine = sql.SQL("{}::int8 % {} <> 0").format(column, sql.Literal(10**shift))
    else:
        fine = sql.SQL("FALSE")
    return sql.SQL("(CASE WHEN {} THEN {} ELSE FALSE END)").format(reached_sql(column, epoch), fine)


def _time(column: sql.Composable, epoch: Epoch) -> sql.Composed:
    """Only for numbers that GridDB reaches: others may be too large for the types on the way."""
    shift = epoch.digits - epoch.unit
    if epoch.numbers is Numbers.DOUBLE:
        micros = _microseconds(column, epoch)
        return sql.SQL("({}::int8 / {})").format(micros, sql.Literal(10 ** (FINEST - epoch.digits)))
    if epoch.numbers is Numbers.DECIMAL:
        return sql.SQL("pg_catalog.trunc({})::int8").format(_shifted(column, shift))
    sign = "*" if shift >= 0 else "/"
    return sql.SQL(f"({{}}::int8 {sign} {{}})").format(column, sql.Literal(10 ** abs(shift)))


def _microseconds(column: sql.Composable, epoch: Epoch) -> sql.Composed:
    sign = " * " if epoch.unit <= FINEST else " / "
    return sql.SQL(_TO_MICROSECONDS.format(c="{}", sign=sign, digits=abs(FINEST - epoch.unit))).format(column)


def _shifted(column: sql.Composable, digits: int) -> sql.Composed:
    # A product of decimals keeps every digit; a quotient does not have to.
    return sql.SQL("({} * {}::numeric)").format(column, sql.Literal(f"1e{digits}"))
