"""What a verification of several tables comes to: one verdict, the state of the source that it is of, and for whom.

No "equal" while a table is left out unsaid: failed, not tried, not loaded, left out by somebody's wish, removed, not
asked for, or none of the config's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gridferry import numbers
from gridferry.model import coverage_words
from gridferry.model.moment import shown
from gridferry.model.verification import Depth, TableVerification, Verdict, VerifyReport

MOST_NAMES = 5


def database_headline(report: VerifyReport) -> tuple[str, str]:
    """The verdict, and the rest of the sentence: as of when, for which tables and rows, and what was not compared."""
    quick = any(table.depth is Depth.QUICK for table in report.tables)
    as_of, verdict = f" as of {state_of(report)}", report.verdict
    aside = [*coverage_words.headline_remarks(report.coverage, _conditions(report)), *_not_meant(report)]
    without = "; ".join(["", *_not_compared(report)])
    if verdict is Verdict.DIFFERENT:
        rows = numbers.plural(report.differences, "row") if report.differences else "key bounds"
        count, names = _some(report, Verdict.DIFFERENT)
        read = ", ".join([*_read(report, quick), *aside])
        return _subject(report, "differs", "different"), f"{as_of}: {rows} in {count}: {names} ({read}){without}"
    if verdict is Verdict.UNSETTLED:
        rows = numbers.plural(sum(table.unsettled for table in report.tables), "row")
        count, names = _some(report, Verdict.UNSETTLED)
        said = f"{as_of}: {rows} in {count} not yet synced: {names}; all others are equal"
        read = ", ".join([*_read(report, quick), *aside])
        return _subject(report, "not proven equal"), f"{said} ({read}){without}"
    compared = "row numbers and key bounds" if quick else _small(coverage_words.all_values(report.coverage))
    rows = coverage_words.rows(report.coverage, otherwise=_rows(report.tables))
    if verdict is Verdict.INCOMPLETE:
        all_ = len(report.tables) + report.missing
        of = f"{len(report.tables)} of {all_} tables" if report.missing else numbers.plural(all_, "table")
        said = f"{as_of}: {rows} in {of}; of what is stored there {compared} are equal"
        word = "not compared whole" if report.missing else "incomplete"
        return _subject(report, word), f"{said} ({', '.join([_containers(report.tables), *aside])}){without}"
    link = ", " if coverage_words.has_gaps(report.coverage) else " in "
    parts = [compared, f"compared in {numbers.duration(report.seconds)}", *aside]
    of = numbers.plural(len(report.tables), "table")
    return (
        _subject(report, "equal"),
        f"{as_of}: {of}, {rows}{link}{_containers(report.tables)} ({', '.join(parts)})",
    )


def state_of(report: VerifyReport) -> str:
    """The state of the source that was compared: `2026-01-31 12:00:05 UTC, LSN 0/16B3748`.

    Where rows were counted again later, or a snapshot was lost, there are several: from the first to the last.
    """
    return snapshots_words(report.snapshots)


def snapshots_words(snapshots: Sequence[tuple[str, str]]) -> str:
    """The same of snapshots, by time and LSN."""
    if not snapshots:
        return "no snapshot"
    (at, lsn), (last_at, last_lsn) = snapshots[0], snapshots[-1]
    if len(snapshots) == 1:
        return f"{shown(at)} UTC" + (f", LSN {lsn}" if lsn else "")
    count = numbers.plural(len(snapshots), "snapshot")
    lsns = f", LSN {lsn} to {last_lsn}" if lsn and last_lsn else ""
    return f"{shown(at)} to {shown(last_at)} UTC{lsns} ({count}, not one)"


def _not_compared(report: VerifyReport) -> Iterator[str]:
    """How many tables of the config were not compared, and why; nothing where all were."""
    failed = tuple(each.table for each in report.failures)
    kinds = (
        ("failed", failed),
        ("not tried", report.not_tried),
        ("not loaded", report.new),
        ("removed", report.removed if not report.tables else ()),
    )
    parts = [f"{len(names)} {why} ({_listed(names)})" for why, names in kinds if names]
    if report.left_out:
        parts.append(f"{len(report.left_out)} left out")  # each has a sentence of its own
    if parts:
        yield f"not compared: {', '.join(parts)}"


def _not_meant(report: VerifyReport) -> Iterator[str]:
    """Tables that were not to be compared."""
    if report.unasked:
        yield f"{numbers.plural(len(report.unasked), 'other table')} of the config not asked for"
    if report.removed and report.tables:
        yield f"{numbers.plural(len(report.removed), 'table')} removed, not compared"
    if report.others:
        are = "is" if len(report.others) == 1 else "are"
        yield f"{numbers.plural(len(report.others), 'table')} of the database {are} not in this config"


def _read(report: VerifyReport, quick: bool) -> Iterator[str]:
    rows = coverage_words.rows(report.coverage, otherwise=_rows(report.tables))
    yield f"{rows}{', ' if coverage_words.has_gaps(report.coverage) else ' in '}{_containers(report.tables)}"
    if report.coverage.left_out and not quick:
        yield f"{coverage_words.columns(report.coverage)} compared"


def _some(report: VerifyReport, verdict: Verdict) -> tuple[str, str]:
    """`2 of 40 tables`, and `public.a, public.b`: those with this verdict."""
    those = [table.table for table in report.tables if table.verdict is verdict]
    compared = numbers.plural(len(report.tables), "compared table" if report.missing else "table")
    return f"{len(those)} of {compared}", _listed(those)


def _subject(report: VerifyReport, word: str, of_some: str = "") -> str:
    """`Database equal`; where tables of the config were not asked for `Tables asked for: equal`."""
    return f"Tables asked for: {of_some or word}" if report.unasked else f"Database {word}"


def _small(text: str) -> str:
    return text[:1].lower() + text[1:]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def _rows(tables: Sequence[TableVerification]) -> int:
    return sum(max(table.source_rows, table.target_rows) for table in tables)


def _containers(tables: Sequence[TableVerification]) -> str:
    return numbers.plural(sum(table.containers_total for table in tables), "container")


def _conditions(report: VerifyReport) -> int:
    return sum(bool(table.covered.where) for table in report.tables)
