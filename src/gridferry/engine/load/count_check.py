"""The end of a load: both sides' rows counted, container by container. Nothing vanishes in silence.

A put is an upsert, and a server may drop old rows on its own: only counting shows whether each row has its place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from gridferry.checkpoint.quarantine import Quarantine
from gridferry.engine.events import ContainerCount
from gridferry.engine.rows.copier import ChunkCopier
from gridferry.engine.rows.duplicates import REASON, Resolution, resolve_duplicates
from gridferry.errors import DataError
from gridferry.griddb import Store
from gridferry.model.coverage import Coverage
from gridferry.plan.coverage import coverage_of
from gridferry.plan.names import container_name
from gridferry.plan.plan import OnDuplicate, TablePlan
from gridferry.source.contract import ReadsRows
from gridferry.target.table import TableTarget

_SHOWN = 5


@dataclass(frozen=True)
class LoadCounts:
    """What the counts say. `notes` are about rows that the target has beyond the source's."""

    containers: tuple[ContainerCount, ...]
    quarantined: int
    superseded: int
    notes: tuple[str, ...] = ()

    def coverage(self, plan: TablePlan) -> Coverage:
        """What of the table is in the target now."""
        superseded = 0 if plan.on_duplicate is OnDuplicate.QUARANTINE else self.superseded
        rows = sum(count.source_rows for count in self.containers)
        return replace(
            coverage_of(plan),
            source_rows=rows,
            stored=max(0, rows - self.quarantined - superseded),
            quarantined=self.quarantined,
            superseded=superseded,
        )


class CountCheck:
    """Counts one table's rows on both sides. `source` are the snapshot's rows by split value."""

    def __init__(
        self,
        store: Store,
        plan: TablePlan,
        target: TableTarget,
        quarantine: Quarantine,
        source: Mapping[str | None, int],
        *,
        resumed: bool = False,
    ) -> None:
        """Args: resumed: chunks were read under earlier snapshots, so rows may be stored that the source lost since."""
        self._store = store
        self._plan = plan
        self._target = target
        self._quarantine = quarantine
        self._source = source
        # Rows of the past and rows that share a hash may be as many: then the counts agree, and mean nothing.
        self._unclear = bool(plan.colliding) or (resumed and plan.numbered)

    def at_a_glance(self, rows: Mapping[str | None, int]) -> LoadCounts | None:
        """What the counts say where they say it by themselves: no rows share keys, none is missing, none quarantined.

        Args: rows: how many each container holds, by split value.
        """
        counts = self._compared(rows, Counter(), Resolution(Counter()))
        if self._unclear or self._missing(counts):
            return None
        return LoadCounts(tuple(count for count, _ in counts.values()), 0, 0, self._surplus(counts))

    def run(self, reader: ReadsRows, copier: ChunkCopier) -> LoadCounts:
        """Count, and settle keys that rows share.

        Raises: DuplicateKeys where rows share keys and the plan forbids it; DataError where rows are missing.
        """
        none = Resolution(Counter())
        counts = self._count(none)
        resolved = none
        if self._unclear or self._missing(counts):
            resolved = resolve_duplicates(reader, self._plan, copier=copier, quarantine=self._quarantine)
            counts = self._count(resolved)
        missing = self._missing(counts)
        if missing:
            raise self._loss(missing)
        return LoadCounts(
            containers=tuple(count for count, _ in counts.values()),
            quarantined=sum(self._quarantine.counts(self._plan.qualified).values()),
            superseded=sum(resolved.superseded.values()),
            notes=self._surplus(counts),
        )

    def _count(self, resolved: Resolution) -> dict[str, tuple[ContainerCount, int]]:
        handles = self._target.by_value
        held = self._quarantine.counts(self._plan.qualified, without_reason=REASON)
        rows = dict(zip(handles, self._store.counts(list(handles.values())), strict=True))
        return self._compared(rows, held, resolved)

    def _compared(
        self, rows: Mapping[str | None, int], held: Counter[str], resolved: Resolution
    ) -> dict[str, tuple[ContainerCount, int]]:
        """By container: the counts, and the rows that it should have."""
        found = {}
        names = self._target.names
        for value in {**dict.fromkeys(self._source), **dict.fromkeys(rows)}:
            name = names[value] if value in rows else container_name(self._plan, value)
            count = ContainerCount(name, value, self._source.get(value, 0), rows.get(value, 0))
            lost = held[name] + resolved.superseded[value]
            found[name] = (count, count.source_rows - lost)
        return found

    def _missing(self, counts: Mapping[str, tuple[ContainerCount, int]]) -> list[str]:
        return [
            f'"{count.name}" has {count.target_rows:,} of {expected:,} rows'
            for count, expected in counts.values()
            if count.target_rows < expected
        ]

    def _surplus(self, counts: Mapping[str, tuple[ContainerCount, int]]) -> tuple[str, ...]:
        more = [(c, expected) for c, expected in counts.values() if c.target_rows > expected]
        if not more:
            return ()
        extra = sum(count.target_rows - expected for count, expected in more)
        note = (
            f"{len(more)} containers hold {extra:,} rows that the source no longer has: it changed while the load "
            "was interrupted, or something else wrote to them"
        )
        return (note,)

    def _loss(self, missing: list[str]) -> DataError:
        more = f" and {len(missing) - _SHOWN} more containers" if len(missing) > _SHOWN else ""
        return DataError(
            f"{self._plan.qualified}: after the load rows are missing in the target: "
            + ", ".join(missing[:_SHOWN])
            + more,
            table=self._plan.qualified,
            state="every row was read, put and acknowledged; the table does not count as loaded",
            next_step="look for an expiry or another writer at the target, then load again with --replace",
        )
