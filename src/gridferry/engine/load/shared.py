"""One table's load, shared by several processes: one prepares it, many read a bucket of its chunks each, one ends it.

No snapshot can be shared: it ends with the session that exported it, and processes come and go. So each bucket reads
under one of its own, later than that of the preparation, and the end is a resume under yet another one, which reads
the rows that moved meanwhile. docs/adr/0012 says why nothing is missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from gridferry.checkpoint.lease import Lease
from gridferry.checkpoint.runs import LoadRun, RunState
from gridferry.checkpoint.state import TargetState
from gridferry.engine.events import BucketLoad, Level, Listener, LoadPart, Note, PreparedLoad
from gridferry.engine.load.copying import Copying, LoadOptions, OpensSnapshots, TableCopy
from gridferry.engine.load.table_load import TableLoader
from gridferry.engine.slots import SlotOfLoad
from gridferry.errors import CheckpointError, ConfigError
from gridferry.model.chunk import ChunkKind
from gridferry.model.outcomes import LoadOutcome
from gridferry.plan.table_options import TableOptions

MOST_BUCKETS = 64
ROWS_PER_BUCKET = 250_000


class SharedLoad:
    """The buckets of one table's shared load. Each may be read in another process, and again at any time."""

    def __init__(
        self,
        *,
        source: OpensSnapshots,
        state: TargetState,
        options: TableOptions,
        load: LoadOptions,
        listener: Listener,
        slot: SlotOfLoad | None = None,
    ) -> None:
        """Args: as of `TableLoader`."""
        self._source = source
        self._state = state
        self._options = options
        self._load = load
        self._tell = listener
        self._slot = slot
        self._table = options.qualified

    def load_bucket(self, bucket: int, of: int) -> BucketLoad:
        """Copy the chunks of one bucket that are not done. Other buckets may be read at the same time.

        Raises: ConfigError where nothing is prepared; LeaseHeld while another run works on the whole table; any
        FerryError. Chunks that are done stay done, and the same call goes on from there.
        """
        if not 0 <= bucket < of:
            raise ConfigError(f"there is no bucket {bucket} of {of}: they count from 0")
        with self._state.lease(self._table, part=f"{bucket}/{of}", wait_s=self._load.wait_s) as lease:
            run = require_prepared(self._state, self._table)
            if run.state is RunState.LOADED:
                return BucketLoad(self._table, bucket, of, LoadOutcome.ALREADY_LOADED)
            mine = {c.number for c in run.chunks if c.number % of == bucket} - set(run.finished)
            if not mine:
                return BucketLoad(self._table, bucket, of, LoadOutcome.NOTHING_LEFT)
            return self._copy(run, lease, mine, bucket=bucket, of=of)

    def _copy(self, run: LoadRun, lease: Lease, mine: set[int], *, bucket: int, of: int) -> BucketLoad:
        with self._source.open_snapshot() as view:
            (table,) = view.fetch_tables([self._options.table])
            run, _ = self._loader(self._load).require_same(view, table, run)
            if run.snapshot is None:
                raise CheckpointError(f"the load of {run.table} has no snapshot", next_step="load it with --replace")
            if self._slot is not None:
                self._slot.check(run)
            # Locks the table against rewrites, and leaves out chunks that one has made meaningless.
            standing = view.chunks_to_resume(
                table,
                planned=run.chunks,
                finished=frozenset(),
                old=run.snapshot,
                rows_per_chunk=self._load.rows_per_chunk,
            )
            chunks = [chunk for chunk in standing.chunks if chunk.number in mine]
            if len(chunks) < len([c for c in run.chunks if c.number in mine and c.kind is not ChunkKind.RECENT]):
                message = "the table was rewritten since the load was prepared; the end of the load reads it again"
                self._tell(Note(run.table, message, Level.WARNING))
            copy = TableCopy(self._state, run, lease, chunks=chunks)
            Copying(self._state, view, [copy], self._load, self._tell).run()
            if copy.error is not None:
                raise copy.error
            return BucketLoad(
                self._table,
                bucket,
                of,
                LoadOutcome.LOADED,
                rows=copy.rows,
                octets=copy.octets,
                seconds=copy.seconds,
                chunks=len(chunks),
                quarantined=copy.quarantined,
            )

    def _loader(self, load: LoadOptions) -> TableLoader:
        return TableLoader(
            source=self._source,
            state=self._state,
            options=self._options,
            load=load,
            listener=self._tell,
            slot=self._slot,
        )


def require_prepared(state: TargetState, table: str) -> LoadRun:
    """The load of a table (`schema.table`) that was prepared, or is loaded. Raises: ConfigError; CheckpointError."""
    run = state.runs.get(table)
    if run is None or run.state is RunState.REPLACING:
        raise ConfigError(
            f"the load of {table} is not prepared",
            state="nothing was changed",
            next_step="prepare it first",
        )
    return run


def deal(
    prepared: Sequence[PreparedLoad], *, most: int = MOST_BUCKETS, rows_per_bucket: int = ROWS_PER_BUCKET
) -> list[tuple[LoadPart, ...]]:
    """The work on several tables in at most `most` shares of like size; none where nothing is left to read.

    A large table is cut into buckets of about `rows_per_bucket` rows; a share may hold buckets of several tables.
    """
    wanted = {p.table: max(1, min(p.waiting, ceil(p.waiting_rows / rows_per_bucket))) for p in prepared if p.waiting}
    scale = min(1.0, most / max(1, sum(wanted.values())))
    sized: list[tuple[float, LoadPart]] = []
    for each in prepared:
        if each.waiting:
            of = max(1, int(wanted[each.table] * scale))
            sized += [(each.waiting_rows / of, LoadPart(each.table, bucket, of)) for bucket in range(of)]
    shares: list[list[LoadPart]] = [[] for _ in range(min(most, len(sized)))]
    sizes = [0.0] * len(shares)
    for rows, part in sorted(sized, key=lambda pair: (-pair[0], pair[1].table, pair[1].bucket)):
        smallest = min(range(len(shares)), key=lambda number: (sizes[number], len(shares[number])))
        shares[smallest].append(part)
        sizes[smallest] += rows
    return [tuple(share) for share in shares]
