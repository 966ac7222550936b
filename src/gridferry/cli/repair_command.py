"""`verify --repair`, `--undo`, `--runs` and `--forget`: rows made equal, and brought back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from gridferry import numbers
from gridferry.cli import opening
from gridferry.cli.load_commands import repeated
from gridferry.cli.options import chosen
from gridferry.cli.output import Output, plain
from gridferry.cli.table_outcomes import failed_documents, show_failed, summary_document
from gridferry.cli.tables import hanging, listing
from gridferry.errors import ConfigError

if TYPE_CHECKING:
    from gridferry.engine.events import Listener
    from gridferry.model.failed_tables import SomeTablesFailed
    from gridferry.model.repair import RepairReport, RepairStatus, TableRepair, TableUndo

INTERRUPTED = (
    "Interrupted. What was written is in the journal: run the same command again, or see `gridferry verify --runs`."
)


@dataclass(frozen=True)
class RepairOptions:
    """What `verify` was asked for beyond a verification; at most one of the first four."""

    repair: bool = False
    undo: str | None = None
    runs: bool = False
    forget: str | None = None
    wait_s: float = 0.0

    def check(self, *, quick: bool, output: Path | None) -> None:
        """Raises: ConfigError for options that do not go together."""
        asked = [
            name
            for name, given in (
                ("--repair", self.repair),
                ("--undo", self.undo is not None),
                ("--runs", self.runs),
                ("--forget", self.forget is not None),
            )
            if given
        ]
        if len(asked) > 1:
            raise ConfigError(f"{' and '.join(asked)} do not go together", next_step="give one of them")
        unused = (("--quick", quick), ("--output", output is not None and not self.repair))
        wrong = [name for name, given in unused if given]
        if asked and wrong:
            raise ConfigError(
                f"{asked[0]} and {wrong[0]} do not go together",
                next_step="leave one of them out: a repair needs every value, the others verify nothing",
            )

    @property
    def verifies_nothing(self) -> bool:
        """Whether only the journal is asked for."""
        return self.undo is not None or self.runs or self.forget is not None

    def answer(self, output: Output, config: Path, table: list[str] | None, *, listener: Listener) -> None:
        """Do what was asked for of the journal."""
        tables = chosen(table)
        with opening.open_migration(config, listener=listener) as migration:
            if self.undo is not None:
                output.interrupted = INTERRUPTED
                with output.waiting("bringing rows back"):
                    undone = migration.repairs.undo(self.undo, tables, wait_s=self.wait_s)
                _show_undo(output, undone)
            elif self.forget is not None:
                gone = migration.repairs.forget(self.forget, tables, wait_s=self.wait_s)
                output.document(lambda: {"forgotten": gone})
                output.show(*([f"forgotten: {run}" for run in gone] or ["there was nothing to forget"]))
            else:
                _show_runs(output, migration.repairs.runs(tables))


def show_repair(
    output: Output,
    report: RepairReport,
    failed: SomeTablesFailed | None = None,
    *,
    config: Path,
    table: list[str] | None,
) -> None:
    """Print what a verification found and a repair did, and the next step."""
    from gridferry.cli.verify_view import report_view
    from gridferry.model.coverage_words import QUARANTINE_STEP
    from gridferry.model.verification import STORED_ARE_EQUAL, Verdict

    output.document(lambda: repair_document(report, failed))
    if any(t.verdict not in STORED_ARE_EQUAL for t in report.verification.tables):
        output.show(*report_view(report.verification), Text())
    if report.tables:
        output.show(*repair_lines(report))
    show_failed(output, failed)
    again = repeated(config, table)
    runs = [one.run for one in report.tables if one.run]
    if failed:
        return  # each failed table has its own next step
    if report.verdict is Verdict.INCOMPLETE:
        output.note(f"\nNext: {QUARANTINE_STEP}", style="bold")
    elif report.unsettled:
        output.note(f"\nNext: gridferry verify --repair --sync{again}, which syncs what is left first", style="bold")
    elif report.verdict is not Verdict.EQUAL:
        output.note(f"\nNext: gridferry verify --repair{again} once more, for what is left", style="bold")
    elif runs:
        output.note(f"\nTo bring the old rows back: gridferry verify --undo {runs[0]}{again}", style="bold")


def repair_document(report: RepairReport, failed: SomeTablesFailed | None = None) -> dict[str, Any]:
    """A repair as JSON."""
    from gridferry.cli.verified import report_document

    return {
        "verdict": report.verdict.value,
        "exit_code": report.exit_code,
        "verification": report_document(report.verification),
        "after": None if report.after is None else report_document(report.after),
        "repairs": [plain(one) | {"rows": one.rows} for one in report.tables] + failed_documents(failed),
        "summary": summary_document([plain(one) for one in report.tables], failed),
    }


def repair_lines(report: RepairReport) -> Iterator[RenderableType]:
    """What a repair did, and whether both sides are equal now."""
    from gridferry.model import coverage_words
    from gridferry.model.coverage import total as total_coverage

    remarks = {table.table: tuple(coverage_words.remarks(table.coverage)) for table in report.standing}
    covered = total_coverage(table.coverage for table in report.standing)
    for one in report.tables:
        yield _repair_line(one)
        for remark in remarks[one.table]:
            yield hanging("  ", remark, style="yellow")
        if one.created:
            yield hanging("  ", f"containers made: {', '.join(one.created)}")
        if one.emptied:
            yield hanging("  ", f"containers that are empty now, and stay: {', '.join(one.emptied)}")
        for key in one.skipped:
            yield hanging("  ", f"left alone: {key}", style="yellow")
    yield Text()
    in_columns = f" in {coverage_words.columns(covered)}" if covered.left_out else ""
    words = {
        "equal": f"Both sides are equal now{in_columns}",
        "incomplete": f"What is stored is equal now{in_columns}, but not all is: {coverage_words.rows(covered)}",
        "unsettled": "Some rows changed meanwhile, and were left alone",
    }
    if report.unsettled:
        waiting = f"{numbers.plural(report.unsettled, 'row')} left alone: changes of them are not synced yet"
        words["unsettled"] = waiting
    said = words.get(report.verdict.value, "Some differences are left")
    yield Text(said, style="bold green" if report.verdict.value == "equal" else "bold yellow")


def _repair_line(one: TableRepair) -> Text:
    line = Text.assemble((one.table, "bold"), ": ")
    if not one.run:
        line.append("nothing was repaired", style="green" if not one.refused and not one.moved else "yellow")
    else:
        line.append(f"{numbers.plural(one.rows, 'row')} repaired", style="green")
        kinds = (("put", one.put), ("replaced", one.replaced), ("deleted", one.deleted))
        line.append(f" ({', '.join(f'{numbers.count(n)} {kind}' for kind, n in kinds if n)})")
        line.append(f", {numbers.count(one.confirmed)} re-read and confirmed, {numbers.duration(one.seconds)}")
        line.append(f", run {one.run}", style="dim")
    left = ((one.moved, "changed meanwhile"), (one.refused, "refused: several source rows share a key"))
    for count, why in left:
        if count:
            line.append(f", {numbers.plural(count, 'row')} {why}", style="yellow")
    return line


def _show_undo(output: Output, undone: TableUndo) -> None:
    output.document(lambda: plain(undone) | {"exit_code": undone.exit_code})
    line = Text.assemble((undone.table, "bold"), f": {numbers.plural(undone.restored, 'row')} brought back")
    if undone.already:
        line.append(f", {numbers.plural(undone.already, 'row')} already as before")
    if undone.kept:
        line.append(f", {numbers.plural(undone.kept, 'row')} kept: changed since the repair", style="yellow")
    output.show(line, *(hanging("  ", f"kept: {key}", style="yellow") for key in undone.changed))
    if undone.exit_code:
        raise typer.Exit(undone.exit_code)


def _show_runs(output: Output, found: list[RepairStatus]) -> None:
    output.document(
        lambda: {"runs": [plain(one.record) | {"rows": one.record.rows, "note": one.note} for one in found]}
    )
    if not found:
        output.show(Text("There was no repair, or its journal was forgotten."))
        return
    rows: list[list[RenderableType]] = [
        [
            Text(one.record.run),
            Text(one.record.table),
            Text(one.record.started[:19].replace("T", " ")),
            Text(one.record.by),
            Text(numbers.count(one.record.put)),
            Text(numbers.count(one.record.replaced)),
            Text(numbers.count(one.record.deleted)),
            Text(one.note or one.record.state.value, style="yellow" if one.note else ""),
        ]
        for one in found
    ]
    right = ("put", "replaced", "deleted")
    output.show(listing(["run", "table", "when (UTC)", "by", *right, "state"], rows, right=right))
