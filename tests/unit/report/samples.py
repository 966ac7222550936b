"""Facts to make pages of: one table with everything that a page can show, as hostile as names and values can be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gridferry.checkpoint.history import Sample
from gridferry.checkpoint.runs import CopyFigures
from gridferry.engine.standing import QuarantinedRow, SyncStatus
from gridferry.errors import StatementError
from gridferry.model.outcomes import LoadState, SyncState
from gridferry.model.verification import (
    ColumnDifference,
    ColumnRule,
    ContainerVerification,
    Depth,
    Difference,
    DifferenceCount,
    DifferenceKind,
    TableVerification,
    Verdict,
)
from gridferry.plan.sync_options import SyncMode
from gridferry.report.database import report_headline
from gridferry.report.facts import (
    ColumnFacts,
    ContainerFacts,
    FindingFacts,
    LoadFacts,
    PlanFacts,
    QuarantineFacts,
    ReportFacts,
    RowsOverTime,
    Series,
    TableFacts,
)
from gridferry.report.failures import untold
from gridferry.report.verdicts import table_headline

EVIL = "<script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">'\"&"
AT = "2026-03-14T09:30:00.000+00:00"
LOADED = LoadFacts(
    LoadState.LOADED,
    started_at="2026-03-14T09:00:00.000+00:00",
    finished_at="2026-03-14T09:00:04.000+00:00",
    rows=405_184,
    chunks=5,
    chunks_done=5,
    copied=CopyFigures(405_184, 24_311_040, 1.6, 2),
    snapshot_lsn="0/55CCC38",
    snapshot_at="2026-03-14T08:59:59.500000Z",
)
EQUAL = TableVerification(
    table="public.device",
    depth=Depth.FULL,
    started="2026-03-14T09:20:00.000+00:00",
    seconds=1.2,
    snapshot_lsn="0/5664EE8",
    snapshot_at="2026-03-14T09:20:00.250000Z",
    rules=(ColumnRule("temp", "temp", "double precision", "DOUBLE", "exact", f"Stored so {EVIL}", "all bits"),),
    source_rows=405_184,
    target_rows=405_184,
    containers=(ContainerVerification("device1", "a", 405_184, 405_184, equal_rows=405_184),),
    containers_total=1,
)
DIFFERENT = replace(
    EQUAL,
    containers=(ContainerVerification(f"c{EVIL}", EVIL, 10, 9, missing=1, different=1, note=EVIL),),
    missing=1,
    different=1,
    extra=1,
    summary=(DifferenceCount(f"c{EVIL}", "2026-03-14", missing=1, different=1, extra=1),),
    first=tuple(
        Difference("public.device", f"c{EVIL}", EVIL, kind, (("ts", EVIL), ("id", None)), columns)
        for kind, columns in (
            (DifferenceKind.DIFFERENT, (ColumnDifference("temp", "22.5", EVIL),)),
            (DifferenceKind.MISSING, (ColumnDifference("temp", EVIL, None),)),
            (DifferenceKind.EXTRA, (ColumnDifference("temp", None, None),)),
        )
    ),
    notes=(EVIL,),
    verdict=Verdict.DIFFERENT,
)
SYNC = SyncStatus(
    SyncMode.CDC, SyncState.IDLE, column=EVIL, position="0/5664F50", as_of="2026-03-14T09:29:00.000000Z",
    lag_seconds=60.0, lag_bytes=2_048, runs=7, read=1_234, written=1_200, deleted=34, slot=EVIL, confirmed="0/5664F50",
    kept_bytes=4_096, wal_status="reserved", last_started="2026-03-14T09:29:00.000+00:00", notes=(EVIL,),
)  # fmt: skip
HISTORY = tuple(
    Sample(f"2026-03-14T09:{minute}:00.000+00:00", f"2026-03-14T09:{minute - 1:02d}:00.000000Z", runs=1, read=9)
    for minute in range(10, 30, 2)
)
PLAN = PlanFacts(
    kind="TIME_SERIES", key=("ts",), split_by=EVIL, on_duplicate="error", on_bad_row="quarantine", where=EVIL,
    columns=(ColumnFacts(EVIL, EVIL, EVIL, "DOUBLE", True, True, "exact", EVIL),),
    findings=(FindingFacts("risk", EVIL, EVIL, EVIL),),
)  # fmt: skip
HELD = QuarantinedRow("1", "public.device", EVIL, EVIL, "length", EVIL, EVIL, "held", AT)


def evil_table() -> TableFacts:
    """A table whose every text is hostile."""
    name = f"public.{EVIL}"
    series = Series(f"c{EVIL}", EVIL, (5, 5), (5, 4))
    return TableFacts(
        table=name,
        headline=table_headline(LOADED, (DIFFERENT, EQUAL)),
        load=replace(LOADED, notes=(EVIL,)),
        plan=PLAN,
        sync=SYNC,
        history=HISTORY,
        verifications=(DIFFERENT, EQUAL),
        bounded_by=EVIL,
        containers=(ContainerFacts(f"c{EVIL}", EVIL, 10, 9, EVIL, EVIL, "1", "", 1, "different", 2, EVIL),),
        over_time=RowsOverTime(EVIL, "2026-03-14T00:00:00.000Z", 3600, 3600, None, (series,), 3, EVIL),
        quarantine=QuarantineFacts(1, ((EVIL, 1),), (HELD,)),
        notes=(EVIL,),
    )


def failed_table() -> TableFacts:
    """A table that could not be read, and says so in hostile words."""
    error = StatementError(f"GridDB refused {EVIL}", state=EVIL, next_step=EVIL)
    return untold(f"public.bad{EVIL}", error)


def calm_table(containers: int = 3, **changes: Any) -> TableFacts:
    """A table that is loaded, followed and proven equal."""
    facts = tuple(
        ContainerFacts(
            f"device_{n:05d}", f"b8:27:eb:{n:05d}", 1_000 + n, 1_000 + n, "2026-03-14T00:00:00.000Z",
            "2026-03-15T00:00:00.000Z", "2026-03-14T00:00:00.000Z", "2026-03-15T00:00:00.000Z", 0, "equal",
        )
        for n in range(containers)
    )  # fmt: skip
    counts = tuple(range(64))
    table = TableFacts(
        table="public.device",
        headline=table_headline(LOADED, (EQUAL,)),
        load=LOADED,
        plan=replace(PLAN, split_by="device", where="", columns=(), findings=()),
        sync=replace(SYNC, column="", slot="ferry", notes=()),
        history=HISTORY,
        verifications=(EQUAL,),
        bounded_by="ts",
        containers=facts,
        over_time=RowsOverTime(
            "ts", "2026-03-14T00:00:00.000Z", 3600, 3600, Series("", None, counts, counts),
            tuple(Series(c.name, c.value, counts, counts) for c in facts[:24]),
        ),
    )  # fmt: skip
    return replace(table, **changes)


def report(*tables: TableFacts, **changes: Any) -> ReportFacts:
    """A report on some tables."""
    facts = ReportFacts(
        version=1, gridferry="0.1.0", made_at=AT, source="db.example:5432/production",
        target="griddb://admin@griddb.example:10001/myCluster/public", headline=report_headline(tables),
        tables=tables, counted_at="2026-03-14T09:30:00.000000Z",
    )  # fmt: skip
    return replace(facts, **changes)
