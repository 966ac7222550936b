"""The column that mode watermark follows, and what the mode will and will not see."""

from __future__ import annotations

from collections.abc import Iterator

from gridferry.model.epoch import Epoch
from gridferry.model.table import Column, Table
from gridferry.model.watermark import GrowingColumn, Growth
from gridferry.plan.epochs import wished_epoch
from gridferry.plan.keys import TIME_TYPES, KeyChoice, is_time
from gridferry.plan.plan import Finding, Severity
from gridferry.plan.sync_options import SyncOptions
from gridferry.plan.table_options import KeyWish, TableOptions

_AFTER_INSERT = "rows change after their insert"
NUMBER_TYPES = frozenset({"int2", "int4", "int8", "numeric"})
BLIND_SPOT = "mode watermark finds new rows only; updates and deletes in the source are not seen"


def seen_by_updates(options: TableOptions, key: tuple[str, ...]) -> str:
    """The column that shows updates because the application raises it with each, as `updated_at`; "" without one.

    `key`: the key's columns, as far as they are known. A row whose key grows is another row, and not an update; of a
    generated key any change makes another one.
    """
    column = options.sync.column if options.sync and options.key is not KeyWish.GENERATED else None
    return column if column and column not in key else ""


def blind_spot(options: TableOptions, key: tuple[str, ...] = ()) -> str:
    """What mode watermark sees of a table, and what it does not."""
    column = seen_by_updates(options, key or options.key_columns)
    if not column:
        return BLIND_SPOT
    return (
        f"mode watermark finds new rows, and updates that raise {column}; "
        "other updates, and deletes, in the source are not seen"
    )


def differences_expected(options: TableOptions) -> str:
    """What a comparison of a table in mode watermark finds, although nothing is wrong with it."""
    column = seen_by_updates(options, options.key_columns)
    missed = f"updates that leave {column} as it is, and deletes" if column else "updates and deletes"
    return f"mode watermark does not follow {missed}: rows that they changed count as differences"


def growing_column(table: Table, options: TableOptions, choice: KeyChoice) -> GrowingColumn | None:
    """The column that the config names, else the key's only time, else a key of one number; None if there is none."""
    sync = options.sync
    column = _wished(table, sync) if sync and sync.column else _of_key(table, options, choice)
    if sync is None or column is None:
        return None
    epoch = wished_epoch(column, options.columns.get(column.name))
    growth = _growth(column) if epoch is None else Growth.NUMBER
    if growth is None:
        return None
    return GrowingColumn(
        name=column.name,
        type=column.type.name,
        growth=growth,
        lookback=_lookback(sync, growth, epoch),
        nullable=column.nullable,
        indexed=column.name in table.indexed,
        unit=None if epoch is None else epoch.unit,
    )


def _lookback(sync: SyncOptions, growth: Growth, epoch: Epoch | None) -> int:
    if growth is Growth.TIME:
        return sync.lookback_ms
    if epoch is None or "lookback_values" in sync.model_fields_set:
        return sync.lookback_values
    return -(-sync.lookback_ms * int(10**epoch.unit) // 1000)


def watermark_findings(table: Table, options: TableOptions, choice: KeyChoice) -> Iterator[Finding]:
    """What mode watermark means for this table."""
    change = "`gridferry repair`" if table.elsewhere or choice.generated else "`sync: {mode: cdc}`"
    when = "rows are deleted, or change without that" if seen_by_updates(options, choice.columns) else _AFTER_INSERT
    advice = f"use {change} where {when}"
    yield Finding(Severity.RISK, table.qualified, blind_spot(options, choice.columns), advice)
    column = growing_column(table, options, choice)
    wished = options.sync.column if options.sync else None
    if column is None and not wished:
        advice = "name the column that grows with each new row: `sync: {mode: watermark, column: NAME}`"
        yield Finding(Severity.PROBLEM, "sync", "mode watermark does not know which column grows", advice)
    elif column is None and wished and (found := table.column(wished)) is not None:
        message = f"{wished} is a {found.type.formatted}, and a column to follow is a time or a number"
        yield Finding(Severity.PROBLEM, wished, message, "name another column under `sync`")
    if column is not None and not column.indexed and not table.elsewhere:
        cost = f"{table.size_bytes / (1 << 20):,.1f} MB, about {table.row_estimate:,} rows"
        message = f"no index begins with {column.name}: each sync reads the whole table ({cost})"
        advice = f"create one in the source: CREATE INDEX ON {table.schema}.{table.name} ({column.name})"
        yield Finding(Severity.RISK, column.name, message, advice)
    if table.elsewhere:
        number = column is not None and column.growth is Growth.NUMBER and column.unit is None
        back = "lookback_values" if number else "lookback"
        advice = f"give it a `{back}` that no row is later than; `gridferry sync --sweep` reads the whole table"
        yield Finding(Severity.RISK, table.qualified, by_value(table), advice)


def by_value(table: Table) -> str:
    """What mode watermark does where rows do not say which transaction wrote them; to be asked of no other table."""
    return (
        f"its rows do not say which transaction wrote them ({table.elsewhere}): each sync reads the whole lookback "
        "again, and a row that comes later than that is found by a sweep only"
    )


def _wished(table: Table, sync: SyncOptions) -> Column | None:
    return table.column(sync.column) if sync.column else None


def _of_key(table: Table, options: TableOptions, choice: KeyChoice) -> Column | None:
    columns = [column for name in choice.columns if (column := table.column(name)) is not None]
    times = [column for column in columns if is_time(column, options)]
    if len(times) == 1:
        return times[0]
    return columns[0] if len(columns) == 1 and columns[0].type.name in NUMBER_TYPES else None


def _growth(column: Column) -> Growth | None:
    if column.type.name in TIME_TYPES:
        return Growth.TIME
    return Growth.NUMBER if column.type.name in NUMBER_TYPES else None
