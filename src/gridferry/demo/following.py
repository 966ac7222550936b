"""The second half of the demo: the source goes on changing, and the target follows, first by watermark, then by cdc.

Each mode is one function, shown in steps like the rest; what a mode cannot see is shown, not only said.
"""

from __future__ import annotations

from dataclasses import dataclass

from gridferry.demo.audience import Audience
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
from gridferry.demo.ends import CONFIG_NAME, Ends
from gridferry.engine.events import TableLoad, TableSync
from gridferry.engine.migration import Migration
from gridferry.model.repair import RepairReport
from gridferry.model.verification import Verdict, VerifyReport
from gridferry.plan.config import Config
from gridferry.plan.table_options import SyncMode
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


def follow_by_watermark(audience: Audience, ends: Ends) -> WatermarkPart:
    """New readings, then a late one and changes that the mode cannot see. Raises: any FerryError."""
    config = ends.config(SyncMode.WATERMARK)
    _change(audience, ends, NEW_READINGS, "The source goes on: new readings, one of them of a new device.")
    first = _sync(audience, config, "The new readings, and nothing else, are brought over.")
    verified = verify(audience, config, "Both sides are equal again.")
    _change(audience, ends, LATE_AND_CHANGED, "A reading comes late, one is corrected, one is deleted.")
    second = _sync(audience, config, "The same command again. A scheduler would run it every hour.")
    blind = verify(audience, config, "What it saw, and what it did not.")
    audience.said(BLIND)
    return WatermarkPart([first, second], verified, blind, _repair(audience, config))


def follow_by_cdc(audience: Audience, ends: Ends, *, drop: bool) -> CdcPart:
    """A load under a replication slot, then changes of every sort; with `drop` the slot goes in the end."""
    _change(audience, ends, IDENTITY, "Mode cdc reads PostgreSQL's log, where a key says which row has changed.")
    audience.step("The config asks for that mode.", command=f"tail -2 {CONFIG_NAME}")
    audience.text("\n".join(ends.config_text(SyncMode.CDC).splitlines()[-2:]))
    audience.step("The load makes a replication slot, and reads under its snapshot.")
    config = ends.config(SyncMode.CDC)
    loads = load(audience, config, replace=True)
    _change(audience, ends, EVERYTHING, "Everything at once: new, late, corrected, moved and deleted readings.")
    synced = _sync(audience, config, "Every change is brought over, in the order of its commit.")
    verified = verify(audience, config, "Both sides are equal, updates and deletes included.")
    _report(audience, config)
    return CdcPart(loads, [synced], verified, _drop_slot(audience, config) if drop else [])


def load(audience: Audience, config: Config, *, replace: bool = False) -> list[TableLoad]:
    """Load, and show what was done."""
    audience.command("gridferry load --replace --yes" if replace else "gridferry load")
    with audience.loading() as listener, Migration(config, listener=listener) as migration:
        loads = migration.loads.load(replace=replace)
    audience.loaded(loads)
    return loads


def verify(audience: Audience, config: Config, line: str) -> VerifyReport:
    """Compare both sides, and show what was found."""
    audience.step(line, command="gridferry verify")
    with Migration(config) as migration:
        with audience.waiting("comparing"):
            report = migration.verifications.verify()
        audience.verified(report)
    return report


def _change(audience: Audience, ends: Ends, script: Script, line: str) -> None:
    audience.step(line, command=script.command)
    audience.text(script.text)
    run_script(ends.dsn, script)


def _sync(audience: Audience, config: Config, line: str) -> TableSync:
    audience.step(line, command="gridferry sync")
    with Migration(config) as migration:
        with audience.waiting("looking for changes"):
            done = migration.syncs.sync()
        audience.synced(done)
    return done[0]


def _repair(audience: Audience, config: Config) -> RepairReport:
    audience.step("A repair writes just those rows, and keeps what was there.", command="gridferry repair")
    with Migration(config) as migration:
        with audience.waiting("repairing"):
            report = migration.repairs.repair()
        audience.repaired(report)
    return report


def _report(audience: Audience, config: Config) -> None:
    audience.step("All of this on one page, to keep and to show.", command="gridferry report")
    with Migration(config) as migration, audience.waiting("counting both sides"):
        page = render_page(gather_facts(migration))
    audience.page(page)


def _drop_slot(audience: Audience, config: Config) -> list[str]:
    audience.step("Where a table is not to be followed any more: PostgreSQL as it was.", command="gridferry drop-slot")
    with Migration(config) as migration:
        dropped = migration.syncs.drop_slots()
    audience.text("\n".join(f"dropped: {what}" for what in dropped))
    return dropped
