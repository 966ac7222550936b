"""The one gate to a loaded table: every command that goes by a finished load takes it up here.

What must hold before a command reads or writes rows of a loaded table is asked in `take_up`, so that no command can
forget it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gridferry.checkpoint.runs import LoadRun
from gridferry.checkpoint.state import TargetState
from gridferry.errors import CheckpointError
from gridferry.plan.config import TableOptions
from gridferry.plan.drift import same_load
from gridferry.plan.plan import TablePlan


@dataclass(frozen=True)
class Loaded:
    """What a command goes by: the finished load, and its plan with today's answer to bad and colliding rows."""

    run: LoadRun
    plan: TablePlan


def take_up(state: TargetState, options: TableOptions, *, left: str, then: str) -> Loaded:
    """A table's finished load.

    Args: left: what an error says of what was left; then: the command that is to be run once the error is mended.
    Raises: ConfigError if the table was not loaded to its end; CheckpointError if it was loaded with other options.
    """
    table = f"{options.schema_name}.{options.table_name}"
    run, plan = state.runs.require_loaded(table, state=left, then=then)
    if not same_load(options, run.options):
        raise CheckpointError(
            f"{table} was loaded with another plan: its options in the config have changed",
            state=left,
            next_step="put them back as they were, or load anew with `gridferry load --replace`",
        )
    return Loaded(run, replace(plan, on_duplicate=options.on_duplicate, on_bad_row=options.on_bad_row))
