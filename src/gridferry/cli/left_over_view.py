"""What `status` says of tables that the config does not have any more, and of slots that nothing needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gridferry import numbers
from gridferry.cli.output import Output, plain
from gridferry.cli.tables import hanging
from gridferry.errors import FerryError

if TYPE_CHECKING:
    from gridferry.engine.migration import Migration
    from gridferry.engine.status.status import LeftOver

_MB = 1 << 20


def left_over(migration: Migration) -> LeftOver | None:
    """What is left over; None where an end that has to be asked is away: the status of the tables says so."""
    try:
        return migration.status.left_over()
    except FerryError:
        return None


def left_over_document(left: LeftOver | None) -> dict[str, Any]:
    """`{"not_in_config": [...], "unneeded_slots": [...]}`, null where they could not be asked for."""
    if left is None:
        return {"not_in_config": None, "unneeded_slots": None}
    return {"not_in_config": list(left.tables), "unneeded_slots": [plain(slot) for slot in left.slots]}


def show_left_over(output: Output, left: LeftOver | None) -> None:
    """Print it, and what to do."""
    if left is None:
        return
    if left.tables:
        output.show("")
        said = f"{', '.join(left.tables)}. `gridferry remove TABLE` lets go what is kept for it in the source, "
        output.show(hanging("not in config  ", f"{said}`gridferry forget TABLE` forgets it", style="yellow"))
    for slot in left.slots:
        kept = "" if slot.kept_bytes is None else f", keeps {numbers.count(slot.kept_bytes // _MB)} MB of log"
        whose = f" of {slot.table}" if slot.table else ""
        said = f"{slot.name}{whose}{kept}: no table of the config needs it. `gridferry drop-slot --unneeded` drops it"
        output.show(hanging("slot  ", said, style="yellow"))
