"""The one loop over tables: a table that fails does not stop the others.

`load`, `sync`, `verify`, `repair`, `undo`, `cutover`, `status`, `report`, `quarantine replay`, `drop-slot` and
Airflow's operators go through `try_each`. (`sync --follow` runs its tables side by side: `engine.sync.tables`. `plan`
looks at all tables under one snapshot: `engine.planning`.) What concerns every table alike ends the loop: see
`FerryError.concerns_all`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from gridferry.engine.events import Listener, TableFailed, TablesLeft, ignore
from gridferry.errors import FerryError
from gridferry.model.failed_tables import Deed, FailedTable, tables_failed

T = TypeVar("T")
R = TypeVar("R")

LOAD = Deed("load", "loaded", "then `gridferry load` again: loaded tables are left as they are")
SYNC = Deed("sync", "synced", "then `gridferry sync` again")
VERIFY = Deed("verify", "compared", "then `gridferry verify` again")
REPAIR = Deed("repair", "repaired or equal", "then `gridferry repair` again")
UNDO = Deed("undo the repair of", "undone", "then `gridferry undo` again: rows that are as before are left alone")
CUT_OVER = Deed("check for the cut-over", "checked", "then `gridferry cutover` again")
SHOW = Deed("show", "shown")
REPLAY = Deed("replay", "replayed", "then `gridferry quarantine replay` again")
DROP_SLOT = Deed("drop the slot", "without a slot now", "then `gridferry drop-slot` again")
PAUSE = Deed("pause", "paused")
RESUME = Deed("resume", "resumed")
RESYNC = Deed("resync", "resynced")
REMOVE = Deed("remove", "removed")
FORGET = Deed("forget", "forgotten")


@dataclass(frozen=True)
class Tried(Generic[R]):
    """What became of each table. `done` and `finished` (names) are in step; `not_tried` come after what ended it."""

    done: tuple[R, ...]
    finished: tuple[str, ...]
    failures: tuple[FailedTable, ...] = ()
    not_tried: tuple[str, ...] = ()

    def require(self, deed: Deed, *, result: Any = None, codes: Iterable[int] = ()) -> None:
        """Return if nothing failed. Raises: the error itself where only one table was tried; else SomeTablesFailed.

        Args: result: what is in the error's `done`, else the list of what is done; codes: its exit codes.
        """
        if not self.failures:
            return
        nothing_else = not self.done and len(self.failures) == 1
        if nothing_else and (not self.not_tried or self.failures[0].error.concerns_all):
            raise self.failures[0].error
        raise tables_failed(
            deed,
            self.failures,
            done=list(self.done) if result is None else result,
            finished=self.finished,
            not_tried=self.not_tried,
            codes=codes,
        )


def in_order(tried: Tried[R], names: Sequence[str]) -> Tried[R]:
    """The same in the order of these names, which are all that were to be tried."""
    place = {name: number for number, name in enumerate(names)}
    done = sorted(zip(tried.finished, tried.done, strict=True), key=lambda pair: place[pair[0]])
    return Tried(
        tuple(result for _, result in done),
        tuple(name for name, _ in done),
        tuple(sorted(tried.failures, key=lambda failed: place[failed.table])),
        tuple(sorted(tried.not_tried, key=lambda name: place[name])),
    )


def try_each(
    tables: Sequence[T],
    act: Callable[[T], R],
    *,
    name: Callable[[T], str] = str,
    doing: Deed,
    tell: Listener = ignore,
    stops: bool = False,
) -> Tried[R]:
    """Do `act` to each table, whatever becomes of the others. Never raises a FerryError; others end it.

    An error that concerns every table alike ends the loop, with `stops` any: the tables after it are not tried.
    """
    done: list[R] = []
    finished: list[str] = []
    failures: list[FailedTable] = []
    for number, table in enumerate(tables):
        rest = tuple(name(each) for each in tables[number + 1 :])
        try:
            done.append(act(table))
        except FerryError as error:
            failures.append(FailedTable(name(table), error))
            tell(TableFailed(name(table), doing.verb, error, others=len(tables) - 1))
            if error.concerns_all or stops:
                return Tried(tuple(done), tuple(finished), tuple(failures), rest)
        except BaseException:  # a signal
            tell(TablesLeft(doing, tuple(finished), tuple(failures), name(table), rest))
            raise
        else:
            finished.append(name(table))
    return Tried(tuple(done), tuple(finished), tuple(failures))
