"""Plays a history on its servers, and says what became of it."""

from __future__ import annotations

import signal
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import psycopg
from tests.e2e.ferry import Ferry
from tests.histories.ends import differences, differences_now
from tests.histories.faults import NEEDS_OWN_TARGET
from tests.histories.steps import (
    Check,
    CopySource,
    Crash,
    EndFollow,
    Fault,
    History,
    MoveSource,
    Run,
    Say,
    Settle,
    Step,
)
from tests.histories.weather import Weather
from tests.histories.world import Running, World
from tests.proxy import proxy_to

LEVEL_S = 30.0
WAIT_S = 30.0


class Failed(Exception):
    """The history did not end as it must."""


@dataclass
class Outcome:
    """How a history ended. `why` is empty if it ended well; `counts` says how often what really happened."""

    why: str = ""
    at: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def ok(self) -> bool:
        """Whether it ended as it must."""
        return not self.why


def play(world: World, history: History, *, bug: str = "") -> Outcome:
    """Play it once. `bug` is planted into every run."""
    outcome = Outcome()
    with world.ferry(f"h_{uuid.uuid4().hex[:12]}", history.shapes) as ferry, ExitStack() as stack:
        player = Player(world, ferry, history, bug=bug, counts=outcome.counts, stack=stack)
        try:
            for outcome.at, step in enumerate(history.steps, 1):
                player.step(step)
            player.count_streamed()
        except (Failed, TimeoutError, KeyError, psycopg.Error) as error:
            outcome.why = f"step {outcome.at}: {type(error).__name__}: {error}"
    return outcome


class Player:
    """One history in progress."""

    def __init__(
        self, world: World, ferry: Ferry, history: History, *, bug: str, counts: Counter[str], stack: ExitStack
    ) -> None:
        self.world, self.ferry, self.history, self.bug = world, ferry, history, bug
        self.counts = counts
        self.sessions: dict[int, psycopg.Connection[Any]] = {}
        self.follower: Running | None = None
        self.follow_run = Run("follow")
        self.copied = False
        self.passed: tuple[int, str] | None = None  # how far the source had got that a copy took the place of
        self.crashed = False  # whether a server crashed beside the follower
        self.done = False  # whether the last run said that it is
        stack.callback(self.close)

    def close(self) -> None:
        """End the writers' sessions."""
        for session in self.sessions.values():
            session.close()
        self.sessions.clear()

    def step(self, step: Step) -> None:
        """Play one step. Raises: Failed."""
        plays: dict[type, Callable[[Any], None]] = {
            Say: self.say, Run: self.run, EndFollow: self.end_follow, Crash: self.crash, Check: self.check,
            CopySource: self.copy_source, MoveSource: self.move_source, Settle: self.settle,
        }  # fmt: skip
        plays[type(step)](step)

    def say(self, say: Say) -> None:
        """A writer's statement; one that fails shows that the application was harmed."""
        if say.writer not in self.sessions:
            self.sessions[say.writer] = self.world.connect()
        done = self.sessions[say.writer].execute(say.sql)
        self.counts[say.kind] += done.rowcount != 0

    def crash(self, crash: Crash) -> None:
        """A server goes and comes back."""
        self.counts[crash.kind] += self.crash_now(crash.side)
        self.crashed = True

    def crash_now(self, side: str) -> bool:
        """Crash a server; False for one that is not ours to crash."""
        if side == "target":
            if self.world.target is None:
                return False
            self.world.target.crash()
        else:
            self.world.crash_source()
            self.close()
        return True

    def copy_source(self, copy: CopySource) -> None:
        """The source is copied; its sessions end."""
        self.close()
        self.world.copy_source()
        self.counts[copy.kind] += 1
        self.copied = True

    def move_source(self, move: MoveSource) -> None:
        """The copy takes its place."""
        self.close()
        if self.copied:
            self.passed = self.world.move_source()
            self.counts[move.kind] += 1

    def settle(self, settle: Settle) -> None:
        """A run that goes on just where the target holds nothing that the copy never had."""
        if self.passed is not None:
            self.world.pass_on(*self.passed)
        running = self.begin(Run("sync"))
        word = running.hear()
        if word is not None and "done" not in word and settle.followed and "from another source" in word["message"]:
            self.finished(self.begin(Run("take over")))
            self.counts["taken over"] += 1
        elif word is None or "done" not in word:
            raise Failed(f"the run after the move ended with {_shown(word)}")
        self.compare()
        self.counts[settle.kind] += 1

    def check(self, check: Check) -> None:
        """A run without faults has to succeed and to leave both ends equal."""
        self.finished(self.begin(Run("sync", sweep=check.sweep)))
        self.compare()
        self.counts[check.kind] += 1

    def compare(self) -> None:
        """Raises: Failed if the ends differ."""
        found = self.differences()
        if found:
            raise Failed(f"the ends differ in {len(found)} rows:\n    " + "\n    ".join(found[:12]))

    def differences(self) -> list[str]:
        """What differs now."""
        with self.world.connect() as session:
            return differences(session, self.ferry, self.history.shapes)

    def differences_now(self) -> list[str]:
        """What differs while a run goes on."""
        with self.world.connect() as session:
            return differences_now(session, self.ferry, self.history.shapes)

    # Runs.

    def run(self, run: Run) -> None:
        """A run, and what befalls it."""
        if run.verb == "follow":
            self.follow_run, self.crashed = run, False
            self.follower = self.begin(run)
        elif run.fault is None:
            done = self.finished(self.begin(run))
            self.counts["stopped"] += "stopped" in done["done"]
        else:
            self.done = False
            self.run_faulty(run, run.fault)
            if self.done and not run.meanwhile and not self.counts["clock set back"]:
                self.compare()  # a run that says it is done has done it, whatever befell it
        self.counts[run.kind] += 1

    def end_follow(self, end: EndFollow) -> None:
        """The follower ends, as it is told or by SIGKILL."""
        follower, self.follower = self.follower, None
        assert follower is not None
        if end.how == "kill":
            follower.kill()
        else:
            if end.how == "level":
                follower = self.wait_until_level(follower)
            follower.say("stop")
            # One that was still connecting when a server crashed ends, to be started again by whoever watches it.
            if not self.crashed or not self.may_fail(follower):
                done = follower.said[-1] if self.crashed else self.finished(follower)
                self.counts["followed"] += done["read"]
        self.counts[end.kind] += 1

    def wait_until_level(self, follower: Running) -> Running:
        """Until both ends are equal; returns the follower, another one if it had to be started again.

        Groups of one row each take their time on a busy machine: what counts is that the ends come closer.
        Raises: Failed if they do not for `LEVEL_S`, or the follower has ended without need.
        """
        least = sys.maxsize
        while found := self.differences_now():
            if len(found) < least:
                least, until = len(found), time.monotonic() + LEVEL_S
            if time.monotonic() > until:
                raise Failed(f"the follower does not get level: {found[:5]}")
            if follower.has_spoken(0.02):
                if not self.crashed or not self.may_fail(follower):
                    raise Failed(f"the follower ended with {_shown(follower.hear())}")
                follower = self.begin(self.follow_run)
        return follower

    def begin(self, run: Run, *, ports: dict[str, int] | None = None, wait_s: float = 0.0) -> Running:
        """Start a run. `ports` are those of proxies, by side."""
        ports = ports or {}
        fault = run.fault
        env = self.ferry.env
        if "source" in ports:
            port = f":{self.world.source.port}"
            env["SOURCE_DSN"] = self.world.source.tcp_dsn().replace(port, f":{ports['source']}")
        options: dict[str, Any] = {"rows_per_chunk": run.rows_per_chunk, "wait_s": wait_s}
        if run.verb == "take over":
            options = {"wait_s": wait_s}
        elif run.verb == "load":
            options["workers"] = 1
        else:
            options["sweep"] = run.sweep
        if run.verb == "follow":
            options |= {"follow": True, "interval_s": 0.05}
        target = int(self.ferry.server.address.rpartition(":")[2])
        return self.world.start_run(
            {
                "config": self.ferry.text,
                "env": env,
                "verb": run.verb,
                "options": options,
                "group_bytes": run.group_bytes,
                "chunks": run.chunks,
                "reroute": {target: ports["target"]} if "target" in ports else {},
                "bug": self.bug,
                "clock": fault.name.partition(" ")[0] if fault is not None and "clock" in fault.name else "",
                "point": fault.point if fault is not None else "",
                "moment": fault.moment if fault is not None else "",
                "call": fault.call if fault is not None else 0,
            }
        )

    def finished(self, running: Running) -> dict[str, Any]:
        """What a run did that has to succeed. Raises: Failed."""
        word = running.hear()
        if word is None or "done" not in word:
            raise Failed(f"a run without a fault ended with {_shown(word)}")
        self.counted(word)
        return word

    def counted(self, word: dict[str, Any]) -> None:
        """Add up what a run did that says it is done."""
        self.done = True
        for name in ("read", "rows", "deleted"):
            self.counts[f"{name} by runs"] += word[name]

    def may_fail(self, running: Running) -> bool:
        """The end of a run that may have failed for what may pass. Returns: whether it failed. Raises: Failed."""
        word = running.hear()
        if word is None:
            raise Failed("a run ended without a word")
        if "done" in word:
            self.counted(word)
            return False
        if not word["transient"]:
            raise Failed(f"a run ended with {_shown(word)}")
        self.counts[f"ended by {word['error']}"] += 1
        return True

    def run_faulty(self, run: Run, fault: Fault) -> None:
        """A run that meets its fault."""
        if fault.name in NEEDS_OWN_TARGET and self.world.target is None:
            self.may_fail(self.begin(Run(run.verb, run.group_bytes, run.rows_per_chunk, run.sweep)))
        elif fault.point:
            self.run_to_point(run, fault)
        elif fault.name in ("cut", "stall", "split"):
            self.run_in_weather(run, fault)
        elif fault.name == "kill later":
            self.run_killed_later(run, fault)
        elif fault.name == "crash target at statement":
            assert self.world.target is not None
            with self.world.target.crashing_at(fault.amount) as crashed:
                failed = self.may_fail(self.begin(run))
            self.came(fault, crashed.is_set(), mattered=failed)
        else:
            self.finished(self.begin(run))
            self.came(fault, True, mattered=True)

    def came(self, fault: Fault, came: bool, *, mattered: bool) -> None:
        """Count a fault."""
        self.counts[f"{fault.name} came"] += came
        self.counts[f"{fault.name} ended the run"] += came and mattered

    def run_in_weather(self, run: Run, fault: Fault) -> None:
        """A run through a proxy at one side."""
        after = 100 if fault.name == "split" else fault.amount
        weather = Weather(fault.name, after=after, split=max(1, fault.amount))
        address = self.ferry.server.address.rpartition(":")
        target = (address[0], int(address[2])) if fault.side == "target" else ("127.0.0.1", self.world.source.port)
        with proxy_to(target, weather, cuts_all=True) as proxy:
            running = self.begin(run, ports={fault.side: proxy.port})
            failed = self.may_fail(running)
        if failed and fault.name != "cut":
            raise Failed(f"a run ended for {fault}: {_shown(running.said[-1])}")
        self.came(fault, weather.came, mattered=failed)

    def run_killed_later(self, run: Run, fault: Fault) -> None:
        """SIGKILL after so many milliseconds, wherever that is."""
        running = self.begin(run)
        try:
            word = running.hear(fault.amount / 1000)
        except TimeoutError:
            running.kill()
            self.came(fault, True, mattered=True)
        else:
            self.came(fault, False, mattered=False)
            if word is None or "done" not in word:
                raise Failed(f"a run without a fault ended with {_shown(word)}")

    def run_to_point(self, run: Run, fault: Fault) -> None:
        """A run that stands still at a point while its fault comes."""
        running = self.begin(run)
        word = running.hear()
        if word is None or "at" not in word:
            if word is None or "done" not in word:
                raise Failed(f"a run without a fault ended with {_shown(word)}")
            self.counted(word)
            for say in run.meanwhile:
                self.say(say)
            if fault.name == "crash source":
                self.crash_now("source")
            return
        for say in run.meanwhile:
            self.say(say)
        self.counts["meanwhile"] += len(run.meanwhile)
        befall: dict[str, Callable[[Running], bool]] = {
            "kill": self.kill, "crash target": self.crash_target, "crash source": self.crash_source,
            "overlap": self.overlap, "freeze": self.freeze,
        }  # fmt: skip
        self.came(fault, True, mattered=befall[fault.name](running))

    def kill(self, running: Running) -> bool:
        """SIGKILL."""
        running.kill()
        return True

    def crash_target(self, running: Running) -> bool:
        """What was acknowledged and not flushed is gone."""
        self.crash_now("target")
        running.say("go")
        return self.may_fail(running)

    def crash_source(self, running: Running) -> bool:
        """PostgreSQL recovers; slots and prepared transactions are there again."""
        self.crash_now("source")
        running.say("go")
        return self.may_fail(running)

    def overlap(self, running: Running) -> bool:
        """A second run is turned away, a third waits for its turn."""
        second = self.begin(Run("sync"))
        word = second.hear()
        if word is None or not word.get("transient") or "another run works on" not in word.get("message", ""):
            raise Failed(f"a second run beside the first ended with {_shown(word)}")
        third = self.begin(Run("sync"), wait_s=WAIT_S)
        running.say("go")
        if self.history.mode == "watermark" and len(self.history.shapes) > 1:
            # Between the pass over all tables and the run of one of them the third may get that one.
            self.may_fail(running)
        else:
            self.finished(running)
        self.finished(third)
        return True

    def freeze(self, running: Running) -> bool:
        """A run stands still so long that its lease is taken over; then it goes on."""
        running.signal(signal.SIGSTOP)
        second = self.begin(Run("sync"), wait_s=WAIT_S)
        taken = not self.may_fail(second)
        running.signal(signal.SIGCONT)
        running.say("go")
        self.may_fail(running)
        return taken

    def count_streamed(self) -> None:
        """Transactions that PostgreSQL sent while they were open, as it counts them itself."""
        with self.world.connect() as session:
            row = session.execute("SELECT coalesce(sum(stream_txns), 0) FROM pg_stat_replication_slots").fetchone()
        self.counts["streamed"] += int(row[0]) if row else 0


def _shown(word: dict[str, Any] | None) -> str:
    if word is None:
        return "no word"
    return str(word["done"]) if "done" in word else f"{word.get('error')}: {word.get('message')}"
