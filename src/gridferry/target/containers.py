"""The containers of one table: made in bulk, found by split value, and made at once for values that appear later."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

from gridferry.errors import DataError, PlanError, SchemaConflict, TargetNotEmpty
from gridferry.griddb import Container, Store
from gridferry.griddb.handle import Handle
from gridferry.plan.advice import named_apart
from gridferry.plan.names import container_name, name_problem
from gridferry.plan.plan import TablePlan

_SHOWN = 5
_UNTOUCHED = "what was checkpointed stays; nothing was put into that container"
DROP_UNCLAIMED = "let `gridferry load --replace --replace-unclaimed` drop them"
WAYS_OUT = f"choose other names under `containers:` or `container:`; or, where nobody needs them, {DROP_UNCLAIMED}"
WAYS_OUT_CLAIMED = "let `gridferry load --replace` drop them, or choose other names under `containers:` or `container:`"


class TableContainers:
    """Handles by split value. Safe for use by several threads.

    `register` is called with (name, value) pairs before they are made and before any thread gets their handles: what
    it writes down is there when the first row is put. `require_own` is called with them before the target is looked at,
    and raises for those that somebody else has written down. `listed` gives the pairs that are written down by now; it
    is asked where other processes make containers of the same table meanwhile.
    """

    def __init__(
        self,
        store: Store,
        plan: TablePlan,
        *,
        register: Callable[[Sequence[tuple[str, str | None]]], None],
        require_own: Callable[[Sequence[tuple[str, str | None]]], None] = lambda names: None,
        listed: Callable[[], Collection[tuple[str, str | None]]] = tuple,
    ) -> None:
        self._store = store
        self._plan = plan
        self._register = register
        self._require_own = require_own
        self._listed = listed
        self._expected: dict[str | None, str] = {}
        self._schema = plan.container_schema
        self._lock = threading.Lock()
        self._handles: dict[str | None, Handle] = {}
        self._taken: dict[str, str | None] = {}

    @property
    def by_value(self) -> dict[str | None, Handle]:
        """Every handle known so far."""
        with self._lock:
            return dict(self._handles)

    def know(self, names: Iterable[tuple[str, str | None]]) -> None:
        """Remember that these names are given out, without asking the server. Raises: DataError for names that meet."""
        with self._lock:
            self._require_apart(list(names))

    def expect(self, names: Iterable[tuple[str, str | None]]) -> None:
        """Remember the names of containers that are made: each is opened when it is asked for.

        Raises: DataError for names that meet.
        """
        with self._lock:
            pairs = list(names)
            self._require_apart(pairs)
            self._expected.update({value: name for name, value in pairs})

    def open_or_create(self, names: Iterable[tuple[str, str | None]]) -> None:
        """Make the containers of (name, value) pairs, or open those that exist with this schema.

        Raises: SchemaConflict for one that exists with another schema; DataError for names that meet.
        """
        with self._lock:
            self._make(list(names))

    def open_standing(self, names: Iterable[tuple[str, str | None]]) -> list[str]:
        """Open the containers of (name, value) pairs that were made before. Returns those that are gone: made again.

        Raises: SchemaConflict for one whose columns are not the plan's any more.
        """
        with self._lock:
            return self._open(list(names))

    def handles(self, values: Sequence[str | None]) -> list[Handle]:
        """The handles of these split values, in their order; missing containers are made.

        Raises: as `require_free` for a new value whose container exists already.
        """
        with self._lock:
            missing = [v for v in values if v not in self._handles]
            self._open([(self._expected[v], v) for v in missing if v in self._expected])
            fresh = [(self._name(v), v) for v in missing if v not in self._expected]
            if fresh:
                self._require_apart(fresh)
                self._claim(fresh)
                self._make(fresh)
            return [self._handles[v] for v in values]

    def reopen(self) -> list[str]:
        """Open all of them again. Returns those that the server does not know any more: made again."""
        with self._lock:
            names = [(handle.name, value) for value, handle in self._handles.items()]
            self._handles.clear()
            return self._open(names)

    def _open(self, names: Sequence[tuple[str, str | None]]) -> list[str]:
        wanted = [(name, value) for name, value in names if value not in self._handles]
        if not wanted:
            return []
        self._require_apart(wanted)
        found = self._store.open_containers([name for name, _ in wanted])
        gone = []
        for name, value in wanted:
            container = found[name]
            if container is None:
                gone.append((name, value))
            elif container.schema != self._schema:
                raise SchemaConflict(
                    f'the container "{name}" of {self._plan.qualified} has other columns than it was loaded with: '
                    "somebody changed it",
                    state="what was checkpointed stays; nothing was put into it now",
                    next_step="give it its columns back, and compare; or load again with `gridferry load --replace`",
                )
            else:
                # Handles of one schema share one object: comparing 100,000 of them is then cheap.
                self._handles[value] = replace(container.handle, schema=self._schema)
        self._make(gone)
        return [name for name, _ in gone]

    def _claim(self, names: Sequence[tuple[str, str | None]]) -> None:
        """Write new names down, unless rows of someone else are there."""
        self._require_own(names)
        try:
            require_free(self._store, self._plan, [name for name, _ in names])
        except (TargetNotEmpty, PlanError) as error:
            listed = frozenset(self._listed())
            rest = [pair for pair in names if pair not in listed]
            if len(rest) < len(names) and isinstance(error, TargetNotEmpty):
                self._claim(rest)
                return
            error.state = _UNTOUCHED
            error.next_step = self._ways_out(names)
            raise
        self._register(names)

    def _ways_out(self, names: Sequence[tuple[str, str | None]]) -> str:
        """The advice where containers of new values exist already, and are of somebody else."""
        full, other = _not_free(self._store, self._plan, [name for name, _ in names])
        wrong = {*(container.name.lower() for container, _ in full), *(container.name.lower() for container in other)}
        values = [value for name, value in names if name.lower() in wrong]
        return f"{self._apart(values)}; or, where nobody needs what is stored there, {DROP_UNCLAIMED}"

    def _make(self, names: Sequence[tuple[str, str | None]]) -> None:
        wanted = [(name, value) for name, value in names if value not in self._handles]
        if not wanted:
            return
        self._require_apart(wanted)
        made = self._store.create_containers([name for name, _ in wanted], self._schema)
        for (_, value), container in zip(wanted, made, strict=True):
            self._handles[value] = container.handle

    def _require_apart(self, names: Sequence[tuple[str, str | None]]) -> None:
        meeting = []
        for name, value in names:
            other = self._taken.setdefault(name.lower(), value)
            if other != value:
                meeting.append((name, other, value))
        if meeting:
            name, other, value = meeting[0]
            more = f", and {len(meeting) - 1} more in those of others" if len(meeting) > 1 else ""
            raise DataError(
                f'{self._plan.qualified}: the values "{other}" and "{value}" of {self._plan.split_by} '
                f'would meet in container "{name}"{more}',
                table=self._plan.qualified,
                column=self._plan.split_by or "",
                state=_UNTOUCHED,
                next_step=f'"{value}" has no container yet: {self._apart([value for _, _, value in meeting])}',
            )

    def _name(self, value: str | None) -> str:
        name = container_name(self._plan, value)
        problem = name_problem(name)
        if problem:
            raise DataError(
                f'{self._plan.qualified}: no container can be called "{name[:80]}": {problem}',
                table=self._plan.qualified,
                column=self._plan.split_by or "",
                state=_UNTOUCHED,
                next_step=self._apart([value]),
            )
        return name

    def _apart(self, values: Sequence[str | None]) -> str:
        """The advice for values whose containers cannot have the names that the plan gives."""
        return named_apart(self._plan, values, taken=self._taken)


def require_free(store: Store, plan: TablePlan, names: Sequence[str], *, claimed: bool = False) -> None:
    """Return if the containers of these names are missing, or empty and of the plan's schema.

    `claimed`: some are the table's own, of an earlier load that the state has forgotten.
    Raises: TargetNotEmpty for those with rows, PlanError for those with other columns.
    """
    full, other = _not_free(store, plan, names)
    filled = [f'"{container.name}" ({rows:,} rows)' for container, rows in full]
    if filled:
        whose = "an earlier load left them" if claimed else "gridferry did not load them"
        raise TargetNotEmpty(
            f"{plan.qualified} would go into containers that hold rows already, and {whose}: " + _listed(filled),
            state="nothing was changed",
            next_step=WAYS_OUT_CLAIMED if claimed else WAYS_OUT,
        )
    different = [f'"{container.name}"' for container in other]
    if different:
        raise PlanError(
            f"{plan.qualified} would go into containers that exist with other columns: " + _listed(different),
            state="nothing was changed",
            next_step=WAYS_OUT_CLAIMED if claimed else WAYS_OUT,
        )


def _not_free(
    store: Store, plan: TablePlan, names: Sequence[str]
) -> tuple[list[tuple[Container, int]], list[Container]]:
    """The containers of these names that hold rows, with their number, and those that have other columns."""
    standing = [container for container in store.open_containers(names).values() if container is not None]
    full = [(container, rows) for container, rows in zip(standing, store.counts(standing), strict=True) if rows]
    return full, [container for container in standing if container.schema != plan.container_schema]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
