"""`sync --follow`: tables followed side by side without end. One that fails is reported, and the others go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from gridferry.engine.each_table import SYNC, Tried
from gridferry.engine.events import Level, Listener, Note, TableFailed, TableSync
from gridferry.engine.retry import is_transient
from gridferry.engine.sync.follower import Follower
from gridferry.errors import FerryError, NotLoaded, PasswordRefused
from gridferry.model.failed_tables import FailedTable
from gridferry.model.outcomes import SyncOutcome

_WAKE_S = 0.2
ROTATION_S = 900.0  # so long a password file may be behind the server


class FollowLoop:
    """Tables that are followed until `until` says so, or until none of them can be followed. Made for one `run`.

    What may pass (a server away, a lease held) is reported and tried again at the next turn; so is, for `ROTATION_S`, a
    password that the source took before: a new one may not have come to its file yet. A table that is not loaded
    yet is looked at again at each turn too, as long as another one is followed. Any other error ends the following of
    its table alone: it is reported at once, and raised at the end. `arrivals` is asked at each turn for more tables to
    follow. `cut` is set where all is to end at once; the
    followers' own `stop` has to look at it.
    """

    def __init__(
        self,
        followers: Sequence[Follower],
        *,
        interval_s: float,
        until: Callable[[], bool],
        cut: threading.Event,
        tell: Listener,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        arrivals: Callable[[], Sequence[Follower]] | None = None,
    ) -> None:
        self._followers = list(followers)
        self._arrivals = arrivals
        self._threads: list[threading.Thread] = []
        self._interval_s = interval_s
        self._until = until
        self._tell = tell
        self._sleep = sleep
        self._clock = clock
        self._lock = threading.Lock()
        self._sums: dict[str, TableSync] = {}
        self._failed: dict[str, FerryError] = {}
        self._not_loaded: dict[str, FerryError] = {}
        self._refused_at: dict[str, float | None] = {}  # since when, of tables that the source let in once
        self._defects: list[BaseException] = []
        self._cut = cut

    def run(self) -> list[TableSync]:
        """Follow: endless modes in a thread each, the other tables in runs one after the other. Returns their sums.

        Raises: as `each_table.Tried.require`, once all is over.
        """
        streams = [[each] for each in self._followers if each.endless]
        # Daemons: who ends the process at once does not wait for a target that does not answer. Nothing is lost by it.
        if self._arrivals is not None:
            self._begin(partial(self._guarded, partial(self._watch, self._arrivals)))
        turns = [each for each in self._followers if not each.endless]
        for stream in streams:
            self._begin(partial(self._guarded, partial(self._in_turns, stream)))
        try:
            self._guarded(partial(self._in_turns, turns))
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
                self._begin(partial(self._guarded, partial(self._in_turns, [each])))

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # a defect: raised again where the caller waits
            self._defects.append(error)
            self._cut.set()

    def _in_turns(self, chosen: Sequence[Follower]) -> None:
        """Runs over these tables, one beginning every `interval_s`."""
        left = list(chosen)
        while left and not self._stopped():
            again = self._clock() + self._interval_s
            for each in list(left):
                if self._stopped():
                    break
                if not self._turn(each):
                    again = self._clock() + self._interval_s
                if each.table in self._failed:
                    left.remove(each)
            self._pause(again)

    def _pause(self, until: float) -> None:
        while not self._stopped() and (rest := until - self._clock()) > 0:
            self._sleep(min(rest, _WAKE_S))

    def _turn(self, each: Follower) -> bool:
        """One run of a table. Returns False where it is to be tried again."""
        with self._lock:
            known = self._not_loaded.pop(each.table, None)
        try:
            done = self._run(each)
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
            with self._lock:
                self._failed[each.table] = error
            self._tell(TableFailed(each.table, SYNC.verb, error, others=len(self._followers) - 1))
            return True
        self._tell(done)
        before = self._sums.get(each.table)
        self._sums[each.table] = done if before is None else summed(before, done)
        return True

    def _run(self, each: Follower) -> TableSync:
        """One run, and whether the source let it in."""
        try:
            return each.run(follow=True)
        finally:
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


def summed(before: TableSync, now: TableSync) -> TableSync:
    """What two runs of a table did, one after the other."""
    return replace(
        now,
        outcome=now.outcome if now.outcome is not SyncOutcome.NOTHING_NEW else before.outcome,
        read=before.read + now.read,
        rows=before.rows + now.rows,
        octets=before.octets + now.octets,
        seconds=before.seconds + now.seconds,
        quarantined=before.quarantined + now.quarantined,
        superseded=before.superseded + now.superseded,
        deleted=before.deleted + now.deleted,
        touched=max(before.touched, now.touched),
        created=before.created + now.created,
        notes=tuple(dict.fromkeys(before.notes + now.notes)),
    )
