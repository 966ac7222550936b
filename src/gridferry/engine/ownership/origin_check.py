"""The one gate to a loaded table: every command that goes by a finished load takes it up here.

What must hold before a command reads or writes rows of a loaded table is asked in `take_up`, so that no command can
forget it. A command that only looks asks `changed_options` and reports it as a note.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gridferry.checkpoint.runs import LoadRun, RunState
from gridferry.checkpoint.state import TargetState
from gridferry.engine.ownership.held_tables import elsewhere, told
from gridferry.engine.ownership.lineage import Checked, KnowsOrigin, check_origin, command_of
from gridferry.errors import CheckpointError, NotLoaded
from gridferry.model.table import Table
from gridferry.plan.advice import load_again
from gridferry.plan.drift import changes_since, same_load
from gridferry.plan.names import container_name, name_problem
from gridferry.plan.plan import TablePlan
from gridferry.plan.stored import plan_of_today, require_agrees
from gridferry.plan.table_options import TableOptions


@dataclass(frozen=True)
class Loaded:
    """What a command goes by: the finished load, its plan with today's answer to bad and colliding rows, its source."""

    run: LoadRun
    plan: TablePlan
    source: Checked


def take_up(
    state: TargetState,
    source: KnowsOrigin,
    options: TableOptions,
    *,
    left: str,
    then: str,
    described: Table | None = None,
) -> Loaded:
    """A table's finished load, from the source that it is of.

    Args: left: what an error says of what was left; then: the command that is to be run once the error is fixed;
        described: the table as the catalog has it, where the source was asked.
    Raises: NotLoaded if the table was not loaded to its end; OtherSource if the source is another one;
        CheckpointError if it was loaded with other options, or if what is stored of its plan is not what config and
        catalog make of the table; SourceError where the source cannot be asked.
    """
    run, plan = look_up(state, options, left=left, then=then)
    checked = check_origin(state, source, options, run, left=left)
    if described is not None:
        plan = require_agrees(plan, options, described, left=left)
    return Loaded(replace(run, plan=plan), plan, checked)


def look_up(state: TargetState, options: TableOptions, *, left: str, then: str) -> tuple[LoadRun, TablePlan]:
    """A table's finished load and its plan, whatever the source is now: nothing is read of it by this alone.

    Args and errors: as `take_up`, but for those of the source.
    """
    table = options.qualified
    run = state.runs.get(table)
    if run is None or run.plan is None:
        raise not_loaded(state, options, left=left, then=then)
    if run.state is not RunState.LOADED:
        raise NotLoaded(
            f"the load of {table} is not finished ({len(run.finished):,} of {len(run.chunks):,} chunks are)",
            state=left,
            next_step=f"run `gridferry load` until it is done, then `{then}`",
        )
    changed = changed_options(run, options)
    if changed:
        raise CheckpointError(
            changed,
            state=left,
            next_step=f"put them back as they were, or {load_again(options.table)}; `gridferry resync {options.table}` "
            "does so too, also beside a sync that follows the others",
        )
    require_names_kept(state, run.plan, options, left=left)
    plan = require_agrees(run.plan, options, left=left)
    return replace(run, plan=plan), plan


def require_names_kept(state: TargetState, plan: TablePlan, options: TableOptions, *, left: str) -> None:
    """Return if the names under `containers` that changed since the load are of values that have no container yet.

    Only names are asked for that the stored plan and the config give differently; all of them are looked at again where
    containers are used: see `Catalog.of`. Raises: CheckpointError.
    """
    today = plan_of_today(plan, options)
    moved = {
        container_name(plan, value): value
        for value in (*plan.aliases, *options.containers)
        if container_name(plan, value) != container_name(today, value)
    }
    mine = state.whose().key
    for entry in state.catalog.owners([name for name in moved if not name_problem(name)]):
        value = moved.get(entry.container)
        if (entry.migration, entry.table, entry.value) == (mine, plan.qualified, value):
            raise CheckpointError(
                f'the config gives the value "{value}" of {plan.qualified} the container '
                f'"{container_name(today, value)}", but its rows are in "{entry.container}"',
                state=left,
                next_step="put its name under containers back as it was (values without a container may get any), or "
                + load_again(options.table),
            )


def changed_options(run: LoadRun, options: TableOptions) -> str:
    """A sentence where a load was begun with other options than the config has now; "" where with these.

    Names under `containers` may be others: `require_names_kept` says which.
    """
    if same_load(options, run.options):
        return ""
    changes = changes_since(options, run.options)
    which = f": {changes}" if changes else ""
    return f"{run.table} was loaded with another plan: its options in the config have changed{which}"


def not_loaded(state: TargetState, options: TableOptions, *, left: str, then: str) -> NotLoaded:
    """The error for a table that this migration has not loaded: it names what the target holds instead."""
    table = f"{options.schema_name}.{options.table_name}"
    mine, others = state.whose(), elsewhere(state)
    if not others:
        return NotLoaded(
            f"{table} was not loaded into this target",
            state=left,
            next_step=f"run `gridferry load` first, then `{then}`",
        )
    whose = f' as the migration "{mine.name}"' if mine.name else ""
    advice = ["if the source's address in the config is wrong, put it right"]
    if not mine.created_at and any(table in other.tables and other.entry.name == mine.name for other in others):
        advice.append(
            f"if this source took the other's place, run `{command_of(options)}`: it compares everything, repairs what "
            "differs, and goes on from there"
        )
    advice.append(
        f"if this is a second source, run `gridferry load` first, with container names of its own, then `{then}`"
    )
    named = [other.entry.name for other in others if other.entry.name and other.entry.origin == mine.origin]
    if named:
        advice.insert(0, f"if it is the migration {named[0]}, write `name: {named[0]}` into the config")
    elif any(other.entry.name for other in others) and not mine.name:
        advice.insert(0, "if it is a migration with a name, write that as `name` into the config")
    return NotLoaded(
        f"{table} was not loaded into this target from {mine.origin}{whose}; it holds {told(others)}",
        state=left,
        next_step="; ".join(advice),
    )
