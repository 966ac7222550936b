"""An engine that does nothing, and plans and reports for it to give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from gridferry.engine.events import (
    ChunkDone,
    ContainerCount,
    Level,
    LoadStarted,
    Note,
    RowsPut,
    TableLoad,
    TableSync,
    ignore,
)
from gridferry.engine.standing import ContainerState, ContainerStatus, QuarantinedRow, Replay, TableStatus
from gridferry.engine.status.check import Checked, checked
from gridferry.engine.status.status import LeftOver
from gridferry.engine.verify.table import summed
from gridferry.griddb.schema import ColumnSpec, ContainerKind, GridType
from gridferry.model.cutover import CutoverReport
from gridferry.model.outcomes import LoadOutcome
from gridferry.model.repair import RepairReport, RepairStatus, RepairUndo, TableUndo
from gridferry.model.verification import (
    ColumnDifference,
    ContainerVerification,
    Depth,
    Difference,
    DifferenceCount,
    DifferenceKind,
    TableVerification,
    VerifyReport,
)
from gridferry.plan.plan import (
    ColumnPlan,
    ContainerPlan,
    Fidelity,
    Finding,
    Kernel,
    Plan,
    ReadAs,
    Severity,
    TablePlan,
)

RISK = Finding(Severity.RISK, "price", "some values lose digits", "store its text")
PROBLEM = Finding(Severity.PROBLEM, "shape", "there is no rule for box", "leave it out with exclude")


def column(
    name: str, pg_type: str, kind: GridType, *, verdict: Fidelity = Fidelity.EXACT, rule: str = "The same."
) -> ColumnPlan:
    """A column that keeps its name."""
    spec = ColumnSpec(name, kind, nullable=name != "ts")
    return ColumnPlan(name, pg_type, spec, ReadAs.PLAIN, Kernel.SAME, verdict, rule)


def table_plan(*findings: Finding, containers: int = 3) -> TablePlan:
    """A plan of public.device, split into containers."""
    return TablePlan(
        schema="public",
        table="device",
        columns=(
            column("ts", "timestamp without time zone", GridType.TIMESTAMP_MS),
            column("[red]temp", "double precision", GridType.DOUBLE),
            column("price", "numeric(10,2)", GridType.DOUBLE, verdict=Fidelity.LOSSY, rule="The nearest double."),
        ),
        kind=ContainerKind.TIME_SERIES,
        key_length=1,
        key=("ts",),
        containers=tuple(ContainerPlan(f"device{i}", f"value {i}", 100 * i) for i in range(1, containers + 1)),
        split_by="device",
        rows=405_184,
        size_bytes=38_000_000,
        findings=findings,
    )


@dataclass
class FakeMigration:
    """The engine's shape, in one piece. `calls` are what it was asked; `failure` is raised instead of an answer."""

    planned: Plan = field(default_factory=lambda: Plan((table_plan(RISK),), "db.example:5432/shop", "griddb://here"))
    loaded: list[TableLoad] = field(default_factory=list)
    report: VerifyReport = field(default_factory=lambda: VerifyReport((), "", 0.0))
    wished: bool = False
    statuses: list[TableStatus] = field(default_factory=list)
    found: list[ContainerStatus] = field(default_factory=list)
    states: list[ContainerState] = field(default_factory=list)
    held: list[QuarantinedRow] = field(default_factory=list)
    synced: list[TableSync] = field(default_factory=list)
    replays: list[Replay] = field(default_factory=list)
    repaired: RepairReport = field(default_factory=lambda: RepairReport(VerifyReport((), "", 0.0), ()))
    undone: RepairUndo = field(default_factory=lambda: RepairUndo("r1", (TableUndo("public.device", "r1"),)))
    listed: list[RepairStatus] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    ready: CutoverReport = field(default_factory=lambda: CutoverReport((), "", 0.0))
    failure: BaseException | None = None
    calls: list[tuple[str, Any]] = field(default_factory=list)
    closed: bool = False
    transactions_s: float | None = None
    listener: Callable[[Any], None] = ignore

    def __enter__(self) -> FakeMigration:
        return self

    def __exit__(self, *error: object) -> None:
        self.closed = True

    @property
    def loads(self) -> FakeMigration:
        return self

    syncs = verifications = repairs = status = loads

    def _answer(self, name: str, asked: Any, answer: Any) -> Any:
        self.calls.append((name, asked))
        if self.failure is not None:
            raise self.failure
        return answer

    def plan(self, tables: Any = ()) -> Plan:
        return self._answer("plan", tables, self.planned)

    def what_replace_drops(self, tables: Any = ()) -> str:
        return f"--replace drops 2 containers with 399 rows of {', '.join(tables)}, and loads them again"

    def load(self, tables: Any = (), **options: Any) -> list[TableLoad]:
        self.listener(LoadStarted("public.device", table_plan(), rows=600, chunks=2, workers=2))
        self.listener(Note("public.device", "a note"))
        self.listener(Note("public.device", "a hazard", level=Level.WARNING))
        self.listener(RowsPut("public.device", 300, 9000))
        self.listener(ChunkDone("public.device", 0, 300, 0))
        return self._answer("load", (tables, options), self.loaded)

    def preview(self, plan: Plan) -> list[TableLoad]:
        return self._answer("preview", plan, self.loaded)

    def check(self, tables: Any = (), *, max_lag_s: float) -> Checked:
        found = self._answer("check", (tables, max_lag_s), self.statuses)
        return checked(found, None, max_lag_s=max_lag_s, level_at=lambda _: "")

    def sync(self, tables: Any = (), **options: Any) -> list[TableSync]:
        self.listener(Note("public.device", "a hazard", level=Level.WARNING))
        for done in self.synced:
            self.listener(done)
        if "until" in options:
            options = {**options, "until": options["until"]()}
        return self._answer("sync", (tables, options), self.synced)

    def verify(self, tables: Any = (), **options: Any) -> VerifyReport:
        return self._answer("verify", (tables, options), self.report)

    def verify_as_configured(self, tables: Any = (), **options: Any) -> VerifyReport | None:
        return self.report if self.wished else None

    def repair(self, tables: Any = (), **options: Any) -> RepairReport:
        return self._answer("repair", (tables, options), self.repaired)

    def cutover(self, tables: Any = (), **options: Any) -> CutoverReport:
        return self._answer("cutover", (tables, options), self.ready)

    def undo(self, run: str, tables: Any = (), **options: Any) -> RepairUndo:
        return self._answer("undo", (run, tables, options), self.undone)

    def all(self, tables: Any = ()) -> list[RepairStatus]:
        return self._answer("all", tables, self.listed)

    def forget(self, what: str, tables: Any = (), **options: Any) -> list[str]:
        return self._answer("forget", (what, tables, options), self.forgotten)

    def tables(self, tables: Any = ()) -> list[TableStatus]:
        return self._answer("tables", tables, self.statuses)

    def left_over(self) -> LeftOver:
        return LeftOver((), ())

    def containers(self, tables: Any = ()) -> list[ContainerStatus]:
        return self._answer("containers", tables, self.found)

    def container_states(self, tables: Any = (), *, match: str = "", known: Any = ()) -> list[ContainerState]:
        return self._answer("container_states", (tables, match), self.states)

    def quarantine(self, tables: Any = ()) -> list[QuarantinedRow]:
        return self._answer("quarantine", tables, self.held)

    def replay(self, tables: Any = (), *, ids: Any = ()) -> list[Replay]:
        return self._answer("replay", (tables, ids), self.replays)


LOADED = TableLoad(
    "public.device",
    LoadOutcome.LOADED,
    rows=600,
    octets=36_000,
    seconds=0.5,
    chunks=2,
    containers=(ContainerCount("device1", "b8:27", 400, 400), ContainerCount("device2", "00:0f", 200, 199)),
)


def report_of(*containers: ContainerVerification, **more: Any) -> VerifyReport:
    """A report of one table."""
    found = TableVerification("public.device", Depth.FULL, "2026-03-01T10:00:00.000+00:00", 0.25, "0/1A", _TAKEN_AT)
    table = replace(
        summed(found, list(containers)),
        source_rows=sum(c.source_rows for c in containers),
        target_rows=sum(c.target_rows for c in containers),
        **more,
    )
    return VerifyReport((table,), found.started, 0.25)


_TAKEN_AT = "2026-03-01T10:00:00.123456Z"
EQUAL = report_of(ContainerVerification("device1", "a", 400, 400, equal_rows=400))
DIFFERENCE = Difference(
    "public.device",
    "device2",
    "b",
    DifferenceKind.DIFFERENT,
    (("ts", "2020-07-12T00:01:34.385Z"),),
    (ColumnDifference("temp", "22.7", "22.8"), ColumnDifference("note", "", None)),
)
DIFFERENT = report_of(
    ContainerVerification("device2", "b", 200, 199, equal_rows=198, missing=1, different=1),
    *EQUAL.tables[0].containers,
    first=(DIFFERENCE,),
    summary=(DifferenceCount("device2", "2020-07-12", missing=1, different=1),),
)
UNSETTLED = report_of(ContainerVerification("device1", "a", 400, 399, equal_rows=397, unsettled=3), rounds=4)
