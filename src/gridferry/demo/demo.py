"""The main job on real input, shown step by step: PostgreSQL with sensor readings -> GridDB, compared, asked, followed.

Everything runs in a temporary folder and is gone at the end, whatever the end is. A target of the user's own is left
as it was found: only containers that a demo made are touched (see `footprint`).
"""

from __future__ import annotations

import atexit
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg

from gridferry.demo.changes import NEWCOMERS
from gridferry.demo.endpoints import CONFIG_NAME, PASSWORD_VARIABLE, SOURCE_VARIABLE, DemoEndpoints
from gridferry.demo.following import CdcPart, WatermarkPart, follow_by_cdc, follow_by_watermark, load, verify
from gridferry.demo.footprint import Footprint
from gridferry.demo.sample import copy_csv_into, write_readings_csv
from gridferry.demo.servers import LocalGridDB, make_folder, remove_folder
from gridferry.demo.view import DemoView
from gridferry.engine.events import TableLoad
from gridferry.engine.migration import Migration
from gridferry.errors import ConfigError
from gridferry.griddb import connect
from gridferry.local.interrupts import held, undisturbed
from gridferry.local.postgres import LocalPostgres
from gridferry.model.verification import Verdict, VerifyReport
from gridferry.plan.config import Config
from gridferry.plan.sync_options import SyncMode

TABLE = "public.device"
CONTAINERS = ("device1", "device2", "device3", *(f"device_{name}" for name in NEWCOMERS))
QUERIES = (
    ("device2", "select *", "The first readings of a device, as GridDB has them."),
    ("device1", "select MAX(ts)", "The time of the newest reading of another."),
)
FIRST_ROWS = 5


@dataclass(frozen=True)
class DemoOptions:
    """What to show. `target` is a GridDB of the user's own, "" for the emulator; `share` makes fewer readings."""

    target: str = ""
    password: str = ""
    share: float = 1.0
    csv: Path | None = None
    keep: bool = False
    replace: bool = False


@dataclass(frozen=True)
class DemoReport:
    """What was done: a load, and both modes of following. `kept` says how to go on with what was left running."""

    rows: int
    loads: list[TableLoad]
    verified: VerifyReport
    watermark: WatermarkPart
    cdc: CdcPart
    kept: tuple[str, ...] = ()

    @property
    def as_promised(self) -> bool:
        """Whether both sides were equal wherever they have to be."""
        equal = self.verified.verdict is Verdict.EQUAL and self.cdc.verified.verdict is Verdict.EQUAL
        return equal and self.watermark.as_promised


def run_demo(options: DemoOptions, view: DemoView) -> DemoReport:
    """Play it all, take away what was made, and return what was done.

    Raises: ConfigError if something is not installed; TargetNotEmpty if the target holds containers of these names
    that no demo made; any FerryError of the load. What was made is taken away then too, and on Ctrl-C.
    """
    made = ExitStack()
    try:
        report = _play(options, view, made)
    except BaseException:
        with undisturbed():
            made.close()
        raise
    if options.keep:
        made.pop_all()
    else:
        with undisturbed(), view.waiting("cleaning up"):
            made.close()
    return report


def _play(options: DemoOptions, view: DemoView, made: ExitStack) -> DemoReport:
    """All steps in order; whatever is started goes onto `made`, which takes it away."""
    if options.target:
        _claim(options, made)
    with held():
        folder = make_folder()
        made.callback(remove_folder, folder)
    postgres = _start_postgres(view, folder, made)
    rows = _fill_postgres(options, view, postgres, folder)
    griddb = _start_griddb(options, view, folder, made)
    endpoints = DemoEndpoints(
        postgres.dsn(),
        griddb.target if griddb else options.target,
        griddb.password if griddb else options.password,
        folder,
    )
    config = _write_config(view, endpoints)
    _plan(view, config)
    view.step("The load. Killed anywhere, the same command goes on.")
    loads = load(view, config)
    verified = verify(view, config, "Every value of both sides is compared.")
    _ask(view, config)
    watermark = follow_by_watermark(view, endpoints)
    cdc = follow_by_cdc(view, endpoints, drop=not options.keep)
    kept = _leave_running(endpoints, postgres, griddb) if options.keep else ()
    return DemoReport(rows, loads, verified, watermark, cdc, kept)


def _claim(options: DemoOptions, made: ExitStack) -> None:
    """Write down in the user's own target what the demo is about to make there. First of all: it may not be free."""
    store = made.enter_context(connect(options.target, password=options.password))
    footprint = Footprint(store, table=TABLE, containers=CONTAINERS)
    footprint.claim(replace=options.replace)
    made.callback(footprint.erase)


def _start_postgres(view: DemoView, folder: Path, made: ExitStack) -> LocalPostgres:
    view.step("A PostgreSQL of our own starts in a temporary folder.")
    postgres = LocalPostgres(folder / "postgres")
    made.callback(postgres.remove)
    with view.waiting("starting PostgreSQL"):
        return postgres.start()


def _fill_postgres(options: DemoOptions, view: DemoView, postgres: LocalPostgres, folder: Path) -> int:
    path = options.csv or folder / "readings.csv"
    if options.csv is None:
        with view.waiting("making sensor readings"):
            write_readings_csv(path, share=options.share)
    command = f'psql "$SOURCE_DSN" -c "\\copy device FROM {path.name} CSV HEADER"'
    view.step(f"Readings of three sensors go into the table {TABLE}.", command=command)
    with view.waiting("copying"), psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        rows = copy_csv_into(connection, path)
        # What a table of readings has; mode watermark finds new rows by it.
        connection.execute("CREATE INDEX ON device (ts)")
        connection.execute("ANALYZE device")
    view.text(f"{rows:,} rows")
    return rows


def _start_griddb(options: DemoOptions, view: DemoView, folder: Path, made: ExitStack) -> LocalGridDB | None:
    """The emulator, or None where the user named a target."""
    if options.target:
        view.step(f"Your GridDB is the target: {options.target}")
        return None
    view.step("A GridDB emulator starts; GRIDFERRY_TARGET names a real one.", command="gridferry serve")
    griddb = LocalGridDB(folder)
    made.callback(griddb.stop)
    with view.waiting("starting the emulator"):
        return griddb.start()


def _write_config(view: DemoView, endpoints: DemoEndpoints) -> Config:
    view.step("A small file says what goes where.", command=f"cat {CONFIG_NAME}")
    view.text(endpoints.config_text(SyncMode.WATERMARK).rstrip())
    return endpoints.config(SyncMode.WATERMARK)


def _plan(view: DemoView, config: Config) -> None:
    view.step("The plan: what becomes what. Nothing is changed yet.", command="gridferry plan")
    with Migration(config) as migration:
        with view.waiting("looking at the table"):
            plan = migration.plan()
        view.plan(plan)


def _ask(view: DemoView, config: Config) -> None:
    """The readings, asked for in GridDB's own language."""
    with connect(config.target) as store:
        for name, query, line in QUERIES:
            view.step(line, command=f'gridferry tql {name} "{query}"')
            container = store.open_container(name)
            if container is None:
                raise ConfigError(
                    f"the readings have no device that becomes {name}",
                    next_step="give a file with the public sensor readings, or none",
                )
            result = container.query(query, limit=FIRST_ROWS + 1)
            if result.has_rows:
                view.rows(result)
            else:
                view.value(result)


def _leave_running(endpoints: DemoEndpoints, postgres: LocalPostgres, griddb: LocalGridDB | None) -> tuple[str, ...]:
    """Let everything live on; returns the lines that say how to use and how to end it."""
    atexit.unregister(postgres.stop)
    pids = [postgres.pid]
    lines = [f"cd {endpoints.folder}", f"export {SOURCE_VARIABLE}='{endpoints.dsn}'"]
    if griddb is not None:
        griddb.leave_running()
        pids.append(griddb.pid)
        lines.append(f"export {PASSWORD_VARIABLE}={griddb.password}")
    end = f"kill {' '.join(map(str, pids))}; sleep 3; rm -rf {endpoints.folder}"
    return (*lines, "gridferry status", f"{end}    # the end of it")
