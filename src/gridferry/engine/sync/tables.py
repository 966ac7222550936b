"""`sync --follow`: tables followed side by side without end. One that fails is reported, and the others go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from gridferry.engine.each_table import SYNC, Tried
from gridferry.engine.events import Level, Listener, Note, TableFailed, TableSync
from gridferry.engine.retry import is_transient
from gridferry.engine.sync.cdc.mode import CdcSync, Place
from gridferry.engine.sync.counts import sum_of_runs
from gridferry.engine.sync.follower import Follower
from gridferry.engine.sync.watermark.together import Passed
from gridferry.errors import FerryError, NotLoaded, PasswordRefused
from gridferry.model.failed_tables import FailedTable

_WAKE_S = 0.2
ROTATION_S = 900.0  # so long a password file may be behind the server


class FollowLoop:
    """Tables that are followed until `until` says so, or until none of them can be followed. Made for one `run`.

    What may pass (a server away, a lease held) is reported and tried again at the next turn; so is, for `ROTATION_S`, a
    password that the source took before: a new one may not have come to its file yet. A table that is not loaded
    yet is looked at again at each turn too, as long as another one is followed. Any other error ends the following of
    its table alone, until somebody has brought the table back: it is reported at once, and raised at the end. What
    somebody has paused or removed is left out, until it is resumed. `arrivals` is asked at each turn for more tables to
    follow. `cut` is set where all is to end at once; the followers' own `stop` has to look at it. With `many`, one slot
    follows all tables in mode cdc: one that is loaded while they are followed catches up by a slot of its own first,
    and the others go on meanwhile.
    """

    def __init__(
        self,
        followers: Sequence[Follower],
        *,
        interval_s: float,
        until: Callable[[], bool],
        cut: threading.Event,
        tell: Listener,
        many: bool = False,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        arrivals: Callable[[], Sequence[Follower]] | None = None,
        left_out: Callable[[str], object | None] = lambda table: None,
        stops: bool = False,
        together: Callable[..., Passed] = lambda followers, *, follow: Passed(),
    ) -> None:
        """Args: left_out: says, and tells, whether somebody wants a table to be left out now; stops: the first table
        that fails for good ends all.
        """
        self._followers = list(followers)
        self._arrivals = arrivals
        self._left_out = left_out
        self._stops = stops
        self._together = together
        self._threads: list[threading.Thread] = []
        self._interval_s = interval_s
        self._until = until
        self._tell = tell
        self._sleep = sleep
        self._clock = clock
        self._lock = threading.Lock()
        self._sums: dict[str, TableSync] = {}
        self._failed: dict[str, FerryError] = {}
        self._kept: set[str] = set()  # those of them whose failure is kept in the target
        self._not_loaded: dict[str, FerryError] = {}
        self._refused_at: dict[str, float | None] = {}  # since when, of tables that the source let in once
        self._defects: list[BaseException] = []
        self._cut = cut
        self._many = many
        self._coming: list[CdcSync] = []  # tables that no stream of several follows yet
        self._members: list[CdcSync] = []  # tables that one slot follows
        self._waiting: list[CdcSync] = []  # those that are to be followed with them
        self._later: list[tuple[float, CdcSync]] = []  # the same, and when to try it again

    def run(self) -> list[TableSync]:
        """Follow: endless modes in a thread each, the other tables in runs one after the other. Returns their sums.

        Raises: as `each_table.Tried.require`, once all is over.
        """
        self._coming = [each for each in self._followers if self._many and isinstance(each, CdcSync)]
        work: list[Callable[[], None]] = [
            partial(self._in_turns, [each]) for each in self._followers if each.endless and each not in self._coming
        ]
        if self._arrivals is not None:
            work.insert(0, partial(self._watch, self._arrivals))
        if self._many:
            work += [self._bring_in, self._one_stream]
        # Daemons: who ends the process at once does not wait for a target that does not answer. Nothing is lost by it.
        for each in work:
            self._begin(partial(self._guarded, each))
        try:
            self._guarded(partial(self._in_turns, [each for each in self._followers if not each.endless]))
            for thread in self._threads:  # the first one adds to them, as long as it runs
                thread.join()
        except BaseException:  # a second signal
            self._cut.set()
            raise
        if self._defects:
            raise self._defects[0]
        self._outcome().require(SYNC)
        return list(self._outcome().done)

    def _stopped(self) -> bool:
        """Whether to end: asked to, or nothing is left to be followed."""
        return self._cut.is_set() or self._until() or self._none_left()

    def _none_left(self) -> bool:
        with self._lock:
            return len(self._failed) + len(self._not_loaded) >= len(self._followers)

    def _begin(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name="gridferry-follow", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _watch(self, arrivals: Callable[[], Sequence[Follower]]) -> None:
        """Look for more tables to follow, every `interval_s`. Each has a thread, as others may be loaded meanwhile."""
        while not self._stopped():
            self._pause(self._clock() + self._interval_s)
            if self._stopped():
                return
            try:
                found = arrivals()
            except FerryError as error:  # those that are followed go on
                self._tell(
                    Note(
                        "config",
                        f"{error.message}; looked for new tables again in {self._interval_s:g} s",
                        Level.WARNING,
                    )
                )
                continue
            for each in found:
                with self._lock:
                    self._followers.append(each)
                    if self._many and isinstance(each, CdcSync):
                        self._coming.append(each)
                        continue
                self._begin(partial(self._guarded, partial(self._in_turns, [each])))

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # a defect: raised again where the caller waits
            self._defects.append(error)
            self._cut.set()

    def _in_turns(self, chosen: Sequence[Follower]) -> None:
        """Runs over these tables, one beginning every `interval_s`."""
        while chosen and not self._stopped():
            again = self._clock() + self._interval_s
            passed = self._passed(chosen) if len(chosen) > 1 else Passed()
            for each in chosen:
                if self._stopped():
                    break
                if each.table in passed.done or self._waits(each):
                    continue
                if not self._turn(each):
                    again = self._clock() + self._interval_s
            self._pause(again)

    def _passed(self, chosen: Sequence[Follower]) -> Passed:
        """Those of which nothing is new, found together. What ends that is met again by the turns of tables."""
        passed = self._together([each for each in chosen if not self._waits(each)], follow=True)
        for each in chosen:
            if (done := passed.done.get(each.table)) is not None:
                with self._lock:
                    self._not_loaded.pop(each.table, None)
                self._note_let_in(each)
                self._tell(done)
                self._add(done)
        return passed

    def _waits(self, each: Follower) -> bool:
        """Whether a table is not to be followed now: by somebody's wish, or it failed and was not brought back yet."""
        try:
            if self._left_out(each.table) is not None:
                return True
            if each.table not in self._failed:
                return False
            if each.table not in self._kept or each.is_failing:
                return True
        except FerryError:  # a run says what is wrong; who failed waits on
            return each.table in self._failed
        with self._lock:
            self._failed.pop(each.table, None)
        self._tell(Note(each.table, "it was brought back, and is followed again"))
        return False

    def _pause(self, until: float) -> None:
        while not self._stopped() and (rest := until - self._clock()) > 0:
            self._sleep(min(rest, _WAKE_S))

    def _bring_in(self) -> None:
        """Let each table be one of those that one slot follows, as soon as it is loaded and has caught up."""
        while not self._stopped():
            with self._lock:
                left = list(self._coming)
            for each in left:
                if self._stopped():
                    return
                if self._waits(each):
                    continue
                place = self._place(each)
                # By a slot of its own it catches up as far as it can, while the others go on.
                if place is Place.STREAM or (self._turn(each) and place is Place.OWN):
                    with self._lock:
                        if each.table not in self._failed:
                            self._coming.remove(each)
                            self._waiting.append(each)
            self._pause(self._clock() + max(self._interval_s, _WAKE_S))

    def _place(self, each: CdcSync) -> Place:
        try:
            return each.place
        except FerryError:
            return Place.NOT_LOADED  # a run of its own says what is wrong

    def _one_stream(self) -> None:
        """Follow all tables that were brought in, and begin again whenever there is another."""
        while not self._stopped():
            with self._lock:
                fresh, self._waiting = self._waiting, []
            for each in fresh:
                if self._waits(each):
                    with self._lock:
                        self._coming.append(each)
                    continue
                if self._place(each) is not Place.STREAM:
                    self._turn(each, join=True)
                if each.table in self._failed:
                    with self._lock:
                        self._coming.append(each)
                elif self._place(each) is Place.STREAM:
                    self._members.append(each)
                else:
                    self._later.append((self._clock() + max(self._interval_s, _WAKE_S), each))
            for each in [each for each in self._members if self._waits(each)]:
                self._part(each)
            if not self._members:
                self._newcomers()
                self._pause(self._clock() + _WAKE_S)
            elif not self._run_of_all():
                self._pause(self._clock() + self._interval_s)

    def _newcomers(self) -> bool:
        """Whether tables wait to be followed with the others."""
        with self._lock:
            now = self._clock()
            self._waiting += [each for due, each in self._later if due <= now]
            self._later = [(due, each) for due, each in self._later if due > now]
            return bool(self._waiting)

    def _run_of_all(self) -> bool:
        """One run over the tables that one slot follows. Returns: False where it is to be tried again."""
        members = list(self._members)
        try:
            tried = members[0].stream.run(members, follow=True, until=self._newcomers, left=self._left)
        except FerryError as error:
            for each in members:
                self._note_let_in(each)
            if is_transient(error) or self._may_be_rotated(members[0], error):
                message = f"{error.message}; tried again in {self._interval_s:g} s"
                self._tell(Note(members[0].table, message, Level.WARNING))
                return False
            for each in [each for each in members if each in self._members]:
                self._fail(each, error)
                self._part(each)
            return True
        for done in tried.done:
            self._tell(done)
            self._add(done)
        return True

    def _left(self, table: str, error: FerryError | None) -> None:
        """The others go on without a table: it is followed with them again as soon as that may work; they begin anew
        then. One that failed for good, or is left out by somebody's wish, waits until that is over.
        """
        for each in [each for each in self._members if each.table == table]:
            if error is not None and is_transient(error):
                self._members.remove(each)
                with self._lock:
                    self._later.append((self._clock() + max(self._interval_s, _WAKE_S), each))
                continue
            if error is not None:
                self._note_failed(each, error)
            self._part(each)

    def _part(self, each: CdcSync) -> None:
        """Let a table be none of those that one slot follows, until it is brought in again."""
        self._members.remove(each)
        with self._lock:
            self._coming.append(each)

    def _fail(self, each: Follower, error: FerryError) -> None:
        self._note_failed(each, error)
        self._tell(TableFailed(each.table, SYNC.verb, error, others=len(self._followers) - 1))

    def _note_failed(self, each: Follower, error: FerryError) -> None:
        kept = False
        with suppress(FerryError):
            kept = each.is_failing
        with self._lock:
            self._failed[each.table] = error
            (self._kept.add if kept else self._kept.discard)(each.table)
        if self._stops:
            self._cut.set()

    def _add(self, done: TableSync) -> None:
        before = self._sums.get(done.table)
        self._sums[done.table] = done if before is None else sum_of_runs(before, done)

    def _turn(self, each: Follower, *, join: bool = False) -> bool:
        """One run of a table. Returns False where it is to be tried again."""
        with self._lock:
            known = self._not_loaded.pop(each.table, None)
        try:
            done = self._run(each, join=join)
        except NotLoaded as error:
            if known is None:
                self._tell(TableFailed(each.table, SYNC.verb, error, others=len(self._followers) - 1))
            with self._lock:
                self._not_loaded[each.table] = error
            return False
        except FerryError as error:
            if is_transient(error) or self._may_be_rotated(each, error):
                message = f"{error.message}; tried again in {self._interval_s:g} s"
                self._tell(Note(each.table, message, Level.WARNING))
                return False
            self._fail(each, error)
            return True
        self._tell(done)
        self._add(done)
        return True

    def _run(self, each: Follower, *, join: bool) -> TableSync:
        """One run, and whether the source let it in."""
        try:
            if join and isinstance(each, CdcSync):
                return each.join()
            return each.run(follow=not (self._many and isinstance(each, CdcSync)))
        finally:
            self._note_let_in(each)

    def _note_let_in(self, each: Follower) -> None:
        if each.let_in:
            self._refused_at[each.table] = None

    def _may_be_rotated(self, each: Follower, error: FerryError) -> bool:
        """Whether a password is refused that was right before, and not for too long yet."""
        if not isinstance(error, PasswordRefused) or each.table not in self._refused_at:
            return False
        first = self._refused_at[each.table]
        if first is None:
            first = self._refused_at[each.table] = self._clock()
        return self._clock() - first < ROTATION_S

    def _outcome(self) -> Tried[TableSync]:
        wrong = {**self._failed, **self._not_loaded}
        names = [each.table for each in self._followers]
        good = [name for name in names if name in self._sums and name not in wrong]
        return Tried(
            done=tuple(self._sums[name] for name in good),
            finished=tuple(good),
            failures=tuple(FailedTable(name, wrong[name]) for name in names if name in wrong),
        )
