"""What a load does before its first row: it looks whether it can begin at all, and only then drops what is there.

GridDB cannot rename a container, so a new copy cannot take the old one's place at once. What can be done is done: no
row of the old copy goes before the new load has all that it needs. docs/adr/0020 has the order.
"""

from __future__ import annotations

import hashlib

from gridferry.checkpoint.catalog import CatalogEntry
from gridferry.checkpoint.runs import LoadRun, RunState
from gridferry.checkpoint.state import TargetState
from gridferry.engine.events import Level, Listener, Note
from gridferry.engine.load.copying import LoadOptions, SnapshotView
from gridferry.engine.ownership.container_claims import enter_containers, require_own
from gridferry.errors import FerryError, PlanError
from gridferry.plan.names import RESERVED_PREFIX
from gridferry.plan.plan import TablePlan
from gridferry.target.containers import require_free

_DIGITS = 12


class Replacing:
    """The place of one table's load in the target. Under the table's lease."""

    def __init__(self, state: TargetState, load: LoadOptions, tell: Listener) -> None:
        self._state = state
        self._load = load
        self._tell = tell

    def check(self, plan: TablePlan, before: LoadRun | None, view: SnapshotView) -> None:
        """Return if the load can begin and take the place of what an earlier one left. Drops nothing.

        Raises: PlanError for containers of another table or migration, or of other columns; TargetNotEmpty for rows
        that nobody claims, or where nothing is to be replaced; whatever the target says to a container of this plan.
        """
        names = [c.name for c in plan.containers]
        require_own(self._state, plan, names)
        mine = self._mine(plan)
        replaces = self._load.replace or before is not None
        if not replaces:
            standing = {*names, *(entry.container for entry in mine)}
            require_free(self._state.store, plan, sorted(standing), claimed=bool(mine))
            return
        if not self._load.replace_unclaimed:
            claimed = {entry.container.lower() for entry in self._state.catalog.owners(names)}  # all its own, see above
            require_free(self._state.store, plan, [name for name in names if name.lower() not in claimed])
        self._require_taken(plan)
        with view.open_reader():
            pass  # another session on the source: it is refused now rather than after the drop

    def clear(self, plan: TablePlan, before: LoadRun | None) -> LoadRun | None:
        """Make room for the load, and claim its containers. The state says so before the first drop.

        Returns: what the new run takes the place of.
        """
        pairs = [(c.name, c.value) for c in plan.containers]
        if before is None and not self._load.replace:
            self._state.catalog.keep_only(plan)  # not those of a run that was killed before it wrote itself down
            enter_containers(self._state, plan, pairs)
            return None
        runs, table = self._state.runs, plan.qualified
        old = LoadRun(table, RunState.REPLACING) if before is None else before
        # What a run that is killed in here leaves to be dropped: the old slot, and the old plan's containers.
        replacing = runs.begin(
            LoadRun(table, RunState.REPLACING, old.plan, options=old.options, slot=old.slot, start=old.start),
            before=before,
        )
        ours, strange = self._state.catalog.told_apart(table, (plan, old.plan))
        try:
            enter_containers(self._state, plan, pairs)
        except PlanError:
            if before is not None:
                runs.restore(before)
            raise
        for forget in (
            self._state.cursors.forget,
            self._state.tallies.forget,
            self._state.verifications.forget,
            self._state.history.forget,
            self._state.failures.forget,
        ):
            forget(table)
        if strange:
            message = (
                f"{len(strange)} containers are listed for {table} under names that its config does not give, "
                f"such as {strange[0][:80]}: they were not dropped"
            )
            self._tell(Note(table, message, Level.WARNING))
        self._state.store.drop_containers(sorted({*ours, *(name for name, _ in pairs)}))
        # Also those whose name is another value's now. Until all are claimed again the state says that it is replaced.
        self._state.catalog.keep_only(plan)
        enter_containers(self._state, plan, pairs)
        self._state.quarantine.release(table, [r.id for r in self._state.quarantine.rows(table)])
        return replacing

    def _mine(self, plan: TablePlan) -> list[CatalogEntry]:
        return self._state.catalog.entries(plan.qualified)

    def _require_taken(self, plan: TablePlan) -> None:
        """Return if the target takes a container of these columns now: one is made and dropped, empty."""
        of = f"{self._state.whose().key}\n{plan.qualified}"
        name = f"{RESERVED_PREFIX}trial_{hashlib.sha256(of.encode()).hexdigest()[:_DIGITS]}"
        try:
            self._state.store.drop_container(name)  # of a run that was killed just here
            self._state.store.create_container(name, plan.container_schema)
            self._state.store.drop_container(name)
        except FerryError as error:
            error.state = "nothing was dropped: what was loaded before is all there"
            error.add_note(f"when a container for {plan.qualified} was tried, before anything is replaced")
            raise
