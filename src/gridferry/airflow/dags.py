"""The three ready DAGs of one config: the first load, shared by many workers; keeping in step; the proof.

Reading this in a DAG file costs next to nothing: it looks at the config's tables, and at no server.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from gridferry.airflow.assets import containers_alias, table_asset
from gridferry.airflow.compat import DAG
from gridferry.airflow.failures import one_line
from gridferry.airflow.load_operators import (
    MOST_BUCKETS,
    GridFerryFinishLoadOperator,
    GridFerryLoadBucketOperator,
    GridFerryPrepareLoadOperator,
)
from gridferry.airflow.operators import GridFerrySyncOperator, GridFerryVerifyOperator
from gridferry.airflow.sensors import GridFerryLoadedSensor
from gridferry.airflow.settings import GRIDDB_DEFAULT, ConfigLike, Settings, found_beside, require_no_password
from gridferry.errors import ConfigError

if TYPE_CHECKING:
    from gridferry.plan.table_options import TableOptions

INITIAL = "migration_initial"
CONTINUOUS = "migration_continuous"
PARITY = "parity"
_MOST_TASKS = 16
_BEGINNING = datetime(2024, 1, 1, tzinfo=timezone.utc)
_RETRIES: dict[str, Any] = {
    "retries": 4,
    "retry_delay": timedelta(seconds=20),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=10),
}


@dataclass(frozen=True)
class _Made:
    """What all DAGs of one config share."""

    settings: Settings
    prefix: str
    conn_id: str
    wait_s: float
    dag_options: dict[str, Any]
    default_args: dict[str, Any]

    @property
    def common(self) -> dict[str, Any]:
        """Arguments of every operator."""
        return {
            "config": self.settings.config,
            "postgres_conn_id": self.settings.postgres_conn_id,
            "griddb_conn_id": self.settings.griddb_conn_id,
        }

    def dag(self, name: str, *, schedule: str, about: str) -> DAG:
        """An empty DAG. One run at a time; a missed hour is not made up for, as each run takes all there is.

        What the DAG file asks for wins.
        """
        ours: dict[str, Any] = {
            "description": about.partition("\n")[0],
            "doc_md": about,
            "start_date": _BEGINNING,
            "catchup": False,
            "max_active_runs": 1,
            "tags": ["gridferry"],
        }
        return DAG(
            dag_id=f"{self.prefix}_{name}",
            schedule=schedule,
            default_args={**_RETRIES, **self.default_args},
            **{**ours, **self.dag_options},
        )

    def outlets(self, tables: Sequence[TableOptions]) -> list[Any]:
        """The assets that a task fills: its tables, and their containers."""
        return [*(table_asset(_qualified(t), self.conn_id) for t in tables), containers_alias(self.conn_id)]


def gridferry_dags(
    config: ConfigLike,
    *,
    prefix: str = "griddb_postgres",
    postgres_conn_id: str | None = None,
    griddb_conn_id: str | None = None,
    continuous: str = "0 * * * *",
    parity: str = "@daily",
    most_buckets: int = MOST_BUCKETS,
    rows_per_bucket: int = 250_000,
    rows_per_chunk: int = 100_000,
    wait_s: float = 600.0,
    default_args: Mapping[str, Any] | None = None,
    **dag_options: Any,
) -> dict[str, DAG]:
    """The DAGs `<prefix>_migration_initial`, `<prefix>_migration_continuous` and `<prefix>_parity`, by id.

    `globals().update(gridferry_dags("gridferry.yaml"))` in a DAG file shows them to Airflow. Without a table that has
    `sync` there is no continuous one.
    Args: config: a path, absolute or beside the DAG file, or the document as a dict; continuous, parity: their
        schedules; most_buckets, rows_per_bucket: into how many tasks the load is cut; wait_s: how long a task waits
        for another run on its table; default_args, dag_options: for Airflow.
    Raises: ConfigError, one line for all mistakes of the config.
    """
    dag_file = sys._getframe(1).f_code.co_filename
    try:
        _require_three(dag_options)
        beside = found_beside(config, dag_file)
        require_no_password(beside)
        settings = Settings(beside, postgres_conn_id, griddb_conn_id)
        patterns = settings.patterns()  # only the source knows what they mean: one task of each kind has all tables
        tables = () if patterns else settings.tables()
        conn_id = settings.target_connection or GRIDDB_DEFAULT
    except ConfigError as error:
        raise ConfigError(one_line(error)) from None
    made = _Made(settings, prefix, conn_id, wait_s, dag_options, dict(default_args or {}))
    cut: dict[str, Any] = {"most_buckets": most_buckets, "rows_per_bucket": rows_per_bucket}
    followed = [options for options in tables if options.sync is not None]
    follows = bool(followed) or any(each.options.sync is not None for each in patterns)
    dags = [_initial(made, tables, cut=cut, rows_per_chunk=rows_per_chunk)]
    if follows:
        dags.append(_continuous(made, followed, schedule=continuous))
    dags.append(_parity(made, tables, followed if follows else None, schedule=parity))
    return {dag.dag_id: dag for dag in dags}


def _initial(made: _Made, tables: Sequence[TableOptions], *, cut: dict[str, Any], rows_per_chunk: int) -> DAG:
    about = (
        "The first load of PostgreSQL tables into GridDB.\n\n"
        "`prepare` plans and makes the containers, `load` reads the tables in buckets, side by side, and `finish` "
        "counts both sides. Every task can be cleared and run again at any time: what is stored stays, and what is "
        "loaded is left alone."
    )
    dag = made.dag(INITIAL, schedule="@once", about=about)
    names = _names(tables)
    size: dict[str, Any] = {"rows_per_chunk": rows_per_chunk, "wait_s": made.wait_s}
    with dag:
        prepare = GridFerryPrepareLoadOperator(task_id="prepare", tables=names, **cut, **size, **made.common)
        load = GridFerryLoadBucketOperator.partial(
            task_id="load", map_index_template="{{ bucket }}", **size, **made.common
        ).expand_kwargs(prepare.output)
        for task_id, group in _groups("finish", tables):
            finish = GridFerryFinishLoadOperator(
                task_id=task_id, tables=_names(group), outlets=made.outlets(group), **size, **made.common
            )
            load >> finish
    return dag


def _continuous(made: _Made, tables: Sequence[TableOptions], *, schedule: str) -> DAG:
    about = (
        "Stores in GridDB what was committed in PostgreSQL since the last run.\n\n"
        "It waits, without a worker, until the first load is finished. A run takes everything committed before it "
        "began, so a missed hour is not made up for; a run without changes is a success."
    )
    dag = made.dag(CONTINUOUS, schedule=schedule, about=about)
    with dag:
        waiting = _wait_for_load(made, tables)
        for task_id, group in _sync_groups(tables):
            waiting >> _sync(made, task_id, group)
    return dag


def _parity(
    made: _Made, tables: Sequence[TableOptions], followed: Sequence[TableOptions] | None, *, schedule: str
) -> DAG:
    about = (
        "Compares both sides value by value.\n\n"
        "Tables that are followed are brought level first. `verify` compares all tables as of one snapshot, fails "
        "where anything differs or was left out, and says where."
    )
    dag = made.dag(PARITY, schedule=schedule, about=about)
    with dag:
        last = [_wait_for_load(made, tables)]
        if followed is not None:
            syncs = [_sync(made, task_id, group) for task_id, group in _sync_groups(followed)]
            last[0] >> syncs
            last = syncs
        # One task for all: the verdict is one, as of one snapshot.
        last >> GridFerryVerifyOperator(task_id="verify", **made.common)
    return dag


def _wait_for_load(made: _Made, tables: Sequence[TableOptions]) -> GridFerryLoadedSensor:
    return GridFerryLoadedSensor(
        task_id="wait_for_load",
        tables=_names(tables),
        poke_interval=15.0,
        inlets=[table_asset(_qualified(options), made.conn_id) for options in tables[:_MOST_TASKS]],
        **made.common,
    )


def _sync(made: _Made, task_id: str, tables: Sequence[TableOptions]) -> GridFerrySyncOperator:
    return GridFerrySyncOperator(
        task_id=task_id,
        tables=_names(tables),
        outlets=made.outlets(tables),
        wait_s=made.wait_s,
        **made.common,
    )


def _require_three(dag_options: Mapping[str, Any]) -> None:
    """Return if nothing is asked for that three DAGs cannot share. Raises: ConfigError."""
    instead = {"dag_id": "`prefix` begins their names", "schedule": "`continuous` and `parity` are their schedules"}
    for name, advice in instead.items():
        if name in dag_options:
            raise ConfigError(f"`{name}` cannot be one for all of gridferry's DAGs", next_step=advice)


def _sync_groups(tables: Sequence[TableOptions]) -> list[tuple[str, list[TableOptions]]]:
    """As `_groups`; tables that one slot follows are one task: its runs would wait for each other."""
    together = [o for o in tables if o.sync_mode is not None and o.sync_mode.value == "cdc"]
    if len(together) < 2:
        return _groups("sync", tables)
    rest = [options for options in tables if options not in together]
    return [("sync_cdc" if rest else "sync", together), *(_groups("sync", rest) if rest else [])]


def _groups(name: str, tables: Sequence[TableOptions]) -> list[tuple[str, list[TableOptions]]]:
    """The tables dealt out to at most 16 tasks, each with its id: `sync`, or `sync_01` and so on; without any, one."""
    if not tables:
        return [(name, [])]
    count = min(_MOST_TASKS, len(tables))
    groups = [list(tables[start::count]) for start in range(count)]
    return [(name if count == 1 else f"{name}_{number:02d}", group) for number, group in enumerate(groups, start=1)]


def _names(tables: Sequence[TableOptions]) -> list[str] | None:
    return [options.table for options in tables] or None


def _qualified(options: TableOptions) -> str:
    return f"{options.schema_name}.{options.table_name}"
