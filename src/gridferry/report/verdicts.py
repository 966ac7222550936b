"""What the facts come to, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from gridferry import numbers
from gridferry.model.verification import Depth, TableVerification, Verdict
from gridferry.report.facts import Headline, LoadFacts, TableFacts, Tone

_VERIFY = "gridferry verify"
_TO_MEND = f"{_VERIFY} --output differences.jsonl lists every row; {_VERIFY} --repair mends them"


def table_headline(load: LoadFacts, verifications: Sequence[TableVerification]) -> Headline:
    """The verdict on one table: of its last verification; without one, how far it is."""
    if load.state != "loaded":
        return _unfinished(load)
    if not verifications:
        rows = numbers.plural(load.rows, "row")
        return Headline(
            Tone.UNVERIFIED,
            f"Not verified yet: {rows} were loaded, and counted on both sides, but not compared by value.",
            f"{_VERIFY} compares every value",
        )
    last = verifications[0]
    if last.verdict is Verdict.DIFFERENT:
        return Headline(Tone.DIFFERENT, _different(last), _TO_MEND)
    if last.verdict is Verdict.UNSETTLED:
        rows = numbers.plural(last.unsettled, "row")
        return Headline(
            Tone.UNSETTLED,
            f"Not settled: {rows} changed faster than they were synced; all others are equal ({_as_of(last)}).",
            "gridferry sync, then gridferry verify",
        )
    return Headline(Tone.EQUAL, _equal(last))


def report_headline(tables: Sequence[TableFacts]) -> Headline:
    """The verdict on all tables: the worst, and how many have it."""
    if not tables:
        return Headline(Tone.UNFINISHED, "The config names no table.")
    if len(tables) == 1:
        return tables[0].headline
    order = list(Tone)
    worst = max((t.headline.tone for t in tables), key=order.index)
    those = [t for t in tables if t.headline.tone is worst]
    if worst is Tone.EQUAL:
        rows = sum(_rows(t.verifications[0]) for t in tables)
        containers = sum(t.verifications[0].containers_total for t in tables)
        how = "by value" if all(t.verifications[0].depth is Depth.FULL for t in tables) else "partly by counts only"
        return Headline(
            Tone.EQUAL,
            f"All {numbers.count(rows)} rows of {len(tables)} tables in {numbers.plural(containers, 'container')} are "
            f"equal, checked {how}.",
        )
    whose = those[0].table if len(those) == 1 else f"{len(those)} of {len(tables)} tables"
    said = {
        Tone.DIFFERENT: f"Both sides differ in {whose}",
        Tone.UNSETTLED: f"Not settled: {whose}",
        Tone.UNFINISHED: f"Not loaded yet: {whose}",
        Tone.UNVERIFIED: f"Not verified yet: {whose}",
    }
    equal = sum(t.headline.tone is Tone.EQUAL for t in tables)
    rest = f"; {numbers.plural(equal, 'table')} {'is' if equal == 1 else 'are'} proven equal." if equal else "."
    return Headline(worst, said[worst] + rest, those[0].headline.next_step)


def moment(stamp: str) -> str:
    """`2026-01-31 12:00:05 UTC` of an ISO 8601 stamp; "" of none."""
    return stamp[:19].replace("T", " ") + " UTC" if stamp else ""


def _unfinished(load: LoadFacts) -> Headline:
    if load.state == "not begun":
        return Headline(Tone.UNFINISHED, "Not loaded yet.", "gridferry load")
    done = f"{numbers.count(load.chunks_done)} of {numbers.plural(load.chunks, 'chunk')}"
    rows = numbers.plural(load.rows, "row")
    if load.state == "interrupted":
        sentence = f"The load was interrupted: {done} are done, {rows} are stored."
        return Headline(Tone.UNFINISHED, sentence, "gridferry load goes on where it stopped")
    if load.state == "loading":
        return Headline(Tone.UNFINISHED, f"The load is under way: {done} are done, {rows} are stored.")
    return Headline(Tone.UNFINISHED, f"The table cannot be told about: its load is {load.state}.", "gridferry status")


def _equal(last: TableVerification) -> str:
    rows = numbers.plural(_rows(last), "row")
    containers = numbers.plural(last.containers_total, "container")
    if last.depth is Depth.QUICK:
        return (
            f"The counts are equal: {rows} in {containers}, by number, least and greatest key only, not by value "
            f"({_as_of(last)})."
        )
    aside = f" {numbers.plural(last.explained, 'row')} put aside or superseded are left out." if last.explained else ""
    all_ = "The one row" if _rows(last) == 1 else f"All {rows}"
    are = "is" if _rows(last) == 1 else "are"
    return f"{all_} in {containers} {are} equal, checked by value ({_as_of(last)}).{aside}"


def _different(last: TableVerification) -> str:
    parts = [
        numbers.plural(number, "row") + f" {what}"
        for number, what in (
            (last.different, "with other values"),
            (last.missing, "missing in GridDB"),
            (last.extra, "only in GridDB"),
            (last.doubled, "sharing a key in PostgreSQL"),
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
