"""A failed history with steps left out while it still fails: what is left is what it takes."""

from __future__ import annotations

from tests.histories.player import play
from tests.histories.steps import Check, History, Step
from tests.histories.world import World


def shrink(world: World, history: History, *, bug: str = "", most: int = 150) -> History:
    """A shorter history that fails too, found with at most `most` plays. The load and the last check stay."""
    steps = history.steps
    size = len(steps) // 2
    while size and most > 0:
        at = 0
        while at < len(steps) and most > 0:
            fewer = steps[:at] + steps[at + size :]
            most -= 1
            if _fails(world, history.with_steps(fewer), bug=bug):
                steps = fewer
            else:
                at += size
        size //= 2
    return history.with_steps(steps)


def _fails(world: World, history: History, *, bug: str) -> bool:
    """Whether it fails as a whole one may: not for a step that misses what another one was to make."""
    if not _whole(history.steps):
        return False
    outcome = play(world, history, bug=bug)
    return not outcome.ok and "is not loaded" not in outcome.why and "psycopg" not in outcome.why


def _whole(steps: tuple[Step, ...]) -> bool:
    kinds = [step.kind for step in steps]
    follows = [kind for kind in kinds if kind.startswith(("follow", "end follow"))]
    paired = all(kind.startswith("follow") == (i % 2 == 0) for i, kind in enumerate(follows)) and len(follows) % 2 == 0
    return paired and bool(steps) and "load" in kinds and isinstance(steps[-1], Check)
