"""The verdict in one sentence."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.report.samples import DIFFERENT, EQUAL, LOADED, calm_table

from gridferry.errors import CheckpointError
from gridferry.model.outcomes import LoadState
from gridferry.model.verification import Depth, TableVerification, Verdict
from gridferry.report.facts import Headline, LoadFacts, Tone
from gridferry.report.failures import untold
from gridferry.report.verdicts import report_headline, table_headline

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
        "All 810,368 rows of 2 tables in 2 containers are equal, checked by value."
    )
    assert report_headline([equal, different, unverified]).sentence == (
        "Both sides differ in public.b; 1 table is proven equal."
    )
    failed = untold("public.c", CheckpointError("its state is broken", next_step="look"))
    assert failed.headline.tone is Tone.FAILED
    assert report_headline([failed, different, equal, unverified]) == Headline(
        Tone.FAILED,
        "Nothing can be reported of public.c; both sides differ in 1 table; 1 table is proven equal.",
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
