"""The target's side of a sync: only containers that get rows are touched, and a bad row is quarantined once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from gridferry.checkpoint.state import TargetState
from gridferry.engine.ownership.container_claims import NewNames
from gridferry.engine.rows.gone_containers import gone_note
from gridferry.engine.sync.watermark.max_check import Heights
from gridferry.model.watermark import GrowingColumn
from gridferry.plan.plan import TablePlan
from gridferry.target.containers import TableContainers
from gridferry.transform.split import distinct_texts


class SyncContainers:
    """The containers of one table in one run.

    `touched` holds the split values that got rows, `created` the containers made for new ones, `gone` those that had
    been made before and were missing; they were made again.
    """

    def __init__(self, state: TargetState, plan: TablePlan, column: GrowingColumn) -> None:
        self._new = NewNames(state, plan)
        self.handles = TableContainers(state.store, plan, register=self._enter, require_own=self._new.require_own)
        self.touched: dict[str | None, str] = {}
        self.created: tuple[str, ...] = ()
        self.gone: list[str] = []
        self._state = state
        self._plan = plan
        self._heights = Heights(state, plan, column)
        self._listed: dict[str | None, str] | None = None

    def prepare(self, batches: Sequence[pa.RecordBatch]) -> None:
        """Open the containers of these rows. Those of new values are listed in the catalog, then made.

        Raises: TargetNotEmpty or PlanError if one of them is there already with rows or columns of someone else.
        """
        listed = self._catalog()
        wanted = [value for value in self._values(batches) if value not in self.touched]
        standing = [(listed[value], value) for value in wanted if value in listed]
        gone = self.handles.open_standing(standing)
        self.gone += gone
        self._heights.before([name for name, _ in standing if name not in gone])
        self._heights.expect(batches)
        self.handles.handles(wanted)
        self.touched.update({value: listed[value] for value in wanted})

    def _enter(self, names: Sequence[tuple[str, str | None]]) -> None:
        self._new.enter(names)
        self._catalog().update({value: name for name, value in names})
        self.created += tuple(name for name, _ in names)

    def reopen(self) -> None:
        """Open all of them again, after the server said that it knows one of them no more."""
        new = set(self.created)  # the server may have crashed before they were on its disk
        self.gone += [name for name in self.handles.reopen() if name not in new]

    def notes(self, *, whole: bool) -> Iterator[str]:
        """What there is to say of the containers when all rows were put; see `Heights.after`."""
        yield from self._heights.after(self.touched, whole=whole)
        if self.gone:
            yield gone_note(self.gone)

    def _catalog(self) -> dict[str | None, str]:
        if self._listed is None:
            entries = self._state.catalog.of(self._plan)
            self._listed = {entry.value: entry.container for entry in entries}
            self.handles.know([(entry.container, entry.value) for entry in entries])
        return self._listed

    def _values(self, batches: Iterable[pa.RecordBatch]) -> list[str | None]:
        split_by = self._plan.split_by
        if split_by is None:
            return [None]
        columns = (batch.column(batch.schema.get_field_index(split_by)) for batch in batches)
        return list(dict.fromkeys(value for column in columns for value in distinct_texts(column)))
