"""The state of every container of a table, asked in a handful of requests however many there are."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from fnmatch import fnmatchcase
from typing import Any

from gridferry.checkpoint.state import TargetState
from gridferry.engine.standing import ContainerState
from gridferry.engine.sync.watermark.max_check import WITH_MAX
from gridferry.griddb import GridType
from gridferry.plan.names import container_name
from gridferry.plan.plan import TablePlan

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MS = timedelta(milliseconds=1)
_UNITS = {GridType.TIMESTAMP_MS: _MS, GridType.TIMESTAMP_US: timedelta(microseconds=1)}


def container_states(
    state: TargetState, plan: TablePlan, *, column: str, waiting: Mapping[str | None, int] | None, match: str = ""
) -> list[ContainerState]:
    """The containers of one table, by name; those that rows wait for and that do not exist yet, too.

    Args: column: the source's column whose greatest value is asked for; waiting: rows by split value that wait in the
        source, None where that is not known; match: a pattern such as `device_*` for names or split values, or "".
    """
    table = plan.qualified
    named = {entry.value: entry.container for entry in state.catalog.entries(table)}
    for value in waiting or ():
        if value not in named:
            named[value] = container_name(plan, value)
    chosen = {value: name for value, name in named.items() if _matches(match, name, value)}
    held = _held(state, plan, list(chosen.values()), column)
    tallies = state.tallies.all(table)
    aside = state.quarantine.counts(table)
    found = []
    for value, name in chosen.items():
        rows, newest = held.get(name, (None, None))
        tally = tallies.get(name)
        found.append(
            ContainerState(
                table=table,
                name=name,
                value=value,
                rows=rows,
                newest=newest,
                waiting=None if waiting is None else waiting.get(value, 0),
                written=tally.written if tally else 0,
                deleted=tally.deleted if tally else 0,
                quarantined=aside[name],
                last_written=tally.last_written if tally else "",
            )
        )
    return sorted(found, key=lambda c: c.name)


def _matches(pattern: str, name: str, value: str | None) -> bool:
    return not pattern or fnmatchcase(name.lower(), pattern.lower()) or fnmatchcase(value or "", pattern)


def _held(state: TargetState, plan: TablePlan, names: list[str], column: str) -> dict[str, tuple[int, Any]]:
    """Rows and greatest value by name, of the containers that are there: two queries each, all in one go."""
    opened = {name: c for name, c in state.store.open_containers(names).items() if c is not None}
    stored = next((c.target for c in plan.columns if c.source == column), None)
    if stored is None or stored.array or stored.type not in WITH_MAX:
        counts = state.store.counts(list(opened.values()))
        return {name: (rows, None) for name, rows in zip(opened, counts, strict=True)}
    tql = ("select count(*)", f'select max("{stored.name}")')
    values = state.store.multi_values([(container, text) for text in tql for container in opened.values()])
    pairs = zip(opened, values[: len(opened)], values[len(opened) :], strict=True)
    return {name: (int(rows or 0), _readable(newest, stored.type)) for name, rows, newest in pairs}


def _readable(value: Any, kind: GridType) -> Any:
    """A value as an aggregation gives it; a time as text."""
    unit = _UNITS.get(kind)
    if value is None or unit is None:
        return value
    return (_EPOCH + value * unit).isoformat(timespec="microseconds" if unit < _MS else "milliseconds")[:-6] + "Z"
