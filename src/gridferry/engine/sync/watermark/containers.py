"""The target's side of a sync: only containers that get rows are touched, and a bad row is quarantined once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import pyarrow as pa

from gridferry.checkpoint.state import TargetState
from gridferry.engine.ownership.container_claims import table_target
from gridferry.engine.rows.gone_containers import gone_note
from gridferry.engine.sync.watermark.max_check import MaxCheck
from gridferry.model.watermark import GrowingColumn
from gridferry.plan.plan import TablePlan
from gridferry.target.table import TableTarget
from gridferry.transform.split import distinct_texts


class SyncContainers:
    """The containers of one table in one run.

    `touched` holds the split values that got rows, with the names of their containers.
    """

    def __init__(self, state: TargetState, plan: TablePlan, column: GrowingColumn) -> None:
        self.touched: dict[str | None, str] = {}
        self._state = state
        self._plan = plan
        self._max_check = MaxCheck(state, plan, column)

    @cached_property
    def target(self) -> TableTarget:
        """All containers of the table; asked for when there are rows."""
        return table_target(self._state, self._plan)

    @property
    def created(self) -> tuple[str, ...]:
        """Those made for new values."""
        return tuple(self.target.created) if self.touched else ()

    def prepare(self, batches: Sequence[pa.RecordBatch]) -> None:
        """Open the containers of these rows. Those of new values are listed in the catalog, then made.

        Raises: TargetNotEmpty or PlanError if one of them is there already with rows or columns of someone else.
        """
        wanted = [value for value in self._values(batches) if value not in self.touched]
        listed = [value for value in wanted if value in self.target]
        standing = [handle.name for handle in self.target.handles(listed)]
        self._max_check.before([name for name in standing if name not in self.target.gone])
        self._max_check.expect(batches)
        handles = self.target.handles(wanted)
        self.touched.update({value: handle.name for value, handle in zip(wanted, handles, strict=True)})

    def notes(self, *, whole: bool) -> Iterator[str]:
        """What there is to say of the containers when all rows were put; see `MaxCheck.after`."""
        yield from self._max_check.after(self.touched, whole=whole)
        if self.touched and self.target.gone:
            yield gone_note(self.target.gone)

    def _values(self, batches: Iterable[pa.RecordBatch]) -> list[str | None]:
        split_by = self._plan.split_by
        if split_by is None:
            return [None]
        columns = (batch.column(batch.schema.get_field_index(split_by)) for batch in batches)
        return list(dict.fromkeys(value for column in columns for value in distinct_texts(column)))
