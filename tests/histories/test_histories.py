"""Random histories, replayed from their seeds: whatever writers do and whatever befalls a run, both ends end equal.

GRIDFERRY_HISTORIES=N plays N of them, `--seed S` or GRIDFERRY_HISTORY_SEED=S one again.
"""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import Future

import pytest
from tests.histories.conftest import REAL
from tests.histories.faults import FAULTS, NEEDS_OWN_TARGET
from tests.histories.league import Game, League
from tests.histories.player import Outcome

COUNT = int(os.environ.get("GRIDFERRY_HISTORIES", "200"))
# Each of these has to have happened, or the histories proved less than they say. What a fault does to a run depends
# on where it finds it; each kind has to have ended one, or to have been met by one that went on.
HAPPENED = (
    "insert", "update", "no-op update", "delete", "reinsert", "key change", "split change", "big insert", "big delete",
    "begin", "commit", "abort", "savepoint", "back", "prepare", "commit prepared", "truncate", "truncate aborted",
    "column added", "column with default", "column added, aborted", "alter", "late row", "clock set back", "load",
    "sync", "follow", "end follow: level", "end follow: stop", "end follow: kill", "stopped", "followed", "check",
    "crash of the source", "source copied", "source moved to a copy",
    "settled after a move", "taken over", "meanwhile", "streamed", "read by runs", "rows by runs", "deleted by runs",
    *(f"{fault} came" for fault in FAULTS if not (REAL and fault in NEEDS_OWN_TARGET)),
    *(() if REAL else ("crash of the target", "crash target ended the run")),
    "kill ended the run", "crash source ended the run", "cut ended the run",
)  # fmt: skip
ENOUGH = 200  # histories in which all of that is sure to happen, with those of RARE
# In these a crash of the target takes a table's first lease along, which ends the run; in most it finds an earlier row,
# or befalls the pass over several tables: the table that lost its lease there has a run, and a lease, of its own.
RARE = (Game(264, mode="watermark"), Game(450, mode="watermark"))
GOES = 12


@pytest.fixture(scope="session")
def played(request: pytest.FixtureRequest, league: League) -> dict[int, Future[Outcome]]:
    """Every history that was asked for, being played."""
    asked = [getattr(item, "callspec", None) for item in request.session.items]
    seeds = dict.fromkeys(spec.params["seed"] for spec in asked if spec is not None and "seed" in spec.params)
    return {seed: league.submit(Game(seed)) for seed in seeds}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        told = os.environ.get("GRIDFERRY_HISTORY_SEED")
        one = metafunc.config.getoption("--seed", default=None) or ([int(told)] if told else None)
        metafunc.parametrize("seed", one or range(COUNT))


def test_a_history_ends_with_both_ends_equal(played: dict[int, Future[Outcome]], seed: int) -> None:
    outcome = played[seed].result()
    assert outcome.ok, Game(seed).report(outcome)


def test_everything_that_can_happen_did(played: dict[int, Future[Outcome]], league: League) -> None:
    if len(played) < ENOUGH:
        pytest.skip(f"{len(played)} histories were asked for; all that can happen is sure to in {ENOUGH}")
    counts: Counter[str] = sum((future.result().counts for future in played.values()), Counter())
    for game in RARE * GOES:  # where a crash falls differs from play to play
        if all(counts[what] for what in HAPPENED):
            break
        outcome = league.submit(game).result()
        assert outcome.ok, game.report(outcome)
        counts += outcome.counts
    assert [what for what in HAPPENED if not counts[what]] == []
