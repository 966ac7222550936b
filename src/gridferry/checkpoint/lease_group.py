"""The leases of many tables, for one run: taken, renewed and given back together, and each lost alone.

Each table has its own row, as with a single `Lease`, so that others need not know of the group. What is done to all of
them is one statement, or one transaction, for all.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
from typing_extensions import Self

from gridferry.checkpoint.documents import DocumentStore, read_document, scopes_like
from gridferry.checkpoint.lease import (
    BEAT_S,
    DEAD_AFTER_S,
    WHOLE,
    Lease,
    LeaseHolder,
    holder_from,
    is_dead,
)
from gridferry.checkpoint.renewing import Renewed
from gridferry.errors import FerryError, RowExists
from gridferry.griddb import ContainerTransaction, PutMode

_SCOPE = "lease:"


class LeaseGroup(Renewed):
    """The right to change the containers of many tables. A context: `held` are the leases that were got, by table,
    `refused` why the others were not.

    `also`, asked once they are held, names for each table another lease that nobody may hold, or "": see `Lease`. If
    it is not `patient`, whoever has one of them keeps it: it is not found out whether that run still lives.
    """

    def __init__(
        self,
        documents: DocumentStore,
        tables: Sequence[str],
        *,
        also: Callable[[Sequence[str]], Mapping[str, str]] = lambda tables: {},
        wait_s: float = 0.0,
        patient: bool = True,
        beat_s: float = BEAT_S,
        dead_after_s: float = DEAD_AFTER_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(beat_s=beat_s)
        self.held: dict[str, Lease] = {}
        self.refused: dict[str, FerryError] = {}
        self._documents = documents
        self._also = also
        self._wait_s, self._dead_after_s = wait_s, dead_after_s
        self._patient = patient
        self._clock, self._sleep = clock, sleep
        self._renewing = threading.RLock()  # one for all: a row is renewed with the others or alone, not both at once
        self._wanted = {
            table: Lease(documents, table, wait_s=wait_s, dead_after_s=dead_after_s, clock=clock, sleep=sleep)
            for table in tables
        }
        for lease in self._wanted.values():
            lease.renew_under(self._renewing)

    def __enter__(self) -> Self:
        try:
            self._insert(list(self._wanted))
            self._begin_to_beat("leases")
            self._outlive([table for table in self._wanted if table not in self.held])
            self._exclude_parts()
            self._exclude_others()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def give_back(self, tables: Sequence[str]) -> None:
        """Give leases back before the block ends: of tables that are done, or that failed."""
        with self._renewing:
            leases = [self.held.pop(table) for table in tables if table in self.held]
            mine = [lease for lease in leases if lease.token and not lease.is_lost]
            if not mine:
                return

            def remove(tx: ContainerTransaction) -> None:
                now = self._locked(tx, mine)
                gone = [lease for lease in mine if self._is_still(lease, now)]
                if gone:
                    tx.delete(pa.concat_batches([lease.key() for lease in gone]))

            self._documents.container().in_transaction(remove)
            for lease in mine:
                lease.token = 0

    def _insert(self, tables: Sequence[str]) -> None:
        """Write down those that nobody has."""
        left = list(tables)
        while left:
            scopes = {f"{_SCOPE}{table}": table for table in left}
            taken = {scopes[scope] for scope in self._documents.get_each(list(scopes), WHOLE, skip_broken=True)}
            left = [table for table in left if table not in taken]
            if not left:
                return
            began = self._clock()
            rows = pa.concat_batches([self._wanted[table].row() for table in left])
            try:
                self._documents.container().put(rows, mode=PutMode.INSERT)
            except RowExists:  # somebody was faster with one of them; a row that is not readable is told by `_outlive`
                if len(left) == 1:
                    return
                middle = len(left) // 2
                self._insert(left[:middle])
                left = left[middle:]
                continue
            with self._renewing:
                for table in left:
                    self._wanted[table].inserted(began)
                    self.held[table] = self._wanted[table]
            return

    def _outlive(self, tables: Sequence[str]) -> None:
        """Wait for those that others have, all at the same time, and take over those whose holder is dead."""
        start = self._clock()
        seen: dict[str, tuple[LeaseHolder, float]] = {}
        waiting = list(tables)
        while waiting:
            found = {table: self._holder(table) for table in waiting}
            now = self._clock()
            for table, holder in found.items():
                if holder is not None:
                    self._look(table, holder, seen, start=start, now=now)
            self._insert([table for table, holder in found.items() if holder is None and table not in self.refused])
            waiting = [table for table in waiting if table not in self.held and table not in self.refused]
            if waiting:
                self._sleep(min(1.0, self._beat_s))

    def _holder(self, table: str) -> LeaseHolder | None:
        try:
            document = self._documents.get(f"{_SCOPE}{table}", WHOLE)
            return None if document is None else holder_from(document, table)
        except FerryError as error:
            if error.concerns_all:
                raise
            self.refused[table] = error
            return None

    def _look(
        self,
        table: str,
        holder: LeaseHolder,
        seen: dict[str, tuple[LeaseHolder, float]],
        *,
        start: float,
        now: float,
    ) -> None:
        if not self._patient:
            self.refused[table] = self._wanted[table].held_by(holder)
            return
        before, since = seen.get(table, (None, now))
        if before is None or (holder.token, holder.beat) != (before.token, before.beat):
            if before is not None and now - start >= self._wait_s:
                self.refused[table] = self._wanted[table].held_by(holder)
                return
            since = now
        seen[table] = holder, since
        if (is_dead(holder) or now - since >= self._dead_after_s) and self._wanted[table].take_over(holder):
            with self._renewing:
                self.held[table] = self._wanted[table]

    def _exclude_parts(self) -> None:
        """Wait for the parts of these tables that others have: see `Lease`."""
        for scope, items in self._documents.scopes(_SCOPE).items():
            table = scope.removeprefix(_SCOPE)
            if table in self.held and set(items) - {WHOLE}:
                self._unless_held([table], self.held[table].exclude_parts)

    def _exclude_others(self) -> None:
        followed: dict[str, list[str]] = {}
        for table, name in self._also(list(self.held)).items():
            if name:
                followed.setdefault(name, []).append(table)
        for name, tables in followed.items():
            other = Lease(self._documents, name, wait_s=self._wait_s, clock=self._clock, sleep=self._sleep)
            self._unless_held(tables, other.require_free)

    def _unless_held(self, tables: Sequence[str], free: Callable[[], None]) -> None:
        try:
            free()
        except FerryError as error:
            if error.concerns_all:
                raise
            self.refused |= dict.fromkeys(tables, error)
            self.give_back(tables)

    def _release(self) -> None:
        self.give_back(list(self.held))

    def _renew(self) -> None:
        with self._renewing:
            mine = [lease for lease in self.held.values() if lease.token and not lease.is_lost]
            if not mine:
                return
            began = self._clock()
            self._away = True

            def renew(tx: ContainerTransaction) -> list[Lease]:
                now = self._locked(tx, mine)
                still = [lease for lease in mine if self._is_still(lease, now)]
                if still:
                    tx.put(pa.concat_batches([lease.row(beats=1) for lease in still]))
                for lease in mine:
                    if lease not in still:
                        lease.lose(now.get(lease.scope))
                return still

            for lease in self._documents.container().in_transaction(renew):
                lease.renewed(began, beats=1)
            self._away = False

    def _locked(self, tx: ContainerTransaction, mine: Sequence[Lease]) -> dict[str, LeaseHolder]:
        """The holders of these leases by scope, their rows locked."""
        rows = tx.query(scopes_like(self._documents.full(_SCOPE)), for_update=True).read_all()
        scopes = {self._documents.full(lease.scope): lease for lease in mine}
        found = {}
        for scope, item, body in zip(
            *(rows.column(name).to_pylist() for name in ("scope", "item", "body")), strict=True
        ):
            lease = scopes.get(scope)
            if lease is not None and item == WHOLE:
                found[lease.scope] = holder_from(read_document(body, scope, item), lease.table)
        return found

    @staticmethod
    def _is_still(lease: Lease, now: Mapping[str, LeaseHolder]) -> bool:
        holder = now.get(lease.scope)
        return holder is not None and holder.token == lease.token
