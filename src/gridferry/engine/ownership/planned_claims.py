"""Whether a plan's containers are free in its target, reported beside what the source says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from gridferry.checkpoint.runs import LoadRun
from gridferry.checkpoint.state import TargetState
from gridferry.engine.ownership.container_claims import require_own
from gridferry.engine.ownership.origin_check import changed_options
from gridferry.engine.ownership.target_session import TargetSession
from gridferry.errors import FerryError, PlanError, TargetNotEmpty
from gridferry.plan.plan import Finding, Plan, Severity, TablePlan
from gridferry.plan.table_options import TableOptions
from gridferry.target.containers import require_free


def with_claims(plan: Plan, session: TargetSession, options: Sequence[TableOptions]) -> Plan:
    """The plan, each table with a PROBLEM where its containers are of another one, or hold rows of somebody else.

    So has one that was loaded with other options than the config has now.

    Where the target cannot be asked, each table has a note that says so.
    """
    if not session.address.password:
        return _unchecked(plan, "there is no password for the target")
    try:
        state = session.to_look_at()
        suspects = _suspects(plan.tables, state)
        tables = [_checked(table, state) if table.qualified in suspects else table for table in plan.tables]
        return replace(plan, tables=tuple(_with_drift(tables, state, options)))
    except FerryError as error:
        return _unchecked(plan, error.message)


def _with_drift(
    tables: Sequence[TablePlan], state: TargetState, options: Sequence[TableOptions]
) -> Iterator[TablePlan]:
    by_table = {each.qualified: each for each in options}
    runs = dict(state.runs.each())
    for table in tables:
        run, wanted = runs.get(table.qualified), by_table.get(table.qualified)
        changed = changed_options(run, wanted) if isinstance(run, LoadRun) and run.options and wanted else ""
        if changed:
            step = (
                f"put them back as they were, or run `gridferry resync {table.qualified}`: it copies this table again"
            )
            table = replace(
                table, findings=(Finding(Severity.PROBLEM, table.qualified, changed, step), *table.findings)
            )
        yield table


def _suspects(tables: Sequence[TablePlan], state: TargetState) -> set[str]:
    """The tables whose containers are somebody's, or are there: by a question for all of them, not one for each."""
    key, loaded = state.whose().key, set(state.runs.tables())
    names = [container.name for table in tables for container in table.containers]
    owners = {entry.container.lower(): (entry.migration, entry.table) for entry in state.catalog.owners(names)}
    suspects: set[str] = set()
    free: dict[str, str] = {}
    for table in tables:
        for container in table.containers:
            owner = owners.get(container.name.lower())
            if owner is None and table.qualified not in loaded:
                free[container.name] = table.qualified
            elif owner is not None and owner != (key, table.qualified):
                suspects.add(table.qualified)
    standing = state.store.open_containers(list(free))
    return suspects | {free[name] for name, container in standing.items() if container is not None}


def _checked(table: TablePlan, state: TargetState) -> TablePlan:
    names = [container.name for container in table.containers]
    try:
        require_own(state, table, names)
        if state.runs.get(table.qualified) is None:
            mine = {entry.container.lower() for entry in state.catalog.entries(table.qualified)}
            require_free(state.store, table, [name for name in names if name.lower() not in mine])
    except (PlanError, TargetNotEmpty) as error:
        problem = Finding(Severity.PROBLEM, table.qualified, error.message, error.next_step)
        return replace(table, findings=(problem, *table.findings))
    return table


def _unchecked(plan: Plan, why: str) -> Plan:
    message = f"whether its containers are free in the target was not checked: {why}"
    tables = [
        replace(table, findings=(*table.findings, Finding(Severity.INFO, table.qualified, message)))
        for table in plan.tables
    ]
    return replace(plan, tables=tuple(tables))
