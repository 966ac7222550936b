"""What the facts about all tables come to: one verdict, of one state of the source where it is one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from gridferry import numbers
from gridferry.model import coverage_words
from gridferry.model.coverage import Coverage, total
from gridferry.model.database_verdict import snapshots_words
from gridferry.model.table_life import Stage
from gridferry.model.verification import Depth, TableVerification
from gridferry.report.facts import Headline, LoadFacts, TableFacts, Tone

MOST_NAMES = 5
_COMPARED = (Tone.EQUAL, Tone.INCOMPLETE, Tone.UNSETTLED, Tone.DIFFERENT)
# Stages in which a table does not get what is committed, in words: "2 tables ...".
_BEHIND = {
    Stage.PAUSED: "paused",
    Stage.APART: "set apart",
    Stage.RESYNC: "being brought back",
    Stage.GONE: "not in the source any more",
}


def report_headline(tables: Sequence[TableFacts]) -> Headline:
    """The verdict on all tables: the worst, and how many have it; never equal while one of them is left behind."""
    if not tables:
        return Headline(Tone.UNFINISHED, "The config names no table.")
    if len(tables) == 1:
        return tables[0].headline
    stages = "".join(f" {sentence}" for sentence in stage_sentences(tables))
    order = list(Tone)
    worst = max((t.headline.tone for t in tables), key=order.index)
    if worst is not Tone.EQUAL:
        found = _not_equal(tables, worst)
        return replace(found, sentence=found.sentence + stages)
    if any(is_behind(t) for t in tables):
        return Headline(
            Tone.INCOMPLETE,
            f"Not all tables get what is committed. All were equal when compared last,{_equal(tables)}.{stages}",
            "gridferry status, which says what brings the tables back",
        )
    return Headline(Tone.EQUAL, f"{_subject(tables)}{_equal(tables)}.{stages}")


def snapshots_of(tables: Sequence[TableFacts]) -> tuple[tuple[str, str], ...]:
    """The states of the source that the last verifications are of, by time and LSN; the first one first."""
    found = (_last(table) for table in tables)
    return tuple(sorted({(v.snapshot_at or v.started, v.snapshot_lsn) for v in found if v is not None}))


def _subject(tables: Sequence[TableFacts]) -> str:
    return "Database equal" if len(snapshots_of(tables)) == 1 else "All tables equal when verified last,"


def _equal(tables: Sequence[TableFacts]) -> str:
    """As of when, for which rows, and how that was checked."""
    lasts = [t.verifications[0] for t in tables]
    rows = numbers.plural(sum(max(v.source_rows, v.target_rows) for v in lasts), "row")
    containers = numbers.plural(sum(v.containers_total for v in lasts), "container")
    how = "by value" if all(v.depth is Depth.FULL for v in lasts) else "partly by counts only"
    covered = total(_covered(t) for t in tables)
    remarks = [f"{coverage_words.columns(covered)}"] if covered.left_out else []
    remarks += [coverage_words.rows(covered)] if coverage_words.has_gaps(covered) else []
    remarks += coverage_words.headline_remarks(covered, sum(bool(_covered(t).where) for t in tables))
    said = f": {numbers.plural(len(tables), 'table')}, {rows} in {containers}, checked {how}"
    return f"{_as_of(tables)}{said}" + (f" ({'; '.join(remarks)})" if remarks else "")


def _not_equal(tables: Sequence[TableFacts], worst: Tone) -> Headline:
    those = [t for t in tables if t.headline.tone is worst]
    whose = those[0].table if len(those) == 1 else f"{len(those)} of {len(tables)} tables"
    said = {
        Tone.FAILED: f"Nothing can be reported of {whose}",
        Tone.DIFFERENT: f"Both sides differ in {whose}",
        Tone.UNSETTLED: f"Not settled: {whose}",
        Tone.INCOMPLETE: f"Not all rows are stored, some are in quarantine: {whose}",
        Tone.UNFINISHED: f"Not loaded yet: {whose}",
        Tone.UNVERIFIED: f"Not verified yet: {whose}",
    }
    equal = sum(t.headline.tone is Tone.EQUAL for t in tables)
    differ = sum(t.headline.tone is Tone.DIFFERENT for t in tables)
    if worst is Tone.FAILED and differ:  # what is known to be wrong is not hidden behind what is not known
        said[worst] += f"; both sides differ in {numbers.plural(differ, 'table')}"
    rest = f"; {numbers.plural(equal, 'table')} {'is' if equal == 1 else 'are'} proven equal" if equal else ""
    as_of = f",{_as_of(tables)}" if _as_of(tables) else ""
    return Headline(worst, f"{said[worst]}{rest}{as_of}.", those[0].headline.next_step)


def _as_of(tables: Sequence[TableFacts]) -> str:
    snapshots = snapshots_of([t for t in tables if t.headline.tone in _COMPARED])
    return f" as of {snapshots_words(snapshots)}" if snapshots else ""


class Staged(Protocol):
    """A table of which the stage is known."""

    @property
    def table(self) -> str:
        """`schema.table`."""

    @property
    def load(self) -> LoadFacts:
        """Its load, with its stage."""


def is_behind(table: Staged) -> bool:
    """Whether a table does not get what is committed, until somebody does something."""
    return table.load.life.stage in _BEHIND


def stage_sentences(tables: Sequence[Staged]) -> Iterator[str]:
    """A sentence for each stage in which a table is left behind, or was removed."""
    for stage, words in {**_BEHIND, Stage.REMOVED: "removed"}.items():
        names = [t.table for t in tables if t.load.life.stage is stage]
        if names:
            more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
            are = "table is" if len(names) == 1 else "tables are"
            yield f"{len(names)} {are} {words}: {', '.join(names[:MOST_NAMES])}{more}."


def _last(table: TableFacts) -> TableVerification | None:
    return table.verifications[0] if table.verifications else None


def _covered(table: TableFacts) -> Coverage:
    return table.coverage or Coverage()
