"""The containers of one table as a verification sees them: numbered, opened, counted, held to the plan's columns."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gridferry.checkpoint.state import TargetState
from gridferry.errors import CheckpointError
from gridferry.griddb import Container, ContainerSchema
from gridferry.plan.names import container_name
from gridferry.plan.plan import TablePlan
from gridferry.transform.split import split_codes

_SHOWN = 5


class NumberedContainers:
    """The containers of a table by number: those of the catalog first, others as their values appear at the source.

    Safe for use by several threads. `opened[i]` is None for one that is not there; `counts[i]` are its rows when this
    was made, and `told[i]` what those that are there said to the queries `also`.
    """

    def __init__(self, state: TargetState, plan: TablePlan, *, also: Sequence[str] = ()) -> None:
        """Args: `also`: aggregations to ask of each container beside its rows, as TQL."""
        self._state = state
        self._plan = plan
        self._lock = threading.Lock()
        entries = state.catalog.of(plan)
        self.names = [entry.container for entry in entries]
        self.values: list[str | None] = [entry.value for entry in entries]
        self.listed = len(entries)
        self._codes = {value: code for code, value in enumerate(self.values)}
        found = state.store.open_containers(self.names)
        self.opened: list[Container | None] = [found[name] for name in self.names]
        self._require_columns()
        there = [(code, container) for code, container in enumerate(self.opened) if container is not None]
        queries = [(container, tql) for tql in ("select count(*)", *also) for _, container in there]
        values = state.store.multi_values(queries)
        answers = [values[start : start + len(there)] for start in range(0, len(values), max(1, len(there)))]
        self.counts = [0] * len(self.opened)
        self.told: dict[int, tuple[int | float | bool | None, ...]] = {}
        for (code, _), (rows, *more) in zip(there, zip(*answers, strict=True), strict=True):
            self.counts[code] = int(rows or 0)
            self.told[code] = tuple(more)

    @property
    def schema(self) -> ContainerSchema:
        """The schema that the plan gave all of them."""
        return self._plan.container_schema

    @property
    def missing(self) -> list[str]:
        """Containers of the catalog that are not there."""
        return [name for name, container in zip(self.names, self.opened, strict=True) if container is None]

    def code(self, value: str | None) -> int:
        """The number of a split value's container; a new one for a value that is not known."""
        with self._lock:
            if value not in self._codes:
                self._codes[value] = len(self.names)
                self.names.append(container_name(self._plan, value))
                self.values.append(value)
                self.opened.append(None)
                self.counts.append(0)
            return self._codes[value]

    def codes(self, by: pa.Array | None, count: int) -> NDArray[np.int64]:
        """The numbers (n,) of the containers of n rows, whose split column is `by`; None where there is no split."""
        if by is None:
            return np.full(count, self.code(None), np.int64)
        places, values = split_codes(by)
        return np.array([self.code(value) for value in values], np.int64)[places]

    def reopen(self) -> None:
        """Look again for those that were not there."""
        with self._lock:
            codes = [code for code, container in enumerate(self.opened) if container is None]
            found = self._state.store.open_containers([self.names[code] for code in codes])
            for code in codes:
                self.opened[code] = found[self.names[code]]
        self._require_columns()

    def _require_columns(self) -> None:
        """Raises: CheckpointError where a container has other columns than the load gave it."""
        wanted = self.schema
        # Many containers share one object, which need not be compared again for each of them.
        seen: dict[int, bool] = {}
        odd = []
        for c in self.opened:
            if c is None:
                continue
            schema = c.schema
            if seen.get(id(schema)) is None:
                seen[id(schema)] = schema == wanted
            if not seen[id(schema)]:
                odd.append(c)
        if not odd:
            return
        more = f" and {len(odd) - _SHOWN} more containers" if len(odd) > _SHOWN else ""
        first = "; ".join(f'"{c.name}": {_difference(c.schema, self.schema)}' for c in odd[:_SHOWN])
        raise CheckpointError(
            f"{self._plan.qualified}: containers do not have the columns that the load gave them: {first}{more}",
            state="nothing was compared",
            next_step="put the columns back as the load made them, or load again with `gridferry load --replace`",
        )


def _difference(now: ContainerSchema, wanted: ContainerSchema) -> str:
    """In which way a schema is not the one wanted, in words."""
    if now.kind is not wanted.kind:
        return f"it is a {now.kind.name}, not a {wanted.kind.name}"
    if now.key != wanted.key:
        return f"its row key is {_columns(now.key)}, not {_columns(wanted.key)}"
    there = {c.name: c for c in now.columns}
    said = [f"{c.name} is missing" for c in wanted.columns if c.name not in there]
    said += [
        f"{c.name} is {there[c.name].label}, not {c.label}"
        for c in wanted.columns
        if c.name in there and there[c.name].label != c.label
    ]
    said += [f"{name} is new" for name in there if name not in wanted.names]
    return ", ".join(said) or "their order or NOT NULL differs"


def _columns(columns: Sequence[object]) -> str:
    return "(" + ", ".join(f"{getattr(c, 'name', '')} {getattr(c, 'label', '')}" for c in columns) + ")"
