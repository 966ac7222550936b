"""The target's side of a sync: only containers that get rows are touched, and a bad row is put aside once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from gridferry.checkpoint.quarantine import HeldRow, Quarantine
from gridferry.checkpoint.state import TargetState
from gridferry.engine.load_work import enter_containers
from gridferry.griddb import GridType, Store
from gridferry.model.watermark import GrowingColumn
from gridferry.plan.plan import TablePlan
from gridferry.target.containers import TableContainers
from gridferry.transform.split import distinct_texts

_SHOWN = 5
_WITH_MAX = frozenset(
    {
        GridType.BYTE, GridType.SHORT, GridType.INTEGER, GridType.LONG, GridType.DOUBLE,
        GridType.TIMESTAMP_MS, GridType.TIMESTAMP_US,
    }
)  # fmt: skip


class SyncContainers:
    """The containers of one table in one run. `touched` holds the split values that got rows."""

    def __init__(self, state: TargetState, plan: TablePlan) -> None:
        self.handles = TableContainers(state.store, plan, register=self._enter)
        self.touched: dict[str | None, str] = {}
        self.created: tuple[str, ...] = ()
        self._state = state
        self._plan = plan
        self._listed: dict[str | None, str] | None = None

    def prepare(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Open the containers of these rows. Those of new values are listed in the catalog, then made.

        Raises: TargetNotEmpty or PlanError if one of them stands already with rows or columns of someone else.
        """
        listed = self._catalog()
        wanted = [value for value in self._values(batches) if value not in self.touched]
        self.handles.open_or_create([(listed[value], value) for value in wanted if value in listed])
        self.handles.handles(wanted)
        self.touched.update({value: listed[value] for value in wanted})

    def _enter(self, names: Sequence[tuple[str, str | None]]) -> None:
        enter_containers(self._state, self._plan, names)
        self._catalog().update({value: name for name, value in names})
        self.created += tuple(name for name, _ in names)

    def emptied(self, column: GrowingColumn) -> Iterator[str]:
        """A note where containers that just got rows have none: they expired, or something else deleted them.

        MAX of the growing column is asked of all of them at once. It only checks: no bound is ever taken from it.
        """
        stored = next((c.target for c in self._plan.columns if c.source == column.name), None)
        if stored is None or stored.array or stored.type not in _WITH_MAX:
            return
        handles = self.handles.by_value
        asked = [handles[value] for value in self.touched]
        answers = self._state.store.multi_query([(handle, f'select max("{stored.name}")') for handle in asked])
        empty = [handle.name for handle, answer in zip(asked, answers, strict=True) if answer.value is None]
        if empty:
            more = f" and {len(empty) - _SHOWN} more" if len(empty) > _SHOWN else ""
            yield (
                f"containers got rows and hold none now: {', '.join(empty[:_SHOWN])}{more}; "
                "look for an expiry or another writer at the target"
            )

    def _catalog(self) -> dict[str | None, str]:
        if self._listed is None:
            entries = self._state.catalog.entries(self._plan.qualified)
            self._listed = {entry.value: entry.container for entry in entries}
            self.handles.know([(entry.container, entry.value) for entry in entries])
        return self._listed

    def _values(self, batches: Iterable[pa.RecordBatch]) -> list[str | None]:
        split_by = self._plan.split_by
        if split_by is None:
            return [None]
        columns = (batch.column(batch.schema.get_field_index(split_by)) for batch in batches)
        return list(dict.fromkeys(value for column in columns for value in distinct_texts(column)))


class OnceQuarantine(Quarantine):
    """A quarantine that leaves out rows which it holds already, whichever run put them aside.

    A sync may read a row again. Rows that are equal in every column count once.
    """

    def __init__(self, store: Store, table: str) -> None:
        super().__init__(store)
        self._table = table
        self._known: set[str] | None = None

    def hold(self, rows: Sequence[HeldRow]) -> None:
        """Put rows aside, and bring them to disk."""
        if not rows:
            return
        if self._known is None:
            self._known = {_content(row) for row in self.rows(self._table)}
        fresh = {_content(row): row for row in rows if _content(row) not in self._known}
        super().hold(list(fresh.values()))
        self._known |= set(fresh)


def _content(row: HeldRow) -> str:
    """The hash of the row in its id: `name:hash:number`."""
    return row.id.split(":")[1]
