"""Tables verified one after the other; what each verification found is written into the state."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gridferry.checkpoint.documents import utc_now
from gridferry.checkpoint.state import TargetState
from gridferry.compare.difference_file import open_difference_file
from gridferry.engine.each_table import VERIFY, Tried, try_each
from gridferry.engine.events import Listener, ignore
from gridferry.engine.ownership.tables import ChosenTables
from gridferry.engine.sync.cdc.gaps import clear_unseen
from gridferry.engine.verify.table import TableVerifier, VerifySettings
from gridferry.model.verification import EXIT_CODES, DifferenceSink, DifferentRows, TableVerification, VerifyReport
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

            def verified(options: TableOptions) -> TableVerification:
                found = TableVerifier(
                    self.source,
                    self.state,
                    options,
                    settings=self.settings,
                    sink=take,
                    sync=None if self.sync is None or options.sync is None else partial(self.sync, options),
                    listener=self.tell,
                ).run()
                self.state.verifications.add(found)
                clear_unseen(self.state, found)
                return found

            tried = try_each(tables, verified, name=lambda o: o.qualified, doing=VERIFY, tell=self.tell)
        return VerifyReport(
            tried.done,
            started,
            time.monotonic() - began,
            output="" if output is None else str(output),
            failures=tried.failures,
            not_tried=tried.not_tried,
            **left(standing),
        )


def left(standing: ChosenTables | None) -> dict[str, Any]:
    """What a report says of tables that were not to be compared."""
    if standing is None:
        return {}
    new = tuple(options.qualified for options in standing.new)
    return {"new": new, "left_out": standing.left_out, "removed": standing.removed}


def required(report: VerifyReport) -> VerifyReport:
    """The report, if every table was compared. Raises: as `each_table.Tried.require`, with the report in `done`."""
    names = tuple(table.table for table in report.tables)
    Tried(report.tables, names, report.failures, report.not_tried).require(
        VERIFY, result=report, codes=[EXIT_CODES[report.verdict]]
    )
    return report
