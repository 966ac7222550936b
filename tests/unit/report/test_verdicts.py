"""The verdict in one sentence."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.report.samples import DIFFERENT, EQUAL, LOADED, calm_table

from gridferry.errors import CheckpointError
from gridferry.model.outcomes import LoadState
from gridferry.model.table_life import Stage, TableLife
from gridferry.model.verification import Depth, TableVerification, Verdict
from gridferry.report.database import report_headline, snapshots_of
from gridferry.report.facts import Headline, LoadFacts, TableFacts, Tone
from gridferry.report.failures import untold
from gridferry.report.verdicts import table_headline

INTERRUPTED = LoadFacts(LoadState.INTERRUPTED, rows=7, chunks=5, chunks_done=2)


@pytest.mark.parametrize(
    ("load", "verifications", "tone", "words"),
    [
        (LoadFacts(LoadState.NOT_BEGUN), [], Tone.UNFINISHED, "Not loaded yet."),
        (INTERRUPTED, [EQUAL], Tone.UNFINISHED, "2 of 5 chunks are done"),
        (LOADED, [], Tone.UNVERIFIED, "Not verified yet: 405,184 rows were loaded"),
        (LOADED, [EQUAL], Tone.EQUAL, "All 405,184 rows in 1 container are equal, checked by value"),
        (LOADED, [replace(EQUAL, superseded=2)], Tone.EQUAL, "rows stored, 2 superseded by another of their key."),
        (LOADED, [replace(EQUAL, depth=Depth.QUICK)], Tone.EQUAL, "least and greatest key only, not by value"),
        (LOADED, [replace(EQUAL, source_rows=1, target_rows=1)], Tone.EQUAL, "The one row in 1 container is equal"),
        (LOADED, [DIFFERENT, EQUAL], Tone.DIFFERENT, "1 row with other values, 1 row missing in GridDB, 1 row only in"),
        (LOADED, [replace(EQUAL, verdict=Verdict.UNSETTLED, unsettled=3)], Tone.UNSETTLED, "Not settled: 3 rows"),
    ],
)  # fmt: skip
def test_a_table(load: LoadFacts, verifications: list[TableVerification], tone: Tone, words: str) -> None:
    headline = table_headline(load, verifications)
    assert headline.tone is tone
    assert words in headline.sentence
    assert bool(headline.next_step) is (tone is not Tone.EQUAL)


def test_several_tables_are_as_good_as_the_worst() -> None:
    equal = calm_table()
    different = calm_table(headline=table_headline(LOADED, [DIFFERENT]), table="public.b")
    unverified = calm_table(headline=table_headline(LOADED, []))
    assert report_headline([equal, equal]).sentence == (
        "Database equal as of 2026-03-14 09:20:00 UTC, LSN 0/5664EE8: 2 tables, 810,368 rows in 2 containers, checked "
        "by value."
    )
    assert report_headline([equal, different, unverified]).sentence == (
        "Both sides differ in public.b; 1 table is proven equal, as of 2026-03-14 09:20:00 UTC, LSN 0/5664EE8."
    )
    failed = untold("public.c", CheckpointError("its state is broken", next_step="look"))
    assert failed.headline.tone is Tone.FAILED
    assert report_headline([failed, different, equal, unverified]) == Headline(
        Tone.FAILED,
        "Nothing can be reported of public.c; both sides differ in 1 table; 1 table is proven equal, as of "
        "2026-03-14 09:20:00 UTC, LSN 0/5664EE8.",
        "look",
    )
    assert report_headline([failed, unverified]).sentence == "Nothing can be reported of public.c."
    assert report_headline([unverified, unverified]).sentence == "Not verified yet: 2 of 2 tables."
    assert report_headline([different]) == different.headline
    assert report_headline([]).tone is Tone.UNFINISHED


def test_a_quick_look_is_never_called_a_proof_by_value() -> None:
    quick = replace(EQUAL, depth=Depth.QUICK)
    tables = [calm_table(), calm_table(verifications=(quick,), headline=table_headline(LOADED, [quick]))]
    assert "partly by counts only" in report_headline(tables).sentence


def at_stage(stage: Stage, name: str) -> TableFacts:
    return calm_table(table=name, load=replace(LOADED, life=TableLife(stage)))


def test_tables_of_several_verifications_are_not_called_one_state() -> None:
    later = replace(EQUAL, snapshot_at="2026-03-14T11:00:00Z", snapshot_lsn="0/6000000")
    tables = [calm_table(), calm_table(verifications=(later,))]
    assert report_headline(tables).tone is Tone.EQUAL
    assert report_headline(tables).sentence.startswith(
        "All tables equal when verified last, as of 2026-03-14 09:20:00 to 2026-03-14 11:00:00 UTC, LSN 0/5664EE8 to "
        "0/6000000 (2 snapshots, not one): 2 tables,"
    )
    assert snapshots_of(tables) == ((EQUAL.snapshot_at, EQUAL.snapshot_lsn), ("2026-03-14T11:00:00Z", "0/6000000"))


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        (Stage.PAUSED, "1 table is paused: public.b."), (Stage.APART, "1 table is set apart: public.b."),
        (Stage.RESYNC, "1 table is being brought back: public.b."),
        (Stage.GONE, "1 table is not in the source any more: public.b."),
    ],
)  # fmt: skip
def test_a_table_that_is_left_behind_is_in_the_verdict_and_nothing_is_equal(stage: Stage, words: str) -> None:
    headline = report_headline([calm_table(), at_stage(stage, "public.b")])
    assert headline.tone is Tone.INCOMPLETE
    assert headline.sentence.endswith(words)
    assert "gridferry status" in headline.next_step
    worse = report_headline([calm_table(headline=table_headline(LOADED, [])), at_stage(stage, "public.b")])
    assert (worse.tone, worse.sentence.endswith(words)) == (Tone.UNVERIFIED, True)


def test_tables_that_were_removed_are_named_and_hold_nothing_back() -> None:
    gone = [at_stage(Stage.REMOVED, f"public.t{n}") for n in range(7)]
    headline = report_headline([calm_table(), *gone])
    assert headline.tone is Tone.EQUAL
    assert (
        "7 tables are removed: public.t0, public.t1, public.t2, public.t3, public.t4 and 2 more." in headline.sentence
    )
