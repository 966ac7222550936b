"""Where to cut a table into ranges of a key column, and how its rows are spread over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Any

import psycopg
from psycopg import sql

from gridferry.griddb.schema import GridType
from gridferry.model.epoch import SECONDS_TO_10000, EpochUnit
from gridferry.plan.epochs import CUT_EPOCHS, epoch_of
from gridferry.plan.plan import ColumnPlan, Kernel, TablePlan
from gridferry.source.postgres.session.failures import mapped
from gridferry.source.postgres.sql.epoch import fine_sql, reached_sql, stored_sql
from gridferry.source.postgres.sql.names import condition_sql, relation_sql

Connection = psycopg.Connection[tuple[Any, ...]]

_SAMPLE_ROWS_A_PART = 300
_LEAST_PERCENT = 2.0
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_DAY_US = 86_400_000_000
_MS_US = 1000
_S_US = 1_000_000
# Of whole seconds and the rest apart: before PostgreSQL 14 the two together are a double.
_SECONDS = "EXTRACT(epoch FROM date_trunc('second', {0}::timestamptz AT TIME ZONE 'UTC'))::int8"
_REST = "(EXTRACT(microseconds FROM {0}::timestamptz)::int8 % 1000000)"


class Measure(str, Enum):
    """What the bounds of a column count."""

    TIME = "time"  # microseconds since 1970 UTC, whole milliseconds
    DATE = "date"  # microseconds since 1970 UTC, whole days
    NUMBER = "number"
    # A number that counts time: microseconds since 1970 UTC, whole milliseconds, of seconds whole ones.
    EPOCH_S = "epoch_s"
    EPOCH_MS = "epoch_ms"
    EPOCH_US = "epoch_us"
    EPOCH_NS = "epoch_ns"

    @property
    def unit(self) -> int | None:
        """The digits below the second of what a number counts; None of what is no such number."""
        return _UNITS.get(self.value)


_UNITS = {unit.value: unit.digits for unit in EpochUnit}


@dataclass(frozen=True)
class KeySpread:
    """The rows of one split value, and the least and greatest value of the key's first column among them.

    In the unit that the container stores; only values that it can store count. None where there is none, or the column
    is neither a time nor a number.
    """

    value: str | None
    rows: int
    low: int | None
    high: int | None


def fetch_key_bounds(
    connection: Connection, plan: TablePlan, *, column: str, measure: Measure, parts: int, rows: int, sampled: bool
) -> tuple[int, ...]:
    """Inner bounds, ascending and distinct, that cut the column's values into about `parts` parts of like size.

    They are taken from a sample of the pages if the table may be `sampled`: then the parts are alike in size only
    roughly. `rows` is an estimate.
    """
    if parts < 2:
        return ()
    name = sql.Identifier(column)
    relation = relation_sql(plan.schema, plan.table)
    with mapped(f"looking where to cut {plan.qualified}"):
        percent = max(_LEAST_PERCENT, 100.0 * parts * _SAMPLE_ROWS_A_PART / max(rows, 1))
        if sampled and percent < 100:
            relation += sql.SQL(" TABLESAMPLE SYSTEM ({}) REPEATABLE (1)").format(sql.Literal(percent))
        value, sound = _measured(name, measure)
        if not sampled and percent < 100:  # not by pages: every row is looked at, but few have to be sorted
            share = sql.Literal(percent / 100)
            sound = sql.SQL("{} AND pg_catalog.random() < {}").format(sound, share)
        statement = sql.SQL(
            "SELECT percentile_disc({}::float8[]) WITHIN GROUP (ORDER BY {}) FROM {} WHERE {} AND {}"
        ).format(sql.Literal([i / parts for i in range(1, parts)]), value, relation, condition_sql(plan.where), sound)
        found = connection.execute(statement).fetchone()
    bounds = [] if found is None or found[0] is None else [int(bound) for bound in found[0]]
    grain = {Measure.DATE: _DAY_US, Measure.NUMBER: 1, Measure.EPOCH_S: _S_US}.get(measure, _MS_US)
    return tuple(sorted({bound // grain * grain for bound in bounds}))


def bound_text(bound: int, measure: Measure) -> str:
    """A bound as PostgreSQL reads it in the column's type."""
    if measure is Measure.NUMBER:
        return str(bound)
    if measure.unit is not None:
        return str(bound * 10**measure.unit // _S_US)
    moment = _EPOCH + timedelta(microseconds=bound)
    return moment.strftime("%Y-%m-%d" if measure is Measure.DATE else "%Y-%m-%d %H:%M:%S.%f+00")


def fetch_key_spread(connection: Connection, plan: TablePlan) -> list[KeySpread]:
    """Rows and key bounds by split value: one grouped query over the whole table."""
    key, fits = _stored_key(plan.columns[0])
    statement = sql.SQL(
        'SELECT value COLLATE "C", count(*), min(key) FILTER (WHERE fits), max(key) FILTER (WHERE fits) FROM'
        " (SELECT {} AS value, {} AS key, {} AS fits FROM {} WHERE {}) AS v GROUP BY 1"
    ).format(_split(plan), key, fits, relation_sql(plan.schema, plan.table), condition_sql(plan.where))
    with mapped(f"counting the rows of {plan.qualified}"):
        return [KeySpread(*row) for row in connection.execute(statement).fetchall()]


def _split(plan: TablePlan) -> sql.Composable:
    return sql.SQL("NULL::text") if plan.split_by is None else sql.SQL("{}::text").format(sql.Identifier(plan.split_by))


def _stored_key(column: ColumnPlan) -> tuple[sql.Composable, sql.Composable]:
    """A key column as the number that its container holds, and the condition that it can hold it."""
    if column.kernel is Kernel.ROW_HASH:
        return sql.SQL("NULL::int8"), sql.SQL("TRUE")
    name = sql.Identifier(column.source)
    epoch = epoch_of(column)
    if epoch is not None:
        fits = reached_sql(name, epoch)
        if column.kernel not in CUT_EPOCHS:
            fits = sql.SQL("({} AND NOT {})").format(fits, fine_sql(name, epoch))
        return sql.SQL("CASE WHEN {} THEN {} END").format(fits, stored_sql(name, epoch)), fits
    if column.target.type in (GridType.TIMESTAMP_MS, GridType.TIMESTAMP_US):
        unit = 1000 if column.target.type is GridType.TIMESTAMP_MS else 1_000_000
        fits = sql.SQL("({0} >= '1970-01-01' AND {0} < '10000-01-01')").format(name)
        if column.kernel is Kernel.DATE_MS:
            plain = sql.SQL("EXTRACT(epoch FROM {})::int8 * {}").format(name, sql.Literal(unit))
        else:
            plain = sql.SQL("{} * {} + {} / {}").format(
                sql.SQL(_SECONDS).format(name),
                sql.Literal(unit),
                sql.SQL(_REST).format(name),
                sql.Literal(1_000_000 // unit),
            )
        return sql.SQL("CASE WHEN {} THEN {} END").format(fits, plain), fits
    if column.kernel in (Kernel.DATE_LONG, Kernel.TIME_LONG):
        day = column.kernel is Kernel.DATE_LONG
        whole = "{0} - date '1970-01-01'" if day else f"{_SECONDS} * 1000000 + {_REST}"
        ends = (
            "CASE {0} WHEN 'infinity' THEN 9223372036854775807 WHEN '-infinity' THEN -9223372036854775807 - 1"
            f" ELSE {whole} END::int8"
        )
        return sql.SQL(ends).format(name), sql.SQL("TRUE")
    if column.kernel in (Kernel.DECIMAL_LONG, Kernel.DECIMAL_SCALED):
        number = sql.SQL("({} * {})").format(name, sql.Literal(10 ** (column.scale or 0)))
        fits = sql.SQL("({0} BETWEEN -9223372036854775808 AND 9223372036854775807 AND {0} = trunc({0}))").format(number)
        return sql.SQL("CASE WHEN {} THEN {}::int8 END").format(fits, number), fits
    if column.target.type in (GridType.INTEGER, GridType.LONG):
        return sql.SQL("{}::int8").format(name), sql.SQL("TRUE")
    return sql.SQL("NULL::int8"), sql.SQL("TRUE")


def fetch_range_counts(
    connection: Connection, plan: TablePlan, *, column: str, measure: Measure, bounds: Sequence[int]
) -> dict[tuple[str | None, int], int]:
    """Rows by split value and range: range i lies from bound i - 1 up to, not including, bound i."""
    # In the column's own type, which an untyped literal takes on: to make numbers of times first takes three times as
    # long. And so the parts are distinguished here as they are when they are read.
    edges = "{" + ",".join(f'"{bound_text(bound, measure)}"' for bound in bounds) + "}"
    statement = sql.SQL(
        'SELECT value COLLATE "C", place, count(*) FROM (SELECT {} AS value,'
        " pg_catalog.width_bucket({}, {}) AS place FROM {} WHERE {}) AS v GROUP BY 1, 2"
    ).format(
        _split(plan),
        sql.Identifier(column),
        sql.Literal(edges),
        relation_sql(plan.schema, plan.table),
        condition_sql(plan.where),
    )
    with mapped(f"counting the rows of {plan.qualified} by range"):
        return {(value, place or 0): count for value, place, count in connection.execute(statement)}


def _measured(name: sql.Composable, measure: Measure) -> tuple[sql.Composable, sql.Composable]:
    """The column as the number that bounds are counted in, and the condition that it has one worth cutting at."""
    if measure is Measure.NUMBER:
        return sql.SQL("{}::int8").format(name), sql.SQL("{} IS NOT NULL").format(name)
    if measure.unit is not None:
        end = (SECONDS_TO_10000 - 1) * 10**measure.unit
        inside = sql.SQL("LEAST(GREATEST({}, 0), {})").format(name, sql.Literal(end))
        micros = sql.SQL("({}::numeric * {}::numeric)::int8").format(inside, sql.Literal(f"1e{6 - measure.unit}"))
        return micros, sql.SQL("{} IS NOT NULL").format(name)
    # Years far beyond GridDB's do not fit 64 bits; they and infinity count as the nearest of its years.
    inside = sql.SQL("LEAST(GREATEST({0}, '1970-01-01'), '9999-12-31')").format(name)
    value = sql.SQL("pg_catalog.trunc((EXTRACT(epoch FROM {}) * 1000)::numeric)::int8 * 1000").format(inside)
    return value, sql.SQL("{} IS NOT NULL").format(name)
