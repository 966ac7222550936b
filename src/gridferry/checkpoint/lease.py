"""One run a table at a time: a lease in the state container, with a token that grows at every change of hands.

No clock is compared with another machine's: a holder writes a beat that grows, and whoever wants the lease watches
for that beat with a clock of its own.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from functools import partial
from operator import eq
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
from typing_extensions import Self

from gridferry.checkpoint.documents import (
    STATE_CONTAINER,
    STATE_SCHEMA,
    Document,
    DocumentStore,
    read_document,
    tql_text,
)
from gridferry.checkpoint.renewing import Renewed
from gridferry.errors import FerryError, LeaseHeld, LockConflict, RowExists
from gridferry.griddb import ContainerTransaction, PutMode
from gridferry.model.decoding import decoded, readable
from gridferry.model.forms import Count, Digits, Name, ProcessId

T = TypeVar("T")
BEAT_S = 3.0
DEAD_AFTER_S = 20.0
WHOLE = "lease"
_PART = "part:"


@dataclass(frozen=True)
class LeaseHolder:
    """Who holds a lease. `born` makes a process another one than a later one with its number."""

    host: Name
    pid: ProcessId
    born: Digits
    token: Count = 1
    beat: Count = 0

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class Lease(Renewed):
    """The right to change one table's containers. A context; `check` raises once it was lost.

    With a `part` it is one of several that share the table: it excludes the whole lease and the same part, and nothing
    else. `also`, asked once this one is held, names another lease that nobody may hold, or "": that of a slot that
    follows the table with others. Who takes that one looks at those of its tables: see `require_free`.
    Raises on entry: LeaseHeld if another run holds it, after waiting up to `wait_s` for it to end.
    """

    def __init__(
        self,
        documents: DocumentStore,
        table: str,
        *,
        part: str = "",
        also: Callable[[], str] = lambda: "",
        wait_s: float = 0.0,
        beat_s: float = BEAT_S,
        dead_after_s: float = DEAD_AFTER_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(beat_s=beat_s)
        self.token = 0
        self._documents = documents
        self.table = table
        self.scope = f"lease:{table}"
        self._item = f"{_PART}{part}" if part else WHOLE
        self._also = also
        self._wait_s, self._dead_after_s = wait_s, dead_after_s
        self._clock, self._sleep = clock, sleep
        self._me = LeaseHolder(socket.gethostname(), os.getpid(), born(os.getpid()))
        self._lost: LeaseHeld | None = None
        self._renewing = threading.RLock()
        self._renewed_at = clock()  # when the beat that others see was on its way at the latest

    def __enter__(self) -> Self:
        self._acquire()
        self._begin_to_beat(f"lease of {self.table}")
        try:
            self._exclude_others()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def require_free(self) -> None:
        """Return once nobody holds it, without taking it. Raises: LeaseHeld after waiting up to `wait_s`."""
        start = self._clock()
        for item in self._documents.items(self.scope):
            self._clear(item, start, self._wait_s)

    def check(self) -> None:
        """Return if others still respect the lease.

        A process that did not run (stopped, swapped out, on a machine that was frozen) goes on where it was, maybe just
        before a put. So where the last renewal is too long ago, the lease is renewed here and now.

        Raises: LeaseHeld if another run took the lease over, now and ever after; a GridDBError if it is too old and the
        target does not take the renewal: nobody may have taken it over, so a later check may succeed.
        """
        if self._lost is None and self._is_late():
            self._prove()
        if self._lost is not None:
            raise LeaseHeld(
                f"the lease of {self.table} was lost: {self._lost}",
                state="what was flushed before stays; nothing was written after",
                next_step="run the same command again: it goes on from the last checkpoint",
            )

    def _acquire(self) -> None:
        start = self._clock()
        if self._item != WHOLE:
            # Before it has a part of its own: who waits with one in hand could wait for one that waits for him.
            self._clear(WHOLE, start, self._wait_s)
        while not self._try_insert():
            stale = self._outlive(self._item, start, self._wait_s)
            if stale is not None and self.take_over(stale):
                return

    def _exclude_others(self) -> None:
        """Wait for the parts to end; or, as a part, leave the place to a whole lease.

        Both write down their own before they look for the other's, so at least one of them sees the other.
        """
        start = self._clock()
        if name := self._also():
            other = Lease(self._documents, self.table, wait_s=self._wait_s, clock=self._clock, sleep=self._sleep)
            other.scope = f"lease:{name}"
            other.require_free()
        if self._item != WHOLE:
            self._clear(WHOLE, start, 0.0)
            return
        self.exclude_parts()

    def exclude_parts(self) -> None:
        """Return once no part of it is held any more. Raises: LeaseHeld after waiting up to `wait_s`."""
        start = self._clock()
        for item in self._documents.items(self.scope):
            if item != WHOLE:
                self._clear(item, start, self._wait_s)

    # What follows is for `LeaseGroup`, which does for many what is done here for one.

    @property
    def is_lost(self) -> bool:
        """Whether another run took it over."""
        return self._lost is not None

    def renew_under(self, lock: threading.RLock) -> None:
        """Let nobody else renew it who does not have this lock."""
        self._renewing = lock

    def row(self, *, beats: int = 0) -> pa.RecordBatch:
        """The row that says who holds it; with `beats` a later one."""
        return self._row_of(replace(self._me, beat=self._me.beat + beats))

    def key(self) -> pa.RecordBatch:
        """The key of that row."""
        return self._key_of(self._item)

    def inserted(self, began: float) -> None:
        """Its row was written by a statement that was sent at `began`."""
        self.token, self._renewed_at = self._me.token, began

    def renewed(self, began: float, *, beats: int) -> None:
        """Its row was written again, as `row(beats=beats)`."""
        self._me, self._renewed_at = replace(self._me, beat=self._me.beat + beats), began

    def lose(self, now: LeaseHolder | None) -> LeaseHeld:
        """Note that it was lost, and to whom."""
        self._lost = LeaseHeld(f"taken over by {now}" if now else "it is gone")
        return self._lost

    def _clear(self, item: str, start: float, wait_s: float) -> None:
        """Return once nobody holds `item`; a dead holder's is removed."""
        while (stale := self._outlive(item, start, wait_s)) is not None:
            self._remove(item, partial(eq, stale))

    def _outlive(self, item: str, start: float, wait_s: float) -> LeaseHolder | None:
        """Wait until nobody holds `item` (None) or its holder is dead (who it was). Raises: LeaseHeld."""
        seen: LeaseHolder | None = None
        seen_at = start
        while (holder := self._holder(item)) is not None:
            now = self._clock()
            if seen is None or (holder.token, holder.beat) != (seen.token, seen.beat):
                if seen is not None and now - start >= wait_s:
                    raise self.held_by(holder)
                seen, seen_at = holder, now
            if is_dead(holder) or now - seen_at >= self._dead_after_s:
                return holder
            self._sleep(min(1.0, self._beat_s))
        return None

    def held_by(self, holder: LeaseHolder) -> LeaseHeld:
        """The error for a lease that somebody else has."""
        return LeaseHeld(
            f"another run works on {self.table}: {holder}",
            state="nothing was changed",
            next_step="wait for it to end, or run again with --wait SECONDS",
        )

    def _try_insert(self) -> bool:
        began = self._clock()
        try:
            self._documents.container().put(self.row(), mode=PutMode.INSERT)
        except RowExists:
            return False
        self.token, self._renewed_at = self._me.token, began
        return True

    def _holder(self, item: str) -> LeaseHolder | None:
        document = self._documents.get(self.scope, item)
        return None if document is None else holder_from(document, self.table)

    def take_over(self, stale: LeaseHolder) -> bool:
        """Take it from a holder that is dead. Returns: False if that one, or another, was faster."""
        began = self._clock()
        mine = LeaseHolder(self._me.host, self._me.pid, self._me.born, token=stale.token + 1)

        def take(tx: ContainerTransaction) -> bool:
            taken = self._locked(tx, self._item) == stale
            if taken:
                tx.put(self._row_of(mine))
            return taken

        if not self._in_transaction(take):
            return False
        self._me, self.token, self._renewed_at = mine, mine.token, began
        return True

    def _is_late(self) -> bool:
        return self._clock() - self._renewed_at >= self._dead_after_s / 2

    def _prove(self) -> None:
        with self._renewing:
            if not self._is_late():  # the thread that beats was first
                return
            try:
                self._renew()
            except LeaseHeld:
                pass  # it is noted
            except FerryError as error:
                error.add_note(f"while the lease of {self.table} was renewed")
                raise

    def _renew(self) -> None:
        with self._renewing:
            began = self._clock()
            renewed = LeaseHolder(**{**asdict(self._me), "beat": self._me.beat + 1})
            self._away = True

            def renew(tx: ContainerTransaction) -> None:
                now = self._locked(tx, self._item)
                if now is None or now.token != self.token:
                    self._away = False
                    raise self.lose(now)
                tx.put(self._row_of(renewed))

            self._in_transaction(renew)
            self._me, self._renewed_at, self._away = renewed, began, False

    def _release(self) -> None:
        if not self.token or self._lost is not None:
            return
        self._remove(self._item, lambda holder: holder.token == self.token)
        self.token = 0

    def _remove(self, item: str, which: Callable[[LeaseHolder], bool]) -> None:
        """Remove a holder, if it is that one."""

        def remove(tx: ContainerTransaction) -> None:
            holder = self._locked(tx, item)
            if holder is not None and which(holder):
                tx.delete(self._key_of(item))

        self._in_transaction(remove)

    def _in_transaction(self, work: Callable[[ContainerTransaction], T]) -> T:
        """See `Container.in_transaction`. Where another client's lock stays in the way, the lease's holder is named."""
        try:
            return self._documents.container().in_transaction(work)
        except LockConflict as error:
            with suppress(FerryError):
                holder = self._holder(self._item)
                if holder is not None and holder.token != self.token:
                    error.add_note(f"the lease of {self.table} is held by {holder}")
            raise

    def _locked(self, tx: ContainerTransaction, item: str) -> LeaseHolder | None:
        scope = self._documents.full(self.scope)
        tql = f"select * where scope = {tql_text(scope)} and item = {tql_text(item)}"
        rows = tx.query(tql, for_update=True).read_all()
        if not len(rows):
            return None
        return holder_from(read_document(rows.column("body")[0].as_py(), self.scope, item), self.table)

    def _row_of(self, holder: LeaseHolder) -> pa.RecordBatch:
        body = json.dumps(asdict(holder)).encode()
        columns = [[self._documents.full(self.scope)], [self._item], [body], [datetime.now(timezone.utc)]]
        return pa.record_batch(columns, schema=STATE_SCHEMA.arrow_schema)

    def _key_of(self, item: str) -> pa.RecordBatch:
        columns = [[self._documents.full(self.scope)], [item]]
        return pa.record_batch(columns, schema=STATE_SCHEMA.key_schema.arrow_schema)


def holder_of(documents: DocumentStore, table: str) -> LeaseHolder | None:
    """Who holds a lease, or a part of it; None where nobody does, or only processes here that have ended.

    Of a table that a slot follows with others: see `TargetState.holder_of`.
    """
    holders = (holder_from(document, table) for document in documents.items(f"lease:{table}").values())
    return next((holder for holder in holders if not is_dead(holder)), None)


def held(documents: DocumentStore) -> set[str]:
    """The names of all leases that somebody holds, or held when a process ended; asked for at once."""
    return {scope.removeprefix("lease:") for scope in documents.scopes("lease:")}


def holder_from(document: Document, table: str) -> LeaseHolder:
    """Who a document says that holds it. Raises: CheckpointError for one that is not readable."""
    return readable(
        f"the lease of {table}",
        lambda: decoded(LeaseHolder, document),
        next_step=f"use the gridferry that wrote it; where no run works on {table}, delete its row from "
        f"{STATE_CONTAINER}: its scope ends with 'lease:{table}'",
    )


def born(pid: int) -> str:
    """When a process of this machine began, in the kernel's ticks; "" where the kernel does not say."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


def is_dead(holder: LeaseHolder) -> bool:
    """Whether the holder was a process of this machine that has ended."""
    if holder.host != socket.gethostname():
        return False
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return holder.born != born(holder.pid)
