"""Rows of one table brought to what a journal says: deleted and put, and flushed over the same connections."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from gridferry.checkpoint.state import TargetState
from gridferry.engine.ownership.container_claims import table_target
from gridferry.engine.rows.keyed_rows import joined, keys_of
from gridferry.engine.rows.until_stored import until_stored
from gridferry.errors import FerryError
from gridferry.model.repair import RowChange
from gridferry.plan.plan import TablePlan


class RowWriter:
    """Writes the `after` of changes: rows are put, and rows of changes without an `after` are deleted.

    Only by row key, so the same changes may be written again after an error. `check` is called before each message to
    the target.
    """

    def __init__(
        self, state: TargetState, plan: TablePlan, *, on_retry: Callable[[FerryError], None], check: Callable[[], None]
    ) -> None:
        self._store = state.store
        self._schema = plan.container_schema
        self._target = table_target(state, plan)
        self._on_retry = on_retry
        self._check = check

    @property
    def created(self) -> list[str]:
        """Containers that it had to make: for new values, and for those whose container was gone."""
        return self._target.created + self._target.gone

    def write(self, changes: Sequence[RowChange]) -> None:
        """Write changes; when this returns they are on the target's disk. Containers that are missing are made.

        Raises: TargetNotEmpty, PlanError, SchemaConflict for a container that is not the table's; GridDBError.
        """
        until_stored(self._target, lambda: self._write(changes), on_retry=self._on_retry)

    def _write(self, changes: Sequence[RowChange]) -> None:
        schema = self._schema
        puts = [change for change in changes if change.after is not None]
        deletes = [change for change in changes if change.after is None]
        with self._store.writer(before_send=self._check) as writer:
            if deletes:
                keys = keys_of(deletes, schema).keys
                writer.delete(schema, keys, self._target.handles([c.value for c in deletes]), _bounds(deletes))
            if puts:
                rows = joined([change.rows for change in puts], schema)
                writer.put(schema, rows, self._target.handles([c.value for c in puts]), _bounds(puts))
            writer.flush_log()


def _bounds(changes: Sequence[RowChange]) -> list[int]:
    return [0, *itertools.accumulate(len(change) for change in changes)]
