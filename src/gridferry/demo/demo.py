"""The main job on real input, told step by step: PostgreSQL with sensor readings -> GridDB, compared, asked.

Everything runs in a temporary folder and is gone at the end, whatever the end is. A target of the user's own is left
as it was found: only containers that a demo made are touched (see `footprint`).
"""

from __future__ import annotations

import atexit
import os
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psycopg

from gridferry.demo.footprint import Footprint
from gridferry.demo.postgres import LocalPostgres
from gridferry.demo.sample import copy_csv_into, write_readings_csv
from gridferry.demo.stage import LocalGridDB, make_folder, remove_folder, undisturbed
from gridferry.engine.events import Comparison, Listener, TableLoad
from gridferry.engine.migration import Migration
from gridferry.errors import ConfigError
from gridferry.griddb import QueryResult, connect
from gridferry.plan.config import Config, parse_config
from gridferry.plan.plan import Plan

TABLE = "public.device"
CONTAINERS = ("device1", "device2", "device3")
QUERIES = (
    ("device2", "select *", "The first readings of a device, as GridDB has them."),
    ("device1", "select MAX(ts)", "The time of the newest reading of another."),
)
FIRST_ROWS = 5
CONFIG_NAME = "gridferry.yaml"
SOURCE_VARIABLE = "SOURCE_DSN"
PASSWORD_VARIABLE = "GRIDDB_PASSWORD"  # noqa: S105 - the name of a variable
CONFIG = """source: ${{SOURCE_DSN}}
target: {target}
tables:
  - table: public.device
    split_by: device            # one container for each device
    containers:                 # our names; others by template
      "b8:27:eb:bf:9d:51": device1
      "00:0f:00:70:91:0a": device2
      "1c:bf:ce:15:ec:4d": device3
    container: "device_{{value}}"
    key: ts
    rename: {{temp: temperature}}
"""


@dataclass(frozen=True)
class DemoOptions:
    """What to show. `target` is a GridDB of the user's own, "" for the stand-in; `share` makes fewer readings."""

    target: str = ""
    password: str = ""
    share: float = 1.0
    csv: Path | None = None
    keep: bool = False
    replace: bool = False


@dataclass(frozen=True)
class DemoReport:
    """What was done. `kept` are the lines that say how to go on with what was left running."""

    rows: int
    loads: list[TableLoad]
    comparison: Comparison
    kept: tuple[str, ...] = ()


class Audience(Protocol):
    """Who watches: each method shows one thing."""

    def step(self, line: str, *, command: str = "") -> None:
        """A step begins; `command` does the same by hand."""

    def waiting(self, text: str) -> AbstractContextManager[None]:
        """Something takes a moment."""

    def text(self, text: str) -> None:
        """A file, as it is."""

    def plan(self, plan: Plan) -> None:
        """The plan."""

    def loading(self) -> AbstractContextManager[Listener]:
        """A load runs inside this block."""

    def loaded(self, loads: list[TableLoad]) -> None:
        """The load is done."""

    def compared(self, comparison: Comparison) -> None:
        """Both sides are compared."""

    def rows(self, result: QueryResult) -> None:
        """The first rows of a query."""

    def value(self, result: QueryResult) -> None:
        """The value of an aggregation."""


def run_demo(options: DemoOptions, audience: Audience) -> DemoReport:
    """Play it all, take away what was made, and return what was done.

    Raises: ConfigError if something is not installed; TargetNotEmpty if the target holds containers of these names
    that no demo made; any FerryError of the load. What was made is taken away then too, and on Ctrl-C.
    """
    made = ExitStack()
    try:
        report = _play(options, audience, made)
    except BaseException:
        with undisturbed():
            made.close()
        raise
    if options.keep:
        made.pop_all()
    else:
        with undisturbed(), audience.waiting("cleaning up"):
            made.close()
    return report


def _play(options: DemoOptions, audience: Audience, made: ExitStack) -> DemoReport:
    """All steps in order; whatever is started goes onto `made`, which takes it away."""
    if options.target:
        _claim(options, made)
    folder = make_folder()
    made.callback(remove_folder, folder)
    postgres = _start_postgres(audience, folder, made)
    rows = _fill_postgres(options, audience, postgres, folder)
    griddb = _start_griddb(options, audience, folder, made)
    environment = {SOURCE_VARIABLE: postgres.dsn(), PASSWORD_VARIABLE: griddb.password if griddb else options.password}
    config = _write_config(audience, folder, griddb.target if griddb else options.target, environment)
    _plan(audience, config)
    loads, comparison = _load_and_compare(audience, config)
    _ask(audience, config)
    kept = _leave_running(folder, environment, postgres, griddb) if options.keep else ()
    return DemoReport(rows, loads, comparison, kept)


def _claim(options: DemoOptions, made: ExitStack) -> None:
    """Write down in the user's own target what the demo is about to make there. First of all: it may not be free."""
    store = made.enter_context(connect(options.target, password=options.password))
    footprint = Footprint(store, table=TABLE, containers=CONTAINERS)
    footprint.claim(replace=options.replace)
    made.callback(footprint.erase)


def _start_postgres(audience: Audience, folder: Path, made: ExitStack) -> LocalPostgres:
    audience.step("A PostgreSQL of our own starts in a temporary folder.")
    postgres = LocalPostgres(folder / "postgres")
    made.callback(postgres.remove)
    with audience.waiting("starting PostgreSQL"):
        return postgres.start()


def _fill_postgres(options: DemoOptions, audience: Audience, postgres: LocalPostgres, folder: Path) -> int:
    path = options.csv or folder / "readings.csv"
    if options.csv is None:
        with audience.waiting("making sensor readings"):
            write_readings_csv(path, share=options.share)
    command = f'psql "$SOURCE_DSN" -c "\\copy device FROM {path.name} CSV HEADER"'
    audience.step(f"Readings of three sensors go into the table {TABLE}.", command=command)
    with audience.waiting("copying"), psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        rows = copy_csv_into(connection, path)
        connection.execute("ANALYZE device")
    audience.text(f"{rows:,} rows")
    return rows


def _start_griddb(options: DemoOptions, audience: Audience, folder: Path, made: ExitStack) -> LocalGridDB | None:
    """The stand-in, or None where the user named a target."""
    if options.target:
        audience.step(f"Your GridDB is the target: {options.target}")
        return None
    audience.step("A stand-in for GridDB starts; GRIDFERRY_TARGET names a real one.", command="gridferry serve")
    griddb = LocalGridDB(folder)
    made.callback(griddb.stop)
    with audience.waiting("starting the stand-in"):
        return griddb.start()


def _write_config(audience: Audience, folder: Path, target: str, environment: dict[str, str]) -> Config:
    audience.step("A small file says what goes where.", command=f"cat {CONFIG_NAME}")
    text = CONFIG.format(target=target)
    (folder / CONFIG_NAME).write_text(text, encoding="utf-8")
    audience.text(text.rstrip())
    return parse_config(text, name=CONFIG_NAME, env={**os.environ, **environment})


def _plan(audience: Audience, config: Config) -> None:
    audience.step("The plan: what becomes what. Nothing is changed yet.", command="gridferry plan")
    with Migration(config) as migration:
        with audience.waiting("looking at the table"):
            plan = migration.plan()
        audience.plan(plan)


def _load_and_compare(audience: Audience, config: Config) -> tuple[list[TableLoad], Comparison]:
    audience.step("The load. Killed anywhere, the same command goes on.", command="gridferry load")
    with audience.loading() as listener, Migration(config, listener=listener) as migration:
        loads = migration.load()
    audience.loaded(loads)
    audience.step("Every value of both sides is compared.", command="gridferry compare")
    with Migration(config) as migration:
        with audience.waiting("comparing"):
            comparison = migration.compare()
        audience.compared(comparison)
    return loads, comparison


def _ask(audience: Audience, config: Config) -> None:
    """The readings, asked for in GridDB's own language."""
    with connect(config.target) as store:
        for name, query, line in QUERIES:
            audience.step(line, command=f'gridferry tql {name} "{query}"')
            container = store.open_container(name)
            if container is None:
                raise ConfigError(
                    f"the readings have no device that becomes {name}",
                    next_step="give a file with the public sensor readings, or none",
                )
            result = container.query(query, limit=FIRST_ROWS + 1)
            if result.has_rows:
                audience.rows(result)
            else:
                audience.value(result)


def _leave_running(
    folder: Path, environment: dict[str, str], postgres: LocalPostgres, griddb: LocalGridDB | None
) -> tuple[str, ...]:
    """Let everything live on; returns the lines that say how to use and how to end it."""
    atexit.unregister(postgres.stop)
    pids = [postgres.pid]
    lines = [f"cd {folder}", f"export {SOURCE_VARIABLE}='{environment[SOURCE_VARIABLE]}'"]
    if griddb is not None:
        griddb.leave_running()
        pids.append(griddb.pid)
        lines.append(f"export {PASSWORD_VARIABLE}={griddb.password}")
    end = f"kill {' '.join(map(str, pids))}; sleep 3; rm -rf {folder}"
    return (*lines, "gridferry status", f"{end}    # the end of it")
