"""A seed -> a history. Nothing but the seed decides, and no database is asked.

Statements are written so that they hold whatever stands in the table, and so that no writer ever waits for another:
a row that an open transaction has touched is left alone by the others until that has ended.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.histories import move_steps, row_steps, table_steps, watermark_steps
from tests.histories.faults import random_fault
from tests.histories.shapes import Shape, random_shape
from tests.histories.steps import Check, Crash, EndFollow, Fault, History, Run, Say, Step

WRITERS = 3
GROUPS = (150, 900, 6000, 1 << 22)
# Until the log of an open transaction was sent to every follower, but for its last pages, which are written later.
_UNTIL_SENT = (
    "DO $$ DECLARE goal pg_lsn := pg_current_wal_insert_lsn() - 16384; BEGIN FOR i IN 1..100 LOOP"
    " EXIT WHEN (SELECT count(*) > 0 AND min(sent_lsn) >= goal FROM pg_stat_replication);"
    " PERFORM pg_sleep(0.05); END LOOP; END $$"
)
MODES = ("cdc", "cdc", "watermark")


@dataclass
class Writer:
    """A session of the application: whether it is in a transaction, its savepoints, and the rows it has touched."""

    number: int
    open: bool = False
    savepoints: int = 0
    locks: set[tuple[object, ...]] = field(default_factory=set)


@dataclass
class Prepared:
    """A transaction prepared and not yet ended."""

    gid: str
    locks: set[tuple[object, ...]]


class Maker:
    """Makes one history, step by step. `clock_s` is the application's time; it only goes on."""

    def __init__(self, seed: int, *, mode: str, faults: bool) -> None:
        self.seed = seed
        self.mode = mode
        self.random = random.Random(f"{mode} {seed}")
        self.faults = faults
        self.clock_s = 1000
        self.counter = 500
        self.used: set[tuple[object, ...]] = set()
        self.devices = 2
        self.sweep_due = False
        self.following = False
        self.unheard = False  # whether a column was added beside a follower
        self.steps: list[Step] = []
        self.writers = [Writer(i) for i in range(WRITERS)]
        self.prepared: list[Prepared] = []
        self.added: dict[str, list[tuple[str, str]]] = {}
        self.ranges: dict[str, list[tuple[int, int]]] = {}
        count = 2 if self.random.random() < 0.15 else 1
        self.shapes = tuple(random_shape(self.random, name=f"t{i}", mode=mode) for i in range(count))
        self.target: list[Say] | None = None  # where statements go while a run stands still

    def history(self) -> History:
        """The whole of it."""
        for shape in self.shapes:
            self.fill(shape)
        self.load()
        events = _EVENTS if self.mode == "cdc" else _WATERMARK_EVENTS
        weights = [weight for weight, _ in events]
        for _ in range(self.random.randrange(14, 34)):
            self.clock_s += self.random.choice((0, 1, 30, 300))
            self.random.choices([event for _, event in events], weights)[0](self)
        if self.faults and move_steps.is_moving(self.seed, mode=self.mode):
            move_steps.move(self)
        self.end()
        return History(self.seed, self.mode, self.shapes, tuple(self.steps))

    # What every part uses.

    def say(self, writer: Writer, kind: str, sql: str) -> None:
        """A statement, at the end of the history or while a run stands still."""
        said = Say(writer.number, kind, sql)
        if self.target is None:
            self.steps.append(said)
        else:
            self.target.append(said)

    def writer(self) -> Writer:
        """Any writer."""
        return self.random.choice(self.writers)

    def shape(self) -> Shape:
        """Any table."""
        return self.random.choice(self.shapes)

    def device(self) -> int:
        """A device, now and then a new one."""
        if self.random.random() < 0.06 and self.devices < 10:
            self.devices += 1
        return self.random.randrange(self.devices)

    def lock(self, writer: Writer, *keys: tuple[object, ...]) -> bool:
        """Whether the writer may touch rows; True holds them for it until its transaction ends."""
        others = [w.locks for w in self.writers if w is not writer] + [p.locks for p in self.prepared]
        if any(key in locks for key in keys for locks in others):
            return False
        if writer.open:
            writer.locks.update(keys)
        return True

    def free(self, shape: Shape) -> bool:
        """Whether no open transaction has touched a table."""
        held = [w.locks for w in self.writers] + [p.locks for p in self.prepared]
        return not any(key[0] == shape.name for locks in held for key in locks)

    def fresh(self) -> int:
        """A row number that was never used."""
        self.counter += 1
        return self.counter

    def fill(self, shape: Shape) -> None:
        """The rows that the load finds.

        A TIME_SERIES gets at least one: without any the load sees no digits below the millisecond, and later rows that
        have them are refused.
        """
        if shape.mode == "watermark":
            count = self.random.randrange(0, 12)
            for _ in range(max(count, 1) if shape.key == "series" else count):
                watermark_steps.insert(self, shape, self.writers[0])
            return
        for device in range(self.devices):
            for number in range(row_steps.NUMBERS):
                if self.random.random() < 0.6:
                    place = self.fresh() if shape.inserts_only else number
                    row_steps.insert_at(self, self.writers[0], shape, device=device, number=place)

    def load(self) -> None:
        """The load; now and then one that fails first."""
        if self.faults and self.random.random() < 0.12:
            fault = random_fault(self.random, verb="load", mode=self.mode)
            self.steps.append(Run("load", rows_per_chunk=self.random.choice((3, 1000)), fault=fault))
            for writer in self.writers:
                writer.open = writer.open and fault.name != "crash source"
        self.steps.append(Run("load", rows_per_chunk=self.random.choice((3, 1000))))

    # Transactions.

    def begin(self) -> None:
        """A transaction is opened."""
        writer = self.writer()
        if not writer.open:
            writer.open, writer.savepoints = True, 0
            self.say(writer, "begin", "BEGIN")

    def finish(self) -> None:
        """A transaction is ended, one way or another."""
        writer = self.writer()
        if not writer.open:
            return
        how = self.random.choices(["COMMIT", "ROLLBACK", "PREPARE"], [6, 3, 1])[0]
        if how == "PREPARE" and len(self.prepared) < 2:
            gid = f"h{self.seed} {len(self.steps)}"
            self.say(writer, "prepare", f"PREPARE TRANSACTION '{gid}'")
            self.prepared.append(Prepared(gid, set(writer.locks)))
        else:
            how = "ROLLBACK" if how == "ROLLBACK" else "COMMIT"
            self.say(writer, "abort" if how == "ROLLBACK" else "commit", how)
        writer.open = False
        writer.locks.clear()

    def finish_prepared(self) -> None:
        """A prepared transaction is ended, by a session that is in none."""
        writer = next((w for w in self.writers if not w.open), None)
        if writer is None or not self.prepared:
            return
        prepared = self.prepared.pop(0)
        how = self.random.choice(("COMMIT", "COMMIT", "ROLLBACK"))
        self.say(writer, f"{how.lower()} prepared", f"{how} PREPARED '{prepared.gid}'")

    def savepoint(self) -> None:
        """A savepoint, a row or two, and often back to it."""
        writer = self.writer()
        if not writer.open:
            return
        name = f"s{writer.savepoints}"
        writer.savepoints += 1
        self.say(writer, "savepoint", f"SAVEPOINT {name}")
        for _ in range(self.random.randrange(1, 4)):
            self.write(writer)
        if self.random.random() < 0.7:
            self.say(writer, "back", f"ROLLBACK TO SAVEPOINT {name}")

    def write(self, writer: Writer | None = None) -> None:
        """One change of rows."""
        writer = writer or self.writer()
        shape = self.shape()
        if shape.mode == "watermark":
            watermark_steps.insert(self, shape, writer)
            return
        changes = row_steps.INSERTS if shape.inserts_only else row_steps.CHANGES
        weights = [weight for weight, _ in changes]
        self.random.choices([change for _, change in changes], weights)[0](self, writer, shape)

    # Runs and what befalls them.

    def run(self) -> None:
        """A run of gridferry, now and then one that meets a fault."""
        if self.following:
            return
        fault = None
        if self.faults and self.random.random() < 0.45:
            fault = random_fault(self.random, verb="sync", mode=self.mode)
        meanwhile = self.meanwhile() if fault is not None and fault.point and self.random.random() < 0.5 else ()
        self.steps.append(
            Run(
                "sync",
                group_bytes=self.random.choice(GROUPS),
                rows_per_chunk=self.random.choice((2, 10, 1000)),
                sweep=self.mode == "watermark" and self.random.random() < 0.1,
                chunks=self.random.choice((0, 1, 1, 2)) if fault is None and self.random.random() < 0.25 else None,
                fault=fault,
                meanwhile=meanwhile,
            )
        )
        self.after(fault)

    def large_transaction(self) -> None:
        """A transaction too large to wait for its end, looked at while it is open."""
        writer, shape = next((w for w in self.writers if not w.open), None), self.shape()
        if writer is None:
            return
        writer.open, writer.savepoints = True, 0
        self.say(writer, "begin", "BEGIN")
        row_steps.insert_many(self, writer, shape)
        self.write(writer)
        if self.random.random() < 0.7:
            self.run()

    def stream_and_abort(self) -> None:
        """A large transaction that a follower sees while it is open; all of it, or its savepoint, is rolled back."""
        if not self.following:
            self.follow()
        writer, shape = self.writers[0], self.shape()
        back = self.random.random() < 0.5
        writer.open = True
        self.say(writer, "begin", "BEGIN")
        self.write(writer)
        if back:
            self.say(writer, "savepoint", "SAVEPOINT seen")
        row_steps.insert_many(self, writer, shape, back=False)
        self.say(writer, "wait", _UNTIL_SENT)
        if back:
            self.say(writer, "back", "ROLLBACK TO SAVEPOINT seen")
            self.write(writer)
        self.say(writer, "commit" if back else "abort", "COMMIT" if back else "ROLLBACK")
        writer.open = False
        writer.locks.clear()

    def after(self, fault: Fault | None) -> None:
        """A crash of PostgreSQL ends every session."""
        if fault is not None and fault.name == "crash source":
            self.lose_sessions()

    def lose_sessions(self) -> None:
        """Open transactions are gone; prepared ones stay."""
        for writer in self.writers:
            writer.open = False
            writer.locks.clear()

    def meanwhile(self) -> tuple[Say, ...]:
        """What writers do while a run stands still."""
        self.target = []
        for _ in range(self.random.randrange(1, 5)):
            self.random.choice((self.begin, self.finish, self.write, self.write))()
        said, self.target = tuple(self.target), None
        return said

    def follow(self) -> None:
        """A run without end begins beside the next steps, or ends."""
        if self.following:
            # A follower hears of an added column with the next change of a row.
            how = self.random.choice(("stop",) if self.sweep_due or self.unheard else ("level", "level", "stop"))
            self.steps.append(EndFollow("kill" if self.faults and self.random.random() < 0.2 else how))
        else:
            self.steps.append(Run("follow", group_bytes=self.random.choice(GROUPS)))
        self.following = not self.following
        self.unheard = False

    def crash(self) -> None:
        """A server crashes between two runs."""
        if not self.faults:
            return
        side = self.random.choice(("source", "target"))
        self.steps.append(Crash(side))
        if side == "source":
            self.lose_sessions()

    def check(self) -> None:
        """Both ends are compared in the middle."""
        if not self.following:
            self.steps.append(Check(sweep=self.sweep_due))
            still_open = bool(self.prepared) or any(writer.open for writer in self.writers)
            self.sweep_due = self.sweep_due and still_open

    def end(self) -> None:
        """Every transaction ends, and the last run brings both ends level."""
        for writer in self.writers:
            if writer.open:
                how = self.random.choice(("COMMIT", "COMMIT", "ROLLBACK"))
                self.say(writer, "commit" if how == "COMMIT" else "abort", how)
                writer.open = False
                writer.locks.clear()
        while self.prepared:
            self.finish_prepared()
        if self.mode == "cdc" and self.random.random() < 0.15:
            self.stream_and_abort()
        if self.following:
            self.follow()
        self.steps.append(Check(sweep=self.sweep_due))


_EVENTS: tuple[tuple[float, Callable[[Maker], None]], ...] = (
    (18, Maker.write), (4, Maker.begin), (4, Maker.finish), (2, Maker.savepoint), (1, Maker.finish_prepared),
    (1, table_steps.truncate), (1, table_steps.add_column), (1, table_steps.alter), (3, Maker.run), (0.8, Maker.follow),
    (0.4, Maker.crash), (0.8, Maker.check), (0.7, Maker.large_transaction),
)  # fmt: skip
_WATERMARK_EVENTS: tuple[tuple[float, Callable[[Maker], None]], ...] = (
    (10, watermark_steps.insert_some), (4, Maker.begin), (4, Maker.finish), (2, Maker.savepoint),
    (1, Maker.finish_prepared), (5, Maker.run), (0.6, Maker.follow), (0.4, Maker.crash), (1, Maker.check),
)  # fmt: skip


def mode_of(seed: int) -> str:
    """The mode that a seed's history has unless told."""
    return MODES[seed % len(MODES)]


def make_history(seed: int, *, mode: str = "", faults: bool = True) -> History:
    """The history of a seed."""
    return Maker(seed, mode=mode or mode_of(seed), faults=faults).history()
