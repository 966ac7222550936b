"""The target's side of one table: its containers by split value, made at once for values that come later."""

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
from gridferry.target.containers import DROP_UNCLAIMED, not_free, require_free

Named = tuple[str, str | None]
"""A container's name, and the split value that it is for."""

_UNTOUCHED = "what was checkpointed stays; nothing was put into that container"


class TableTarget:
    """The containers of one table by split value, opened when they are asked for. Safe for use by several threads.

    `created` are those made for new values, in their order; `gone` those that had been made before and were missing:
    they were made again, without their rows. `touched` are the split values that handles were asked for.

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
        register: Callable[[Sequence[Named]], None],
        require_own: Callable[[Sequence[Named]], None] = lambda names: None,
        listed: Callable[[], Collection[Named]] = tuple,
    ) -> None:
        self.created: list[str] = []
        self.gone: list[str] = []
        self.touched: set[str | None] = set()
        self._store = store
        self._plan = plan
        self._register = register
        self._require_own = require_own
        self._listed = listed
        self._schema = plan.container_schema
        self._lock = threading.Lock()
        self._names: dict[str | None, str] = {}
        self._handles: dict[str | None, Handle] = {}
        self._taken: dict[str, str | None] = {}
        self._fresh: set[str] = set()  # made for rows that are not on disk yet

    @property
    def by_value(self) -> dict[str | None, Handle]:
        """Every handle that is open."""
        with self._lock:
            return dict(self._handles)

    @property
    def names(self) -> dict[str | None, str]:
        """The name of every container that is known, open or not, by split value."""
        with self._lock:
            return dict(self._names)

    def __contains__(self, value: str | None) -> bool:
        """Whether a split value has a container."""
        with self._lock:
            return value in self._names

    def expect(self, names: Iterable[Named]) -> None:
        """Remember the names of containers that are made: each is opened when it is asked for.

        Raises: DataError for names that meet.
        """
        with self._lock:
            self._know(list(names))

    def open_or_create(self, names: Iterable[Named]) -> None:
        """Make the containers of (name, value) pairs, or open those that exist with this schema; all at once.

        Raises: SchemaConflict for one that exists with another schema; DataError for names that meet.
        """
        with self._lock:
            self._make(list(names))

    def adopt(self, made: Iterable[tuple[Container, str | None]]) -> None:
        """Take containers that were made, or opened with this schema, for these values. Raises: DataError for names
        that meet.
        """
        with self._lock:
            for container, value in made:
                self._know([(container.name, value)])
                self._handles[value] = container.handle

    def handles(self, values: Sequence[str | None]) -> list[Handle]:
        """The handles of these split values, in their order; missing containers are made.

        Raises: as `require_free` for a new value whose container exists already; SchemaConflict for one whose columns
            are not the plan's any more.
        """
        with self._lock:
            missing = [value for value in dict.fromkeys(values) if value not in self._handles]
            self._open([value for value in missing if value in self._names])
            new = [(self._name(value), value) for value in missing if value not in self._names]
            if new:
                self._require_apart(new)
                self._claim(new)
                self._make(new)
            self.touched.update(values)
            return [self._handles[value] for value in values]

    def reopen(self) -> None:
        """Open all of them again, after the server said that it knows one of them no more."""
        with self._lock:
            values = list(self._handles)
            self._handles.clear()
            self._open(values)

    def stored(self) -> None:
        """All that was put is on the target's disk, with the containers that were made for it."""
        with self._lock:
            self._fresh.clear()

    def empty(self) -> None:
        """Drop the containers, and make them again."""
        with self._lock:
            self._store.drop_containers(self._names.values())
            self._handles.clear()
            self._make([(name, value) for value, name in self._names.items()])

    def _know(self, names: Sequence[Named]) -> None:
        self._require_apart(names)
        self._names.update({value: name for name, value in names})

    def _open(self, values: Sequence[str | None]) -> None:
        if not values:
            return
        found = self._store.open_containers([self._names[value] for value in values])
        gone = []
        for value in values:
            name = self._names[value]
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
        self.gone += [name for name, _ in gone if name not in self._fresh]

    def _claim(self, names: Sequence[Named]) -> None:
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
        self._know(names)
        self.created += [name for name, _ in names]
        self._fresh.update(name for name, _ in names)

    def _ways_out(self, names: Sequence[Named]) -> str:
        """The advice where containers of new values exist already, and are of somebody else."""
        full, other = not_free(self._store, self._plan, [name for name, _ in names])
        wrong = {*(container.name.lower() for container, _ in full), *(container.name.lower() for container in other)}
        values = [value for name, value in names if name.lower() in wrong]
        return f"{self._apart(values)}; or, where nobody needs what is stored there, {DROP_UNCLAIMED}"

    def _make(self, names: Sequence[Named]) -> None:
        wanted = [(name, value) for name, value in names if value not in self._handles]
        if not wanted:
            return
        self._know(wanted)
        made = self._store.create_containers([name for name, _ in wanted], self._schema)
        for (_, value), container in zip(wanted, made, strict=True):
            self._handles[value] = container.handle

    def _require_apart(self, names: Sequence[Named]) -> None:
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
