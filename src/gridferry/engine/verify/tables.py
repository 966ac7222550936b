"""Tables verified as of one snapshot; what was found of each is written into the state."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gridferry.checkpoint.documents import utc_now
from gridferry.checkpoint.state import TargetState
from gridferry.compare.difference_file import open_difference_file
from gridferry.engine.each_table import VERIFY, Tried, in_order, try_each
from gridferry.engine.events import Listener, ignore
from gridferry.engine.ownership.tables import ChosenTables
from gridferry.engine.sync.cdc.gaps import clear_unseen
from gridferry.engine.verify.one_snapshot import OneSnapshot
from gridferry.engine.verify.table import InDoubt, TableVerifier, VerifySettings
from gridferry.model.verification import (
    EXIT_CODES,
    Depth,
    DifferenceSink,
    DifferentRows,
    TableVerification,
    VerifyReport,
)
from gridferry.plan.table_options import TableOptions
from gridferry.source.postgres.source import PostgresSource


@dataclass(frozen=True)
class Comparison:
    """How tables are compared, as often as asked. `sync` runs a bounded sync of a table; None: that may not be."""

    source: PostgresSource
    state: TargetState
    settings: VerifySettings
    tell: Listener = ignore
    sync: Callable[[TableOptions], None] | None = None

    def run(
        self,
        tables: Sequence[TableOptions],
        *,
        output: Path | None = None,
        sink: DifferenceSink | None = None,
        standing: ChosenTables | None = None,
    ) -> VerifyReport:
        """Verify tables. One that fails does not stop the others: it is in the report's `failures`.

        Args: output: a file for every difference; sink: takes all of them, as whole rows; standing: what
            the config means besides: tables that are not loaded yet, or left out, for the report.
        Raises no error of a table.
        """
        started, began = utc_now(), time.monotonic()
        with ExitStack() as stack:
            file = None if output is None else stack.enter_context(open_difference_file(output))

            def take(rows: DifferentRows, key_length: int) -> None:
                if file is not None:
                    file.add(rows, key_length=key_length)
                if sink is not None:
                    sink(rows)

            tried, others = self._compared(tables, take, stack, standing)
        return VerifyReport(
            tried.done,
            started,
            time.monotonic() - began,
            output="" if output is None else str(output),
            failures=tried.failures,
            not_tried=tried.not_tried,
            others=others,
            **left(standing, tables),
        )

    def _compared(
        self,
        tables: Sequence[TableOptions],
        take: Callable[[DifferentRows, int], None],
        stack: ExitStack,
        standing: ChosenTables | None,
    ) -> tuple[Tried[TableVerification], tuple[str, ...]]:
        """All tables read in one snapshot; then, without it, what is in doubt looked at again, a table at a time."""
        quick = self.settings.depth is Depth.QUICK
        whole = None if standing is None or standing.named else (*standing.tables, *standing.new)
        first = self.sync if quick else None  # the others wait for what the snapshot shows
        snapshot = OneSnapshot(
            self.source,
            self.state,
            tables,
            first=None if first is None else lambda options: first(options) if options.sync is not None else None,
            whole=whole,
            tell=self.tell,
        )
        doubts: dict[str, InDoubt] = {}

        def read(options: TableOptions) -> TableVerification | InDoubt:
            sync = None if self.sync is None or options.sync is None else partial(self.sync, options)
            verifier = TableVerifier(
                self.source, self.state, options, settings=self.settings, sink=take, sync=sync, listener=self.tell
            )
            with snapshot.of(options) as begun:
                found = verifier.run(begun, stack)
            return found if isinstance(found, InDoubt) else self._kept(found)

        with snapshot:
            looked = try_each(tables, read, name=lambda o: o.qualified, doing=VERIFY, tell=self.tell)
        doubts = {found.table: found for found in looked.done if isinstance(found, InDoubt)}
        settled = try_each(
            list(doubts.values()),
            lambda doubt: self._kept(doubt.settle()),
            name=lambda doubt: doubt.table,
            doing=VERIFY,
            tell=self.tell,
        )
        sure = tuple(found for found in looked.done if isinstance(found, TableVerification))
        both = Tried(
            sure + settled.done,
            tuple(found.table for found in sure) + settled.finished,
            looked.failures + settled.failures,
            looked.not_tried + settled.not_tried,
        )
        return in_order(both, [options.qualified for options in tables]), snapshot.others

    def _kept(self, found: TableVerification) -> TableVerification:
        self.state.verifications.add(found)
        clear_unseen(self.state, found)
        return found


def left(standing: ChosenTables | None, asked: Sequence[TableOptions], *, also: Collection[str] = ()) -> dict[str, Any]:
    """What a report says of tables that were not to be compared, where `asked` were, and `also`, by name."""
    if standing is None:
        return {}
    names = {*also, *(options.qualified for options in asked)}
    return {
        "new": tuple(options.qualified for options in standing.new),
        "left_out": () if standing.named else standing.left_out,  # who names one wants it compared
        "removed": () if standing.named else standing.removed,
        "unasked": (*standing.unasked, *(o.qualified for o in standing.present if o.qualified not in names)),
    }


def required(report: VerifyReport) -> VerifyReport:
    """The report, if every table was compared. Raises: as `each_table.Tried.require`, with the report in `done`."""
    names = tuple(table.table for table in report.tables)
    Tried(report.tables, names, report.failures, report.not_tried).require(
        VERIFY, result=report, codes=[EXIT_CODES[report.verdict]]
    )
    return report
