"""The second half of the demo: the source goes on changing, and the target follows, first by watermark, then by cdc.

Each mode is one function, shown in steps like the rest; what a mode cannot see is shown, not only said.
"""

from __future__ import annotations

from dataclasses import dataclass

from gridferry.demo.changes import (
    CORRECTED,
    DELETED,
    EVERYTHING,
    IDENTITY,
    LATE_AND_CHANGED,
    NEW_READINGS,
    Script,
    run_script,
)
from gridferry.demo.endpoints import CONFIG_NAME, DemoEndpoints
from gridferry.demo.view import DemoView
from gridferry.engine.events import TableLoad, TableSync
from gridferry.engine.migration import Migration
from gridferry.model.repair import RepairReport
from gridferry.model.verification import Verdict, VerifyReport
from gridferry.plan.config import Config
from gridferry.plan.sync_options import SyncMode
from gridferry.report.gather import gather_facts
from gridferry.report.page import render_page

BLIND = (
    "The late reading came. The corrected and the deleted one are still stored as they were: mode watermark needs "
    "nothing of the source, but it finds new rows only. Where rows are changed or deleted, take mode cdc."
)


@dataclass(frozen=True)
class WatermarkPart:
    """What mode watermark did. `first` is both sides after new rows, `last` after a late one, an update, a delete;
    `repair` fixed what it cannot see.
    """

    syncs: list[TableSync]
    first: VerifyReport
    last: VerifyReport
    repair: RepairReport

    @property
    def as_promised(self) -> bool:
        """Whether all new rows came, the late one too, and only the update and the delete were missed."""
        differ = {c.name for table in self.last.tables for c in table.containers if c.differences}
        missed = self.first.verdict is Verdict.EQUAL and differ == {CORRECTED, DELETED}
        return missed and self.repair.verdict is Verdict.EQUAL


@dataclass(frozen=True)
class CdcPart:
    """What mode cdc did, from a load of its own on. `dropped` is what `drop-slot` took away."""

    loads: list[TableLoad]
    syncs: list[TableSync]
    verified: VerifyReport
    dropped: list[str]


def follow_by_watermark(view: DemoView, endpoints: DemoEndpoints) -> WatermarkPart:
    """New readings, then a late one and changes that the mode cannot see. Raises: any FerryError."""
    config = endpoints.config(SyncMode.WATERMARK)
    _change(view, endpoints, NEW_READINGS, "The source goes on: new readings, one of them of a new device.")
    first = _sync(view, config, "The new readings, and nothing else, are brought over.")
    verified = verify(view, config, "Both sides are equal again.")
    _change(view, endpoints, LATE_AND_CHANGED, "A reading comes late, one is corrected, one is deleted.")
    second = _sync(view, config, "The same command again. A scheduler would run it every hour.")
    blind = verify(view, config, "What it saw, and what it did not.")
    view.said(BLIND)
    return WatermarkPart([first, second], verified, blind, _repair(view, config))


def follow_by_cdc(view: DemoView, endpoints: DemoEndpoints, *, drop: bool) -> CdcPart:
    """A load under a replication slot, then changes of every sort; with `drop` the slot goes in the end."""
    _change(view, endpoints, IDENTITY, "Mode cdc reads PostgreSQL's log, where a key says which row has changed.")
    view.step("The config asks for that mode.", command=f"tail -2 {CONFIG_NAME}")
    view.text("\n".join(endpoints.config_text(SyncMode.CDC).splitlines()[-2:]))
    view.step("The load makes a replication slot, and reads under its snapshot.")
    config = endpoints.config(SyncMode.CDC)
    loads = load(view, config, replace=True)
    _change(view, endpoints, EVERYTHING, "Everything at once: new, late, corrected, moved and deleted readings.")
    synced = _sync(view, config, "Every change is brought over, in the order of its commit.")
    verified = verify(view, config, "Both sides are equal, updates and deletes included.")
    _report(view, config)
    return CdcPart(loads, [synced], verified, _drop_slot(view, config) if drop else [])


def load(view: DemoView, config: Config, *, replace: bool = False) -> list[TableLoad]:
    """Load, and show what was done."""
    view.command("gridferry load --replace --yes" if replace else "gridferry load")
    with view.loading() as listener, Migration(config, listener=listener) as migration:
        loads = migration.loads.load(replace=replace)
    view.loaded(loads)
    return loads


def verify(view: DemoView, config: Config, line: str) -> VerifyReport:
    """Compare both sides, and show what was found."""
    view.step(line, command="gridferry verify")
    with Migration(config) as migration:
        with view.waiting("comparing"):
            report = migration.verifications.verify()
        view.verified(report)
    return report


def _change(view: DemoView, endpoints: DemoEndpoints, script: Script, line: str) -> None:
    view.step(line, command=script.command)
    view.text(script.text)
    run_script(endpoints.dsn, script)


def _sync(view: DemoView, config: Config, line: str) -> TableSync:
    view.step(line, command="gridferry sync")
    with Migration(config) as migration:
        with view.waiting("looking for changes"):
            done = migration.syncs.sync()
        view.synced(done)
    return done[0]


def _repair(view: DemoView, config: Config) -> RepairReport:
    view.step("A repair writes just those rows, and keeps what was there.", command="gridferry repair")
    with Migration(config) as migration:
        with view.waiting("repairing"):
            report = migration.repairs.repair()
        view.repaired(report)
    return report


def _report(view: DemoView, config: Config) -> None:
    view.step("All of this on one page, to keep and to show.", command="gridferry report")
    with Migration(config) as migration, view.waiting("counting both sides"):
        page = render_page(gather_facts(migration))
    view.page(page)


def _drop_slot(view: DemoView, config: Config) -> list[str]:
    view.step("Where a table is not to be followed any more: PostgreSQL as it was.", command="gridferry drop-slot")
    with Migration(config) as migration:
        dropped = migration.syncs.drop_slots()
    view.text("\n".join(f"dropped: {what}" for what in dropped))
    return dropped
