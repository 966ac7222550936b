"""What to do about a table, where something is wrong: one sentence each, with the command."""

from __future__ import annotations

from collections.abc import Iterator

from gridferry import numbers
from gridferry.engine.standing import SyncStatus
from gridferry.model.coverage import Coverage
from gridferry.model.coverage_words import COLUMNS_STEP
from gridferry.model.outcomes import SyncState
from gridferry.model.verification import TableVerification, Verdict

_LOST = "lost"
_LEAVING = "unreserved"  # PostgreSQL, pg_replication_slots: the log may be removed at the next checkpoint


def next_steps(
    last: TableVerification | None, sync: SyncStatus | None, held: int, covered: Coverage | None = None
) -> tuple[str, ...]:
    """Args: last: the last verification; sync: how the table is followed; held: rows in the quarantine; covered: the
    columns that the target has.
    """
    return (*_of_verification(last), *_of_sync(sync), *_of_quarantine(held), *_of_columns(covered))


def _of_verification(last: TableVerification | None) -> Iterator[str]:
    if last is None:
        return
    if last.verdict is Verdict.DIFFERENT:
        rows = numbers.plural(last.differences, "row differs", more="rows differ")
        yield f"{rows}: gridferry repair writes just those, and can be undone"
    if last.unsettled:
        rows = numbers.plural(last.unsettled, "row")
        yield f"{rows} not settled: gridferry verify again, when the sync has caught up"


def _of_sync(sync: SyncStatus | None) -> Iterator[str]:
    if sync is None:
        return
    if sync.wal_status == _LOST:
        yield "the replication slot is lost: gridferry sync --new-slot, then gridferry repair"
    elif sync.wal_status == _LEAVING:
        yield "PostgreSQL will soon remove log that is not read yet: sync now, or raise max_slot_wal_keep_size"
    elif sync.failure is not None:
        step = sync.failure.next_step or "gridferry sync, once its reason is mended"
        yield f"the last sync failed ({sync.failure.since[:16].replace('T', ' ')} UTC): {sync.failure.message}. {step}"
    elif sync.state is SyncState.INTERRUPTED:
        yield "the last sync was interrupted: gridferry sync goes on where it stopped"
    elif sync.state is SyncState.NOT_BEGUN:
        yield "nothing was synced yet: gridferry sync"
    elif sync.state is not SyncState.RUNNING and (sync.lag_rows or 0) > 0:
        yield f"{numbers.plural(sync.lag_rows or 0, 'row')} to read: gridferry sync"


def _of_quarantine(held: int) -> Iterator[str]:
    if held:
        rows = numbers.plural(held, "row")
        yield (
            f"{rows} in quarantine, not stored: gridferry quarantine list says why; correct them in the source, "
            "then gridferry quarantine replay"
        )


def _of_columns(covered: Coverage | None) -> Iterator[str]:
    if covered is not None and covered.unconfirmed:
        columns = numbers.plural(len(covered.unconfirmed), "column")
        yield f"{columns} not in GridDB without a reason: {COLUMNS_STEP}"
