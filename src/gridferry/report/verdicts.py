"""What the facts about one table come to, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gridferry import numbers
from gridferry.model import coverage_words
from gridferry.model.coverage import Coverage
from gridferry.model.coverage_words import QUARANTINE_STEP
from gridferry.model.moment import shown
from gridferry.model.outcomes import LoadState
from gridferry.model.verification import Depth, TableVerification, Verdict
from gridferry.report.facts import Headline, LoadFacts, Tone

_VERIFY = "gridferry verify"
_TO_FIX = f"{_VERIFY} --output differences.jsonl lists every row; gridferry repair fixes them"


def table_headline(
    load: LoadFacts, verifications: Sequence[TableVerification], covered: Coverage | None = None, *, held: int = 0
) -> Headline:
    """The verdict on one table: of its last verification; without one, how far it is.

    Args: covered: the columns as they are now, where that is known; held: rows that are in the quarantine now.
    """
    if load.state is not LoadState.LOADED:
        return _unfinished(load)
    if not verifications:
        return _unverified(load, covered or Coverage(), held)
    last = verifications[0]
    covered = with_rows(covered or last.covered, last)
    if last.verdict is Verdict.DIFFERENT:
        return Headline(Tone.DIFFERENT, _different(last) + _remarks(covered), _TO_FIX)
    if last.verdict is Verdict.UNSETTLED:
        rows = numbers.plural(last.unsettled, "row")
        return Headline(
            Tone.UNSETTLED,
            f"Not settled: {rows} changed faster than they were synced; all others are equal ({_as_of(last)})."
            + _remarks(covered),
            "gridferry sync, then gridferry verify",
        )
    if last.verdict is Verdict.INCOMPLETE or held:
        late = max(0, held - last.quarantined)
        return Headline(Tone.INCOMPLETE, _incomplete(last, covered, late), QUARANTINE_STEP)
    return Headline(Tone.EQUAL, _equal(last, covered))


def with_rows(covered: Coverage, last: TableVerification | None) -> Coverage:
    """The coverage with the rows as a verification counted them; without one, as it is."""
    if last is None:
        return covered
    found = last.coverage
    return replace(
        covered,
        source_rows=found.source_rows,
        stored=found.stored,
        quarantined=found.quarantined,
        superseded=found.superseded,
    )


def moment(stamp: str) -> str:
    """`2026-01-31 12:00:05 UTC` of an ISO 8601 stamp; "" of none."""
    return shown(stamp) + " UTC" if stamp else ""


def _unfinished(load: LoadFacts) -> Headline:
    if load.state is LoadState.NOT_BEGUN:
        return Headline(Tone.UNFINISHED, "Not loaded yet.", "gridferry load")
    done = f"{numbers.count(load.chunks_done)} of {numbers.plural(load.chunks, 'chunk')}"
    rows = numbers.plural(load.rows, "row")
    if load.state is LoadState.INTERRUPTED:
        sentence = f"The load was interrupted: {done} are done, {rows} are stored."
        return Headline(Tone.UNFINISHED, sentence, "gridferry load goes on where it stopped")
    if load.state is LoadState.LOADING:
        return Headline(Tone.UNFINISHED, f"The load is under way: {done} are done, {rows} are stored.")
    return Headline(Tone.UNFINISHED, f"The table cannot be reported: its load is {load.state}.", "gridferry status")


def _unverified(load: LoadFacts, covered: Coverage, held: int) -> Headline:
    rows = numbers.plural(load.rows, "row")
    aside = f", {numbers.plural(held, 'row')} went into the quarantine" if held else ""
    sentence = f"Not verified yet: {rows} were loaded, and counted on both sides{aside}, but not compared by value."
    return Headline(Tone.UNVERIFIED, sentence + _remarks(covered), f"{_VERIFY} compares every value")


def _equal(last: TableVerification, covered: Coverage) -> str:
    rows = numbers.plural(_rows(last), "row")
    containers = numbers.plural(last.containers_total, "container")
    gaps = f" {_capital(coverage_words.rows(covered))}." if coverage_words.has_gaps(covered) else ""
    if last.depth is Depth.QUICK:
        return (
            f"The counts are equal: {rows} in {containers}, by number, least and greatest key only, not by value "
            f"({_as_of(last)}).{gaps}{_remarks(covered)}"
        )
    all_ = "The one row" if _rows(last) == 1 else f"All {rows}"
    are = "is" if _rows(last) == 1 else "are"
    if covered.left_out or coverage_words.has_gaps(covered):
        all_, are = f"{coverage_words.all_values(covered)} of {numbers.plural(last.target_rows, 'stored row')}", "are"
    return f"{all_} in {containers} {are} equal, checked by value ({_as_of(last)}).{gaps}{_remarks(covered)}"


def _incomplete(last: TableVerification, covered: Coverage, late: int) -> str:
    """`late`: rows that are in the quarantine now, and were not counted by the verification."""
    more = f"{numbers.plural(late, 'row')} in quarantine that the last verification did not count" if late else ""
    gaps = f"Not all rows are stored: {coverage_words.rows(covered)}" if coverage_words.has_gaps(covered) else ""
    values = "The counts" if last.depth is Depth.QUICK else coverage_words.all_values(covered)
    return (
        f"{'; '.join(part for part in (gaps, more) if part)}. {values} of the stored rows were equal ({_as_of(last)})."
        + _remarks(covered)
    )


def _remarks(covered: Coverage) -> str:
    return "".join(f" {_capital(remark)}." for remark in coverage_words.remarks(covered))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _different(last: TableVerification) -> str:
    parts = [
        numbers.plural(number, "row") + f" {what}"
        for number, what in (
            (last.different, "with other values"),
            (last.missing, "missing in GridDB"),
            (last.extra, "only in GridDB"),
            (last.doubled, "with a duplicate key in PostgreSQL"),
        )
        if number
    ]
    wrong = sum(c.verdict is Verdict.DIFFERENT for c in last.containers)
    where = f" in {numbers.count(wrong)} of {numbers.plural(last.containers_total, 'container')}" if wrong else ""
    what = ": " + ", ".join(parts) if parts else ""
    return f"Both sides differ{where}{what} ({_as_of(last)})."


def _as_of(last: TableVerification) -> str:
    lsn = f", LSN {last.snapshot_lsn}" if last.snapshot_lsn else ""
    return f"as of {moment(last.snapshot_at or last.started)}{lsn}"


def _rows(last: TableVerification) -> int:
    return max(last.source_rows, last.target_rows)
