"""`sync --follow`: tables are followed until a signal ends it; after SIGHUP by what the config file says then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from gridferry import numbers
from gridferry.cli.log_lines import every
from gridferry.cli.output import Output
from gridferry.cli.signals import Requests
from gridferry.cli.table_outcomes import kept_going
from gridferry.errors import FerryError
from gridferry.model.failed_tables import SomeTablesFailed

if TYPE_CHECKING:
    from gridferry.engine.events import TableSync
    from gridferry.engine.migration import Migration

_LOOK_S = 0.2
_STAYS = "The config that was read before stays in force."


def follow(
    output: Output, opened: Callable[[], Migration], tables: Sequence[str], requests: Requests, **options: Any
) -> tuple[list[TableSync], SomeTablesFailed | None]:
    """Follow tables until asked to stop.

    Args: opened: reads the config file, and gives a migration of it; options: as for `Syncs.sync`.
    Returns: what was done to each table, by all configs together, and what failed by the last one. Raises: any
        FerryError.
    """
    from gridferry.engine.sync.counts import sum_of_runs

    done: dict[str, TableSync] = {}
    migration = opened()
    while True:
        reload = _Reload(output, opened, tables, requests)

        def ending(reload: _Reload = reload) -> bool:
            return requests.stop() or reload.next is not None

        with migration, every(_LOOK_S, reload.look, name="gridferry-reload"):
            failed = None
            try:
                now, failed = kept_going(
                    lambda: migration.syncs.sync(tables, follow=True, until=ending, **options)  # noqa: B023
                )
            except FerryError as error:  # the new config may be the remedy
                if reload.next is None or requests.stop():
                    raise
                output.warn(error.message)
                now = []
        for each in now:
            done[each.table] = sum_of_runs(done[each.table], each) if each.table in done else each
        if reload.next is None or requests.stop():
            reload.drop()
            return list(done.values()), failed
        migration = reload.next


class _Reload:
    """Waits for SIGHUP beside a follow. `next` is the migration of the config that was read then, and is sound."""

    def __init__(
        self, output: Output, opened: Callable[[], Migration], tables: Sequence[str], requests: Requests
    ) -> None:
        self.next: Migration | None = None
        self._output = output
        self._opened = opened
        self._tables = tables
        self._requests = requests

    def look(self) -> None:
        """Read the config again, if that was asked for. What is wrong with it is told, and changes nothing."""
        if self.next is not None or not self._requests.take_reload():
            return
        try:
            fresh = self._opened()
        except FerryError as error:
            self._refuse(error)
            return
        try:
            found = fresh.syncs.to_follow(self._tables)
        except FerryError as error:
            fresh.close()
            self._refuse(error)
            return
        self._output.note(f"the config was read again: {numbers.plural(len(found), 'table')} to follow from now on")
        self.next = fresh

    def drop(self) -> None:
        """Close what was read and is not followed any more."""
        if self.next is not None:
            self.next.close()

    def _refuse(self, error: FerryError) -> None:
        step = f" Next: {error.next_step}." if error.next_step else ""
        self._output.warn(f"the config was not taken over: {error.message}.{step} {_STAYS}")
