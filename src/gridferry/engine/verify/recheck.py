"""Rows that differed in the pass, looked at until they are equal or proven to differ: no alarm is false.

A row is proven to differ when the target was read after everything of one snapshot had been stored there, the row at
the source was the very same version in that snapshot and in one taken after the read, and still the two were not
equal. A row that only the target has leaves no version to compare: it must be absent in several rounds.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gridferry.compare.block import Block
from gridferry.compare.digest import row_words
from gridferry.compare.findings import KIND_NUMBERS, Findings, FindingsSpool, findings_of
from gridferry.compare.key_index import KeyIndex
from gridferry.compare.values import differing
from gridferry.engine.comparison.containers import NumberedContainers
from gridferry.engine.comparison.full_scan import target_by_key
from gridferry.engine.comparison.readers import NumberedRows
from gridferry.engine.verify.log_keys import WindowKeys
from gridferry.engine.verify.sync_progress import SyncWatch
from gridferry.griddb import Store
from gridferry.model.verification import DifferenceKind
from gridferry.plan.plan import OnDuplicate, TablePlan
from gridferry.plan.sync_options import SyncMode
from gridferry.source.postgres.one_snapshot import PostgresSnapshot
from gridferry.source.postgres.rows.key_rows import KeyLookup
from gridferry.source.postgres.source import PostgresSource
from gridferry.transform.compiled import compile_columns

KEYS_A_LOOK = 5_000
_POLL_S = 0.2
_EXTRA = KIND_NUMBERS[DifferenceKind.EXTRA]

Codes = NDArray[np.int64]


@dataclass
class RecheckResult:
    """What became of the candidates: how many rounds it took, and what is not settled, by container number.

    `extra` counts those of them that only the target has.
    """

    rounds: int = 0
    unsettled: Counter[int] = field(default_factory=Counter)
    extra: Counter[int] = field(default_factory=Counter)


@dataclass(frozen=True)
class _Rows:
    """The source's rows of some keys under one snapshot, their containers and versions."""

    rows: pa.RecordBatch
    codes: Codes
    versions: pa.Array | None
    index: KeyIndex


@dataclass(frozen=True)
class _Look:
    """One look at some candidates.

    `view`: the source before the target is read, which has all of it. `after`: what waits for the next look, and rows
    that only the target has. `quiet`: nobody wrote to the target, and the sync's state was `standing`. `log`: the keys
    that come at the source meanwhile, where that is known.
    """

    view: PostgresSnapshot
    after: list[FindingsSpool]
    standing: object
    quiet: bool
    log: WindowKeys | None


class Rechecker:
    """Looks again at the candidates of one table. `real` takes those that are proven to differ."""

    def __init__(
        self,
        source: PostgresSource,
        store: Store,
        plan: TablePlan,
        containers: NumberedContainers,
        *,
        lookup: KeyLookup,
        watch: SyncWatch,
        settle_s: float,
        sync: Callable[[], None] | None,
        real: Callable[[Findings], None],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Args: `sync` runs a bounded sync where nobody else works on the table; None: wait for others to do it."""
        self._source = source
        self._store = store
        self._plan = plan
        self._containers = containers
        self._lookup = lookup
        self._watch = watch
        self._settle_s = settle_s
        self._sync = sync
        self._real = real
        self._clock = clock
        self._sleep = sleep
        self._transform = compile_columns(plan)

    def run(self, candidates: FindingsSpool) -> RecheckResult:
        """Look at the candidates, round by round, until none is left or `settle_s` have passed."""
        done = RecheckResult()
        deadline = self._clock() + self._settle_s
        with ExitStack() as stack:
            # The second: rows that only the target has, to be proven by the source's log.
            waiting = [candidates, stack.enter_context(FindingsSpool())]
            while any(len(group) for group in waiting):
                after = [stack.enter_context(FindingsSpool()) for _ in waiting]
                if not self._round(waiting, after, deadline):
                    break
                done.rounds += 1
                waiting = after
                if self._clock() >= deadline:
                    break
            for group in waiting:
                for findings in group.parts(KEYS_A_LOOK):
                    done.unsettled.update(findings.codes.tolist())
                    done.extra.update(findings.codes[findings.kinds == _EXTRA].tolist())
        return done

    def _round(self, waiting: list[FindingsSpool], after: list[FindingsSpool], deadline: float) -> bool:
        """One look at all of them; False if the target does not get as far as the snapshot in time."""
        with ExitStack() as stack:
            log = None
            if len(waiting[1]):
                # From before the snapshot, so that nothing lies between the two.
                log = stack.enter_context(self._watch.brought(self._plan))
            view = stack.enter_context(self._source.open_snapshot())
            quiet = self._wait(view, deadline)
            if quiet is None:
                return False
            standing = self._watch.standing() if quiet else None
            self._containers.reopen()
            look = _Look(view, after, standing=standing, quiet=quiet, log=log)
            for group in waiting:
                for candidates in group.parts(KEYS_A_LOOK):
                    self._look(look, candidates)
        return True

    def _wait(self, view: PostgresSnapshot, deadline: float) -> bool | None:
        """Wait until the target has all of the snapshot. True: nobody writes to it; False: a sync goes on; None: no."""
        mark = self._watch.mark(view)
        while True:
            busy = self._watch.busy()
            if self._watch.passed(mark):
                return not busy
            if not busy:
                if self._sync is not None:
                    self._sync()
                    continue
                if not self._watch.waits(mark):
                    return True
            if self._clock() >= deadline:
                return None
            self._sleep(_POLL_S)

    def _look(self, look: _Look, candidates: Findings) -> None:
        """Compare the candidates' rows once more, and judge those that still differ."""
        length = self._plan.key_length
        codes = candidates.codes
        keys = _batch(candidates.keys(length), self._plan)
        before = self._read(look.view, keys, codes)
        pages = list(target_by_key(self._store, self._containers, keys, codes))
        block = Block(before.rows, before.codes, key_length=length, skipped=self._plan.gone_places)
        found = [findings for rows, numbers in pages for findings in block.page(rows, numbers)]
        found += list(block.rest())
        if len(block.doubled):
            at = block.doubled
            self._shared(before.rows.take(pa.array(at)), before.codes[at], pages, look.after)
        if not found:
            return
        with self._source.open_snapshot() as later:
            for findings in found:
                self._judge(later, findings, before, look)

    def _shared(
        self, rows: pa.RecordBatch, codes: Codes, pages: list[NumberedRows], after: list[FindingsSpool]
    ) -> None:
        """Rows that share their key: where the target has one of them, all is well; else one look does not decide."""
        if self._plan.on_duplicate is OnDuplicate.ERROR:
            self._real(findings_of(DifferenceKind.DOUBLED, codes, source=rows))
            return
        stored = [row_words([pa.array(numbers), *page.columns]) for page, numbers in pages]
        same = np.isin(row_words([pa.array(codes), *rows.columns]), np.concatenate(stored) if stored else [])
        keys = rows.columns[: self._plan.key_length]
        one = KeyIndex(codes, keys).find(codes, keys)  # the same row for all that share a key
        doubtful = np.setdiff1d(one, one[same])
        rows = rows.take(pa.array(doubtful))
        after[0].add(findings_of(DifferenceKind.DIFFERENT, codes[doubtful], source=rows, target=rows))

    def _judge(self, later: PostgresSnapshot, findings: Findings, before: _Rows, look: _Look) -> None:
        keys = findings.keys(self._plan.key_length)
        now = self._read(later, _batch(keys, self._plan), findings.codes)
        there = now.index.find(findings.codes, keys)
        extra = findings.kinds == _EXTRA
        both = np.flatnonzero(~extra & (there >= 0))
        changed = np.ones(len(findings), bool)
        if len(both):
            was = before.index.find(findings.codes[both], [k.take(pa.array(both)) for k in keys])
            changed[both] = ~_same_version(before, was, now, there[both])
        self._tell(findings, ~changed, self._real)
        absent = extra & (there < 0)
        self._tell(findings, changed & ~absent, look.after[0].add)
        if absent.any():
            self._judge_extra(findings.take(absent), look)

    def _judge_extra(self, findings: Findings, look: _Look) -> None:
        """Judge rows that only the target has, and the source had neither before nor after the target was read."""
        alone = look.quiet and not self._watch.busy() and self._watch.standing() == look.standing
        # Only mode cdc deletes: in any other, a row that the source does not have any more stays.
        proven = np.full(len(findings), alone or self._watch.mode is not SyncMode.CDC)
        if not proven.all() and look.log is not None:
            # The source may have had it in between, and does not while the log does not tell of it.
            values = [self._containers.values[code] for code in findings.codes.tolist()]
            proven = ~look.log.among(findings.keys(self._plan.key_length), values)
        self._tell(findings, proven, self._real)
        self._tell(findings, ~proven, look.after[1].add)

    def _tell(self, findings: Findings, which: NDArray[np.bool_], take: Callable[[Findings], None]) -> None:
        if which.any():
            take(findings.take(which))

    def _read(self, view: PostgresSnapshot, keys: pa.RecordBatch, codes: Codes) -> _Rows:
        values = [self._containers.values[code] for code in codes.tolist()]
        parts: list[tuple[pa.RecordBatch, Codes, pa.Array | None]] = []
        for batch, versions in view.fetch_keys(self._plan, keys, values, lookup=self._lookup).batches:
            converted = self._transform.transform(batch)
            by = None
            if self._plan.split_by is not None:
                by = batch.column(batch.schema.get_field_index(self._plan.split_by))
            numbers = self._containers.codes(by, len(batch))
            if converted.rows is not None:
                numbers = numbers[converted.rows]
                versions = None if versions is None else versions.take(pa.array(converted.rows))
            parts.append((converted.batch, numbers, versions))
        schema = self._plan.container_schema.arrow_schema
        rows = pa.concat_batches([p[0] for p in parts]) if parts else pa.RecordBatch.from_pylist([], schema=schema)
        numbers = np.concatenate([p[1] for p in parts]) if parts else np.empty(0, np.int64)
        known = [p[2] for p in parts if p[2] is not None]
        versions = pa.concat_arrays(known) if known and len(known) == len(parts) else None
        return _Rows(rows, numbers, versions, KeyIndex(numbers, rows.columns[: self._plan.key_length]))


def _same_version(before: _Rows, was: Codes, now: _Rows, there: Codes) -> NDArray[np.bool_]:
    """Whether rows are the same version in both; where versions are not known, whether they are equal."""
    old, new = pa.array(was), pa.array(there)
    if before.versions is not None and now.versions is not None:
        mask = differing(before.versions.take(old), now.versions.take(new))
        return np.ones(len(was), bool) if mask is None else ~mask
    same = np.ones(len(was), bool)
    for mine, theirs in zip(before.rows.columns, now.rows.columns, strict=True):
        mask = differing(mine.take(old), theirs.take(new))
        if mask is not None:
            same &= ~mask
    return same


def _batch(keys: list[pa.Array], plan: TablePlan) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(keys, schema=plan.container_schema.key_schema.arrow_schema)
