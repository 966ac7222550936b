"""What a verification comes to, in one sentence: the same on the screen, in JSON and in a task of Airflow."""

from __future__ import annotations

from collections.abc import Sequence

from gridferry import numbers
from gridferry.model import coverage_words
from gridferry.model.coverage import total
from gridferry.model.database_verdict import database_headline
from gridferry.model.verification import STORED_ARE_EQUAL, Depth, TableVerification, Verdict, VerifyReport


def headline(report: VerifyReport) -> tuple[str, str]:
    """The verdict, and the rest of the sentence: for which rows it holds, and what was not compared."""
    if not report.tables and report.missing:
        return "Nothing was compared", f": {numbers.plural(report.missing, 'table')} left out"
    if report.is_of_several:
        return database_headline(report)
    covered, quick = report.coverage, any(table.depth is Depth.QUICK for table in report.tables)
    conditions = sum(bool(table.covered.where) for table in report.tables)
    remarks = list(coverage_words.headline_remarks(covered, conditions))
    if coverage_words.has_gaps(covered) and report.verdict is Verdict.INCOMPLETE:
        equal = "row numbers and key bounds" if quick else coverage_words.all_values(covered).replace("All", "all")
        where = ", ".join([_containers(report.tables), *remarks])
        said = f"Not all rows are stored: {coverage_words.rows(covered)}"
        return said, f"; of the stored rows {equal} are equal ({where})"
    if report.verdict in STORED_ARE_EQUAL:
        said = "Row numbers and key bounds" if quick else coverage_words.all_values(covered)
        parts = [rows_in_containers(report.tables), *remarks, f"compared in {numbers.duration(report.seconds)}"]
        return f"{said} are equal", f" ({', '.join(parts)})"
    only = [f"{coverage_words.columns(covered)} compared"] if covered.left_out and not quick else []
    where = f" ({', '.join([rows_in_containers(report.tables), *only, *remarks])})"
    if report.verdict is Verdict.UNSETTLED:
        count = numbers.plural(sum(t.unsettled for t in report.tables), "row")
        return f"{count} not yet synced", f", all others are equal{where}"
    if quick and not report.differences:
        return "Both sides differ in their key bounds", where
    count = numbers.plural(report.differences, "row")
    return f"{count} {'differs' if report.differences == 1 else 'differ'}", where


def sentence(report: VerifyReport) -> str:
    """The headline as one text."""
    return "".join(headline(report))


def rows_in_containers(tables: Sequence[TableVerification]) -> str:
    """`402 rows in 5 containers`, or `1 of 8 rows stored, 7 in quarantine, 2 containers`."""
    covered = total(table.coverage for table in tables)
    rows = coverage_words.rows(covered, otherwise=sum(max(t.source_rows, t.target_rows) for t in tables))
    link = ", " if coverage_words.has_gaps(covered) else " in "
    return f"{rows}{link}{_containers(tables)}"


def _containers(tables: Sequence[TableVerification]) -> str:
    return numbers.plural(sum(t.containers_total for t in tables), "container")
