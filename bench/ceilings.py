"""What source and target can do on their own: rows read and thrown away, and encoded rows put again and again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

import pyarrow as pa
from bench.codec import SENSOR, sensor_rows
from bench.figures import Figure, RunFailed
from bench.processes import cpu_seconds
from bench.servers import PREFIX, Target
from bench.tables import SourceTable

from gridferry.griddb.handle import Handle
from gridferry.griddb.wire.encode import encode_rows
from gridferry.griddb.wire.octets import Writer
from gridferry.griddb.wire.row_requests import PutRows, Transaction
from gridferry.plan.plan import TablePlan
from gridferry.plan.planner import plan_table, profile_request
from gridferry.source.postgres.one_snapshot import PostgresSnapshot
from gridferry.source.postgres.session.connection import parse_address
from gridferry.source.postgres.source import PostgresSource
from gridferry.transform.compiled import compile_columns
from gridferry.transform.split import split_batch

ROWS_A_MESSAGE = 20_000
_ROWS_A_CHUNK = 100_000
_IN_FLIGHT = 4


def planned(view: PostgresSnapshot, table: SourceTable) -> TablePlan:
    """The plan that a load of this table would have."""
    (found,) = view.fetch_tables([f"public.{table.name}"])
    return plan_table(found, view.fetch_profile(profile_request(found, table.options)), table.options)


def measure_read(dsn: str, table: SourceTable, *, row: str, readers: Sequence[int]) -> list[Figure]:
    """Rows a second that arrive as Arrow batches and are dropped, by the number of readers."""
    with PostgresSource(parse_address(dsn)).open_snapshot() as view:
        plan = planned(view, table)
        return [_read_figure(view, plan, row=row, readers=count) for count in readers]


def _read_figure(view: PostgresSnapshot, plan: TablePlan, *, row: str, readers: int) -> Figure:
    (found,) = view.fetch_tables([plan.qualified])
    chunks = SimpleQueue()  # type: ignore[var-annotated]
    for chunk in view.plan_chunks(found, rows_per_chunk=_ROWS_A_CHUNK):
        chunks.put(chunk)
    counts: list[int] = []

    def work() -> None:
        with view.open_reader() as reader:
            while True:
                try:
                    chunk = chunks.get_nowait()
                except Empty:
                    return
                counts.append(sum(batch.num_rows for batch in reader.read_chunk(chunk, plan)))

    cpu = time.process_time()
    seconds = timed_threads([work] * readers)
    own = (time.process_time() - cpu) / sum(counts) * 1e6
    name = f"read {row}s, {readers} {'reader' if readers == 1 else 'readers'}"
    return Figure("ceilings", name, sum(counts) / seconds, "rows/s", note=f"own CPU {own:.2f} us a row")


def measure_put(target: Target, *, rows: int, connections: Sequence[int]) -> list[Figure]:
    """Rows a second that the target acknowledges, the frames being ready before; each connection its own container."""
    return [_put_figure(target, rows, count) for count in connections]


def _put_figure(target: Target, rows: int, connections: int) -> Figure:
    names = [f"{PREFIX}put_{number}" for number in range(connections)]
    each = rows // connections
    with target.connect() as store:
        store.drop_containers(names)
        containers = store.create_containers(names, SENSOR)
        handles = [container.handle for container in containers]
        bodies = [_bodies(handle, each, store.cluster.client) for handle in handles]

        def work(handle: Handle, ready: list[bytes]) -> None:
            with store.cluster.at_partition(handle.partition) as connection:
                sent: list[int] = []
                for body in ready:
                    if len(sent) >= _IN_FLIGHT:
                        connection.receive(sent.pop(0))
                    out = Writer()
                    out.raw(body)
                    sent.append(connection.send_body(PutRows.statement, out, partition=handle.partition))
                for number in sent:
                    connection.receive(number)

        before = cpu_seconds(target.pid)
        start = time.perf_counter()
        jobs = [_job(work, handle, ready) for handle, ready in zip(handles, bodies, strict=True)]
        timed_threads(jobs)
        # As a load does: what was acknowledged is brought to disk, and counted.
        store.flush(containers)
        if store.counts(containers) != [each] * connections:
            raise RunFailed("the target does not hold the rows that it acknowledged")
        seconds = time.perf_counter() - start
        note = _server_note(before, cpu_seconds(target.pid), each * connections)
        store.drop_containers(names)
    name = f"put sensor rows, {connections} {'connection' if connections == 1 else 'connections'}"
    return Figure(f"ceilings, {target.name}", name, each * connections / seconds, "rows/s", note=note)


def _job(work: Callable[[Handle, list[bytes]], None], handle: Handle, ready: list[bytes]) -> Callable[[], None]:
    return lambda: work(handle, ready)


def _bodies(handle: Handle, rows: int, client: bytes) -> list[bytes]:
    bodies = []
    for first in range(0, rows, ROWS_A_MESSAGE):
        count = min(ROWS_A_MESSAGE, rows - first)
        image = encode_rows(SENSOR, sensor_rows(count, first=first)).image()
        out = Writer()
        PutRows(handle.container_id, Transaction(handle.version, client=client), count, image).write(out)
        bodies.append(b"".join(out.parts))
    return bodies


def _server_note(before: float | None, after: float | None, rows: int) -> str:
    return "" if before is None or after is None else f"server CPU {(after - before) / rows * 1e6:.2f} us a row"


def measure_transform(dsn: str, table: SourceTable, *, row: str, times: int) -> Figure:
    """Microseconds a row of transform and split, over batches as the reader gives them."""
    with PostgresSource(parse_address(dsn)).open_snapshot() as view:
        plan = planned(view, table)
        (found,) = view.fetch_tables([plan.qualified])
        chunk = view.plan_chunks(found, rows_per_chunk=_ROWS_A_CHUNK)[0]
        with view.open_reader() as reader:
            batches: list[pa.RecordBatch] = list(reader.read_chunk(chunk, plan))
    transform = compile_columns(plan)
    place = batches[0].schema.get_field_index(plan.split_by) if plan.split_by is not None else None
    start = time.process_time()
    for _ in range(times):
        for batch in batches:
            split_batch(transform.transform(batch).batch, None if place is None else batch.column(place))
    seconds = time.process_time() - start
    return Figure(
        "codec", f"transform and split a {row}", seconds / (times * sum(b.num_rows for b in batches)) * 1e6, "us"
    )


def timed_threads(jobs: Sequence[Callable[[], None]]) -> float:
    """Run jobs side by side; seconds until the last has ended. Raises: the first error."""
    errors: list[BaseException] = []

    def guarded(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - start
    if errors:
        raise errors[0]
    return seconds
