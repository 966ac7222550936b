"""Rows of one table brought to what a journal says: deleted and put, and flushed over the same connections."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from gridferry.checkpoint.state import TargetState
from gridferry.engine.ownership.container_claims import NewNames
from gridferry.engine.retry import with_patience
from gridferry.engine.rows.keyed_rows import joined, keys_of
from gridferry.errors import FerryError, SchemaChanged
from gridferry.griddb.handle import Handle
from gridferry.model.repair import RowChange
from gridferry.plan.plan import TablePlan
from gridferry.target.containers import TableContainers


class RowWriter:
    """Writes the `after` of changes: rows are put, and rows of changes without an `after` are deleted.

    Only by row key, so the same changes may be written again after an error. `created` are containers it had to make.
    `check` is called before each message to the target.
    """

    def __init__(
        self, state: TargetState, plan: TablePlan, *, on_retry: Callable[[FerryError], None], check: Callable[[], None]
    ) -> None:
        self.created: list[str] = []
        self._state = state
        self._plan = plan
        self._new = NewNames(state, plan)
        self._on_retry = on_retry
        self._check = check
        self._names = {e.value: e.container for e in state.catalog.of(plan)}
        self._containers = TableContainers(state.store, plan, register=self._enter, require_own=self._new.require_own)
        self._containers.know([(name, value) for value, name in self._names.items()])

    def write(self, changes: Sequence[RowChange]) -> None:
        """Write changes; when this returns they are on the target's disk. Containers that are missing are made.

        Raises: TargetNotEmpty, PlanError, SchemaConflict for a container that is not the table's; GridDBError.
        """

        def again(error: FerryError) -> None:
            self._on_retry(error)
            if isinstance(error, SchemaChanged):
                # The server does not know a container any more: it crashed before that was on its disk.
                self._containers.reopen()

        with_patience(lambda: self._write(changes), on_retry=again)

    def _write(self, changes: Sequence[RowChange]) -> None:
        schema = self._plan.container_schema
        puts = [change for change in changes if change.after is not None]
        deletes = [change for change in changes if change.after is None]
        with self._state.store.writer(before_send=self._check) as writer:
            if deletes:
                writer.delete(schema, keys_of(deletes, schema).keys, self._handles(deletes), _bounds(deletes))
            if puts:
                rows = joined([change.rows for change in puts], schema)
                writer.put(schema, rows, self._handles(puts), _bounds(puts))
            writer.flush_log()

    def _handles(self, changes: Sequence[RowChange]) -> list[Handle]:
        values = list(dict.fromkeys(change.value for change in changes))
        known = [(self._names[value], value) for value in values if value in self._names]
        missing = self._missing([name for name, _ in known])
        self._containers.open_or_create(known)
        self.created += missing
        handles = dict(zip(values, self._containers.handles(values), strict=True))
        return [handles[change.value] for change in changes]

    def _missing(self, names: Sequence[str]) -> list[str]:
        opened = {handle.name for handle in self._containers.by_value.values()}
        asked = [name for name in names if name not in opened]
        return [name for name, found in self._state.store.open_containers(asked).items() if found is None]

    def _enter(self, names: Sequence[tuple[str, str | None]]) -> None:
        self._new.enter(names)
        self._names.update({value: name for name, value in names})
        self.created += [name for name, _ in names]


def _bounds(changes: Sequence[RowChange]) -> list[int]:
    return [0, *itertools.accumulate(len(change) for change in changes)]
