"""The histories notice bugs: each of those in `planted` makes one fail that passes without it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.histories.league import Game, League
from tests.histories.planted import BUGS

# Seeds that noticed each bug when this was written come first; if the generator changes, some other will.
SEEDS: dict[str, tuple[int, ...]] = {
    "trap 4: the newest rows come first": (4,),
    "late rows are not looked for": (2,),
    "the rows of a copy of the source are not looked for": (19,),
    "a copy of the source's files is taken for the source": (33, 54),
    "trap 6: deletes are not seen": (1,),
    "a new key is a put without a delete": (8,),
    "the first change of a key stays": (1,),
    "trap 7: a new device is ignored": (2,),
    "TRUNCATE is ignored": (2,),
    "deletes come after the puts of later batches": (3,),
    "the default of an added column is not filled in": (3,),
    "a large transaction that was rolled back is applied": (8,),
    "rows of a savepoint that was rolled back are applied": (4,),
    "trap 8: a retry begins with an empty target": (9,),
    "trap 9: errors are swallowed": (37,),
    "trap 14: the lease is ignored": (12,),
    "trap 16: the checkpoint comes before the flush": (27, 50, 56, 59, 65),
    "PostgreSQL is told before the checkpoint is written": (3,),
    "trap 21: a table without an identity is published for all": (2,),
}
MOST = 40
# Where a crash or an abort falls in a run differs from play to play, so a seed that noticed a bug gets several goes:
# the rolled back transaction was noticed in four plays of six on an idle machine.
GOES = 8


@pytest.fixture(scope="module")
def duel() -> Iterator[League]:
    """Players for these tests."""
    with League() as league:
        yield league


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_noticed(duel: League, bug: str) -> None:
    seeds = (*SEEDS.get(bug, ()) * GOES, *range(MOST))
    for seed in seeds:
        game = Game(seed, mode=BUGS[bug].mode, bug=bug)
        noticed = duel.submit(game).result()
        assert "not one of ours" not in noticed.why, f"the planted bug itself is broken: {noticed.why}"
        if not noticed.ok:
            sound = Game(seed, mode=BUGS[bug].mode)
            outcome = duel.submit(sound).result()
            assert outcome.ok, sound.report(outcome)
            return
    pytest.fail(f"{len(seeds)} histories that were played did not notice it")
