"""The source moves to a copy of itself: its files, slots and all, that were copied before it went on."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.histories.steps import CopySource, MoveSource, Run, Settle

if TYPE_CHECKING:
    from tests.histories.generator import Maker

CHANCE = 0.04  # of a history to have it, near its end: two restarts take their time


def is_moving(seed: int, *, mode: str) -> bool:
    """Whether the source moves in the history of a seed. Decided apart: the other histories stay as they are."""
    return random.Random(f"moves {mode} {seed}").random() < CHANCE


def move(maker: Maker) -> None:
    """The source is copied, goes on, is followed on or not, and gives way to the copy, which has gone on by itself."""
    if maker.following:
        maker.follow()
    maker.steps.append(CopySource())
    maker.lose_sessions()  # the copy is made while the server is stopped
    in_copy = list(maker.prepared)
    _write(maker)
    followed = maker.random.random() < 0.7
    if followed:
        maker.steps.append(Run("sync"))
    maker.steps.append(MoveSource(followed=followed))
    maker.lose_sessions()
    maker.prepared = in_copy
    while maker.prepared:  # a new slot would wait for them
        maker.finish_prepared()
    _write(maker)
    maker.steps.append(Settle(followed=followed))


def _write(maker: Maker) -> None:
    for _ in range(maker.random.randrange(3, 8)):
        maker.write(maker.writer())
