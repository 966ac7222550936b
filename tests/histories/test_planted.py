"""The histories notice bugs: each of those in `planted` makes one fail that passes without it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.histories.league import Game, League
from tests.histories.planted import BUGS

# Seeds that noticed each bug when this was written come first; if the generator changes, some other will.
SEEDS: dict[str, tuple[int, ...]] = {}
MOST = 40


@pytest.fixture(scope="module")
def duel() -> Iterator[League]:
    """Players for these tests."""
    with League() as league:
        yield league


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_noticed(duel: League, bug: str) -> None:
    seeds = dict.fromkeys((*SEEDS.get(bug, ()), *range(MOST)))
    for seed in seeds:
        game = Game(seed, mode=BUGS[bug].mode, bug=bug)
        if not duel.submit(game).result().ok:
            sound = Game(seed, mode=BUGS[bug].mode)
            outcome = duel.submit(sound).result()
            assert outcome.ok, sound.report(outcome)
            return
    pytest.fail(f"{len(seeds)} histories did not notice it")
