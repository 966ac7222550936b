"""Random histories, each replayed from its seed: several writers, long-open transactions, savepoints, aborts, rows
late within the lookback, new devices, runs that are stopped; then one sync, and both ends hold the same rows.

GRIDFERRY_HISTORIES=N plays more of them.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from tests.conftest import Database
from tests.e2e.ferry import Ferry
from tests.e2e.readings import TABLE, load_readings, source, stands, sync
from tests.readings import DAY

HISTORIES = int(os.environ.get("GRIDFERRY_HISTORIES", "6"))
WRITERS = 4
STEPS = 60
LATE_S = 14 * 60  # less than the lookback


@dataclass
class Writer:
    """A session of the application. `open` says that it is in a transaction."""

    connection: psycopg.Connection[Any]
    open: bool = False
    savepoints: list[str] = field(default_factory=list)


class History:
    """One random course of events. `clock_s` is the application's time, and only goes on."""

    def __init__(self, seed: int, writers: list[Writer], ferry: Ferry) -> None:
        self.random = random.Random(seed)
        self.writers = writers
        self.ferry = ferry
        self.clock_s = 100
        self.rows = 0
        self.windows = 0

    def step(self) -> None:
        """One event."""
        self.clock_s += self.random.choice((0, 1, 30, 600))
        events: list[tuple[int, Callable[[], None]]] = [
            (8, self.write), (2, self.begin), (2, self.end), (1, self.savepoint), (1, self.back), (3, self.sync),
        ]  # fmt: skip
        weights = [weight for weight, _ in events]
        self.random.choices([event for _, event in events], weights)[0]()

    def write(self) -> None:
        """Some rows, in order or late, of devices old and new."""
        writer = self.random.choice(self.writers)
        for _ in range(self.random.randint(1, 12)):
            self.rows += 1
            device = f"d{min(int(self.random.expovariate(0.5)), 9)}"
            late = self.random.choice((0, 0, 0, self.random.randint(0, LATE_S)))
            stamp = f"{DAY} + interval '{self.clock_s - late} seconds {self.rows} microseconds'"
            writer.connection.execute(f"INSERT INTO reading VALUES ({stamp}, '{device}', {self.rows})")

    def begin(self) -> None:
        writer = self.random.choice(self.writers)
        if not writer.open:
            writer.connection.execute("BEGIN")
            writer.open, writer.savepoints = True, []

    def end(self) -> None:
        writer = self.random.choice(self.writers)
        if writer.open:
            writer.connection.execute(self.random.choice(("COMMIT", "COMMIT", "ROLLBACK")))
            writer.open = False

    def savepoint(self) -> None:
        writer = self.random.choice(self.writers)
        if writer.open:
            writer.savepoints.append(f"s{len(writer.savepoints)}")
            writer.connection.execute(f"SAVEPOINT {writer.savepoints[-1]}")

    def back(self) -> None:
        writer = self.random.choice(self.writers)
        if writer.open and writer.savepoints:
            writer.connection.execute(f"ROLLBACK TO SAVEPOINT {writer.savepoints.pop()}")

    def sync(self) -> None:
        """A run, whole or stopped after its first chunks."""
        left = self.random.choice((0, 1, 2, 99))
        asked = iter(range(100))
        done = sync(self.ferry, rows_per_chunk=self.random.choice((3, 10, 1000)), until=lambda: next(asked) >= left)
        self.windows += not done.swept


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_a_history_ends_with_the_same_rows_at_both_ends(ferry: Ferry, postgres: Database, seed: int) -> None:
    ferry = load_readings(ferry, postgres).of(TABLE)
    sync(ferry)
    with ExitStack() as stack:
        writers = [Writer(stack.enter_context(postgres.connect())) for _ in range(WRITERS)]
        history = History(seed, writers, ferry)
        for _ in range(STEPS):
            history.step()
        for writer in writers:
            if writer.open:
                writer.connection.execute("COMMIT")
    assert history.windows, "every run looked at the whole table: nothing was proven of the window"
    sync(ferry)
    assert stands(ferry) == source(postgres)
    assert sync(ferry).outcome == "nothing new"
