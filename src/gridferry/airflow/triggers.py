"""Waiting without a worker: a trigger that looks at the tables' state now and then, in Airflow's triggerer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from gridferry.airflow.compat import BaseTrigger, Connection, TriggerEvent
from gridferry.airflow.connection_lookup import named_connection_in_trigger
from gridferry.airflow.failures import one_line
from gridferry.airflow.settings import ConfigLike, Settings
from gridferry.errors import FerryError, Transient
from gridferry.model.outcomes import LoadState, SyncState

if TYPE_CHECKING:
    from gridferry.engine.standing import TableStatus

KINDS = ("loaded", "lag", "work")
# What PostgreSQL writes on its own some seconds after anything was written: a list of running transactions (56 bytes).
# The least that an insert and its commit need is more.
_LOG_MOVES_BYTES = 100


@dataclass(frozen=True)
class Bounds:
    """How far behind is near enough. None: not looked at."""

    lag_s: float | None = None
    lag_rows: int | None = None


class StateTrigger(BaseTrigger):
    """Fires `{"ready": True}` once the tables are in a state; with `"error": line` for what will not pass.

    Args: kind: loaded (their load is finished), lag (they are within `lag_s` and `lag_rows`) or work (something waits
        to be synced); until: ISO 8601; at that time it fires `{"ready": False}`; carried: comes back in the event, as
        the task that waits keeps nothing. Nothing here holds a password: connections are asked for by their ids.
    """

    def __init__(
        self,
        *,
        config: ConfigLike,
        tables: Sequence[str],
        kind: str,
        poll_s: float = 30.0,
        postgres_conn_id: str | None = None,
        griddb_conn_id: str | None = None,
        until: str = "",
        lag_s: float | None = None,
        lag_rows: int | None = None,
        carried: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.tables = tuple(tables)
        self.kind = kind
        self.poll_s = poll_s
        self.postgres_conn_id = postgres_conn_id
        self.griddb_conn_id = griddb_conn_id
        self.until = until
        self.lag_s = lag_s
        self.lag_rows = lag_rows
        self.carried = dict(carried or {})

    @classmethod
    def of(
        cls,
        settings: Settings,
        tables: Sequence[str],
        *,
        kind: str,
        poll_s: float,
        until: str = "",
        bounds: Bounds | None = None,
        carried: Mapping[str, Any] | None = None,
    ) -> StateTrigger:
        """A trigger for a task's config and connections."""
        bounds = bounds or Bounds()
        return cls(
            config=settings.for_trigger(),
            tables=tables,
            kind=kind,
            poll_s=poll_s,
            postgres_conn_id=settings.postgres_conn_id,
            griddb_conn_id=settings.griddb_conn_id,
            until=until,
            lag_s=bounds.lag_s,
            lag_rows=bounds.lag_rows,
            carried=carried,
        )

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class and arguments, as Airflow keeps them."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "config": self.config,
                "tables": list(self.tables),
                "kind": self.kind,
                "poll_s": self.poll_s,
                "postgres_conn_id": self.postgres_conn_id,
                "griddb_conn_id": self.griddb_conn_id,
                "until": self.until,
                "lag_s": self.lag_s,
                "lag_rows": self.lag_rows,
                "carried": self.carried,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look every `poll_s` seconds. A server that is away is waited for."""
        while True:
            await asyncio.sleep(self._pause_s())
            try:
                ready = await self._look()
            except FerryError as error:
                if not isinstance(error, Transient):
                    yield TriggerEvent({"ready": False, "error": one_line(error), "carried": self.carried})
                    return
                self.log.warning("looking again in %g s: %s", self.poll_s, one_line(error))
                ready = False
            if ready or self._over():
                yield TriggerEvent({"ready": ready, "carried": self.carried})
                return

    async def _look(self) -> bool:
        settings = Settings(self.config, self.postgres_conn_id, self.griddb_conn_id)
        names = {name for name in (settings.source_connection, settings.target_connection) if name}
        # Asked for here: Airflow's way to its connections must not be used from another thread.
        connections = {name: await named_connection_in_trigger(name) for name in names}
        bounds = Bounds(self.lag_s, self.lag_rows)
        return await asyncio.to_thread(is_ready, settings, self.tables, self.kind, bounds, connections)

    def _pause_s(self) -> float:
        if not self.until:
            return self.poll_s
        left = (datetime.fromisoformat(self.until) - datetime.now(timezone.utc)).total_seconds()
        return max(0.0, min(self.poll_s, left))

    def _over(self) -> bool:
        return bool(self.until) and datetime.now(timezone.utc) >= datetime.fromisoformat(self.until)


def is_ready(
    settings: Settings,
    tables: Sequence[str],
    kind: str,
    bounds: Bounds,
    connections: Mapping[str, Connection],
) -> bool:
    """Whether the tables are in the state that `kind` names. Connects to both sides, and leaves them again."""
    from gridferry.engine.migration import Migration

    with Migration(settings.resolve(connections.__getitem__)) as migration:
        found = migration.status.tables(tables)
        if migration.endpoints.config.patterns and not tables:  # what is new is for a load, not to be waited for
            found = [status for status in found if status.state is not LoadState.PLANNED] or found
        return judge(found, kind, bounds)


def judge(found: Sequence[TableStatus], kind: str, bounds: Bounds) -> bool:
    """`is_ready`, of what the tables' states are."""
    if kind == "loaded":
        return all(status.state is LoadState.LOADED for status in found)
    if kind == "work":
        return any(_waits(status) for status in found)
    return all(_is_near(status, bounds) for status in found)


def _waits(status: TableStatus) -> bool:
    sync = status.sync
    if sync is None:
        return False
    return bool(sync.lag_rows) or (sync.lag_bytes or 0) > _LOG_MOVES_BYTES


def _is_near(status: TableStatus, bounds: Bounds) -> bool:
    sync = status.sync
    if sync is None or sync.state in (SyncState.NOT_LOADED, SyncState.LOST):
        return False
    if sync.lag_rows == 0 or sync.lag_bytes == 0:
        return True
    near_in_time = bounds.lag_s is None or (sync.lag_seconds is not None and sync.lag_seconds <= bounds.lag_s)
    near_in_rows = bounds.lag_rows is None or (sync.lag_rows is not None and sync.lag_rows <= bounds.lag_rows)
    return near_in_time and near_in_rows


def wait_for(task: Any, trigger: StateTrigger, *, method: str) -> None:
    """Give the worker back until the trigger fires. Does not return."""
    timeout = timedelta(seconds=task.timeout) if getattr(task, "timeout", None) else None
    task.defer(trigger=trigger, method_name=method, timeout=timeout)
