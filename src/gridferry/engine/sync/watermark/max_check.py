"""A cross-check of mode watermark: MAX of the growing column in each container that gets rows, asked of all at once.

It only checks. No bound is ever taken from it: rows come late, and containers are emptied and filled by others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from gridferry.checkpoint.state import TargetState
from gridferry.errors import ContainerMissing
from gridferry.griddb import GridType
from gridferry.model.watermark import GrowingColumn
from gridferry.plan.epochs import epoch_of
from gridferry.plan.plan import ColumnPlan, TablePlan
from gridferry.transform.beyond import without
from gridferry.transform.kernels import KERNELS
from gridferry.transform.split import split_batch

_SHOWN = 5
_ATTEMPTS = 3
WITH_MAX = frozenset(
    {
        GridType.BYTE, GridType.SHORT, GridType.INTEGER, GridType.LONG, GridType.DOUBLE,
        GridType.TIMESTAMP_MS, GridType.TIMESTAMP_US,
    }
)  # fmt: skip

MaxValue = int | float


class MaxCheck:
    """What the containers of one table hold at most, before and after the puts of one run."""

    def __init__(self, state: TargetState, plan: TablePlan, column: GrowingColumn) -> None:
        self._state = state
        self._plan = plan
        self._source = column.name
        self._target = _stored(plan, column)
        self._recorded: dict[str, MaxValue] | None = None
        self._put: dict[str | None, MaxValue] = {}
        self._behind: list[str] = []

    def before(self, names: Sequence[str]) -> None:
        """Look at containers before the run's first put into them: is there what the last run left?"""
        recorded = self._known()
        asked = [name for name in names if name in recorded]
        found = self._ask(asked)
        self._behind += [name for name in asked if name in found and not _reaches(found[name], recorded[name])]

    def expect(self, batches: Iterable[pa.RecordBatch]) -> None:
        """These rows of the source are about to be put."""
        target = self._target
        if target is None:
            return
        for batch in batches:
            values = batch.column(batch.schema.get_field_index(self._source))
            if epoch_of(target) is not None:
                stored, refusals = KERNELS[target.kernel](values, target)
                for refusal in refusals:
                    stored = without(stored, refusal.rows)
            elif pa.types.is_integer(values.type) or pa.types.is_temporal(values.type):
                stored = values.cast(target.target.arrow_type, safe=False)
            else:
                continue
            stored = stored.view(pa.int64()) if pa.types.is_timestamp(stored.type) else stored
            by = self._plan.split_by
            split = split_batch(
                pa.record_batch([stored], names=["max_value"]),
                None if by is None else batch.column(batch.schema.get_field_index(by)),
            )
            for number, value in enumerate(split.values):
                max_value = pc.max(split.part(number).column(0)).as_py()
                if max_value is not None:
                    self._put[value] = max(max_value, self._put.get(value, max_value))

    def after(self, touched: Mapping[str | None, str], *, whole: bool) -> Iterator[str]:
        """What there is to say when all rows were put, and write down what the containers hold now.

        Args: touched: names by split value; whole: no row was quarantined or superseded.
        """
        if self._behind:
            yield (
                f"containers held less than an earlier run left in them: {_listed(self._behind)}; somebody removed or "
                "changed rows: run `gridferry repair`"
            )
        if self._target is None or not touched:
            return
        found = self._ask(list(touched.values()))
        empty = [name for name in touched.values() if found.get(name) is None]
        short = [
            name
            for value, name in touched.items()
            if name not in empty and value in self._put and not _reaches(found[name], self._put[value])
        ]
        if whole and (empty or short):
            yield (
                f"containers got rows and do not hold them now: {_listed([*empty, *short])}; "
                "look for an expiry or another writer at the target, then run `gridferry repair`"
            )
        max_values = {
            **self._known(),
            **{name: max_value for name, max_value in found.items() if max_value is not None},
        }
        self._state.cursors.save_max_values(self._plan.qualified, max_values)

    def _known(self) -> dict[str, MaxValue]:
        if self._recorded is None:
            self._recorded = self._state.cursors.max_values(self._plan.qualified)
        return self._recorded

    def _ask(self, names: Sequence[str]) -> dict[str, MaxValue | None]:
        """MAX by name of the containers that are there; None for an empty one."""
        target = self._target
        if target is None or not names:
            return {}
        for attempt in range(_ATTEMPTS):
            opened = self._state.store.open_containers(names)
            standing = {name: container for name, container in opened.items() if container is not None}
            query = f'select max("{target.target.name}")'
            try:
                answers = self._state.store.multi_values([(container, query) for container in standing.values()])
            except ContainerMissing:  # dropped just now
                if attempt == _ATTEMPTS - 1:
                    raise
                continue
            return dict(zip(standing, answers, strict=True))
        return {}


def _stored(plan: TablePlan, column: GrowingColumn) -> ColumnPlan | None:
    """The column that holds the growing one, if MAX of it says something; the finest of several."""
    stored = [c for c in plan.columns if c.source == column.name]
    return next((s for s in reversed(stored) if not s.target.array and s.target.type in WITH_MAX), None)


def _reaches(max_value: MaxValue | None, wanted: MaxValue) -> bool:
    return max_value is not None and max_value >= wanted


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
