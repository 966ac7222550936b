"""`python -m tests.histories`: play many histories, or one again; failed ones are told with their seeds."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter

from tests.histories.generator import make_history
from tests.histories.league import WORKERS, Game, League
from tests.histories.shrink import shrink
from tests.histories.world import World


def main() -> int:
    """The exit status: 1 if a history failed."""
    asked = _arguments()
    real = bool(os.environ.get("GRIDFERRY_TEST_GRIDDB"))
    if asked.seed is not None:
        game = Game(asked.seed, asked.mode, not asked.no_faults, asked.bug)
        print(make_history(game.seed, mode=game.mode, faults=game.faults))
        with World(real=real) as world:
            outcome = game.play(world)
            if not outcome.ok and asked.shrink:
                history = make_history(game.seed, mode=game.mode, faults=game.faults)
                print("\nshrunk:\n" + str(shrink(world, history, bug=game.bug)))
        print(outcome.why or "both ends are equal")
        return int(not outcome.ok)
    games = [
        Game(seed, asked.mode, not asked.no_faults, asked.bug) for seed in range(asked.first, asked.first + asked.count)
    ]
    return _play_all(games, workers=asked.workers, real=real)


def _play_all(games: list[Game], *, workers: int, real: bool) -> int:
    counts: Counter[str] = Counter()
    failed: list[int] = []
    began = time.monotonic()
    with League(workers=workers, real=real) as league:
        for number, (game, outcome) in enumerate(league.play(games), 1):
            counts += outcome.counts
            if not outcome.ok:
                failed.append(game.seed)
                print(f"\n{game.report(outcome)}\n", flush=True)
            if number % 10 == 0 or number == len(games):
                print(f"{number} of {len(games)} histories, {len(failed)} failed", flush=True)
    print(f"{time.monotonic() - began:.0f} s; " + ", ".join(f"{n} {c}" for n, c in sorted(counts.items())))
    print(f"failed seeds: {sorted(failed)}" if failed else "all ended with both ends equal")
    return int(bool(failed))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.histories")
    parser.add_argument("--count", type=int, default=200, help="how many histories")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--workers", type=int, default=WORKERS)
    parser.add_argument("--seed", type=int, help="print and play this one only")
    parser.add_argument("--shrink", action="store_true", help="with --seed: look for fewer steps that fail too")
    parser.add_argument("--mode", default="", choices=["", "cdc", "watermark"])
    parser.add_argument("--no-faults", action="store_true")
    parser.add_argument("--bug", default="", help="plant this bug (tests/histories/planted.py)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
