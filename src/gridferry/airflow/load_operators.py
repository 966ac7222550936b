"""The first load: by one task, or shared by many: prepared once, read in buckets, ended by another task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gridferry.airflow.base import TEMPLATED, FerryTask
from gridferry.airflow.compat import AirflowFailException, Context
from gridferry.airflow.failures import tells_airflow
from gridferry.airflow.progress import speed
from gridferry.model import coverage_words
from gridferry.model.coverage_words import QUARANTINE_STEP
from gridferry.model.failed_tables import Deed
from gridferry.model.outcomes import LoadOutcome
from gridferry.numbers import plural

if TYPE_CHECKING:
    from gridferry.engine.events import BucketLoad, PreparedLoad, TableLoad
    from gridferry.engine.migration import Migration
    from gridferry.model.coverage import Coverage

MOST_BUCKETS = 64
LOAD = Deed("load", "loaded", "then clear the task: loaded tables are left as they are")
PREPARE = Deed("prepare", "prepared", "then clear the task")


class GridFerryLoadOperator(FerryTask):
    """Loads tables in this one task. Run again after any failure, it goes on; loaded tables are left as they are.

    Args: replace: drop what is in the way first; workers: threads, as many as processors without; rows_per_chunk:
        about what is read again at most after a failure; wait_s: how long to wait for another run on a table;
        accept_quarantined: rows in the quarantine are reported, False: they fail the task.
    Returns: a document for each table, with rows, rows_per_second and coverage.
    """

    template_fields: Sequence[str] = (*TEMPLATED, "replace", "accept_quarantined")

    def __init__(
        self,
        *,
        replace: bool = False,
        workers: int | None = None,
        rows_per_chunk: int = 100_000,
        wait_s: float = 0.0,
        accept_quarantined: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.replace = replace
        self.workers = workers
        self.rows_per_chunk = rows_per_chunk
        self.wait_s = wait_s
        self.accept_quarantined = accept_quarantined

    @tells_airflow
    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Load the tables, one after the other; one that fails does not stop the others."""
        with self.migration() as migration:

            def load(table: str) -> dict[str, Any]:
                (done,) = migration.loads.load(
                    [table],
                    replace=as_bool(self.replace),
                    workers=self.workers,
                    rows_per_chunk=self.rows_per_chunk,
                    wait_s=self.wait_s,
                )
                return tell_load(self, context, migration, table, done)

            done = self.each(LOAD, load, self.meant(migration))
        return require_stored(context, done, accepted=as_bool(self.accept_quarantined))


class GridFerryPrepareLoadOperator(FerryTask):
    """Plans tables, makes their containers and deals their chunks into at most `most_buckets` buckets.

    Returns: the buckets, each a document for one `GridFerryLoadBucketOperator`; at least one, so that a run without
        work is a run that succeeds.
    """

    template_fields: Sequence[str] = (*TEMPLATED, "replace")

    def __init__(
        self,
        *,
        most_buckets: int = MOST_BUCKETS,
        rows_per_bucket: int = 250_000,
        replace: bool = False,
        rows_per_chunk: int = 100_000,
        wait_s: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not 1 <= most_buckets <= MOST_BUCKETS:
            raise AirflowFailException(f"most_buckets must be between 1 and {MOST_BUCKETS}")
        if rows_per_bucket < 1:
            raise AirflowFailException("rows_per_bucket must be 1 or more")
        self.most_buckets = most_buckets
        self.rows_per_bucket = rows_per_bucket
        self.replace = replace
        self.rows_per_chunk = rows_per_chunk
        self.wait_s = wait_s

    @tells_airflow
    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Prepare the tables and say who reads what."""
        from gridferry.engine.load.shared import deal

        with self.migration() as migration:

            def prepare(table: str) -> PreparedLoad:
                each = migration.loads.prepare(
                    table,
                    replace=as_bool(self.replace),
                    rows_per_chunk=self.rows_per_chunk,
                    wait_s=self.wait_s,
                )
                self.log.info(
                    "%s: %s, %s of %s chunks to read, %s containers",
                    each.table,
                    each.outcome,
                    f"{each.waiting:,}",
                    f"{each.chunks:,}",
                    f"{each.containers:,}",
                )
                return each

            prepared = self.each(PREPARE, prepare, self.meant(migration))
        shares = deal(prepared, most=self.most_buckets, rows_per_bucket=self.rows_per_bucket)
        self.log.info("%s buckets", len(shares))
        buckets: list[dict[str, Any]] = [
            {"parts": [{"table": part.table, "bucket": part.bucket, "of": part.of} for part in share]}
            for share in shares
        ]
        idle = max(1, self._mapped_before(context)) - len(buckets)
        return buckets + [{"parts": []} for _ in range(idle)]

    def _mapped_before(self, context: Context) -> int:
        """How many tasks read the buckets when this run, now cleared, went before.

        It keeps their number: Airflow 3.2 removes those that are too many, waits for them all the same before `finish`,
        and so fails the run.
        """
        run = context["ti"]
        mapped = [task.task_id for task in self.downstream_list if task.is_mapped]
        counts = [run.get_ti_count(dag_id=run.dag_id, task_ids=[name], run_ids=[run.run_id]) for name in mapped]
        return max(counts, default=0)


class GridFerryLoadBucketOperator(FerryTask):
    """Reads one bucket: `.expand_kwargs(...)` over what `GridFerryPrepareLoadOperator` returned.

    `map_index_template="{{ bucket }}"` shows each as `schema.table 3/16`.

    Args: parts: documents of table, bucket and of; workers: threads in this task.
    Returns: rows, chunks and rows_per_second of the bucket.
    """

    template_fields: Sequence[str] = (*TEMPLATED, "parts")

    def __init__(
        self,
        *,
        parts: Sequence[dict[str, Any]],
        workers: int = 1,
        rows_per_chunk: int = 100_000,
        wait_s: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.parts = parts
        self.workers = workers
        self.rows_per_chunk = rows_per_chunk
        self.wait_s = wait_s

    @tells_airflow
    def execute(self, context: Context) -> dict[str, Any]:
        """Read what is left of the bucket."""
        context["bucket"] = ", ".join(f"{p['table']} {p['bucket'] + 1}/{p['of']}" for p in self.parts) or "nothing left"
        with self.migration() as migration:

            def read(part: dict[str, Any]) -> BucketLoad:
                done = migration.loads.load_bucket(
                    part["table"],
                    bucket=part["bucket"],
                    of=part["of"],
                    workers=self.workers,
                    rows_per_chunk=self.rows_per_chunk,
                    wait_s=self.wait_s,
                )
                place = f"{done.table}, bucket {done.bucket + 1} of {done.of}"
                self.log.info("%s: %s: %s", place, done.outcome, speed(done.rows, done.octets, done.seconds))
                return done

            buckets = self.each(LOAD, read, self.parts, name=lambda part: str(part["table"]))
        rows = sum(done.rows for done in buckets)
        chunks, quarantined = sum(done.chunks for done in buckets), sum(done.quarantined for done in buckets)
        seconds = sum(done.seconds for done in buckets)
        return {
            "rows": rows,
            "chunks": chunks,
            "quarantined": quarantined,
            "seconds": round(seconds, 3),
            "rows_per_second": round(rows / seconds) if seconds else 0,
        }


class GridFerryFinishLoadOperator(FerryTask):
    """Ends shared loads: reads what moved meanwhile, counts both sides, and marks each table as loaded.

    Args: accept_quarantined: rows in the quarantine are reported, False: they fail the task.
    Returns: a document for each table, as `GridFerryLoadOperator`.
    """

    template_fields: Sequence[str] = (*TEMPLATED, "accept_quarantined")

    def __init__(
        self,
        *,
        rows_per_chunk: int = 100_000,
        wait_s: float = 0.0,
        accept_quarantined: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.rows_per_chunk = rows_per_chunk
        self.wait_s = wait_s
        self.accept_quarantined = accept_quarantined

    @tells_airflow
    def execute(self, context: Context) -> list[dict[str, Any]]:
        """End the loads, one table after the other; one that fails does not stop the others."""
        with self.migration() as migration:

            def finish(table: str) -> dict[str, Any]:
                load = migration.loads.finish(table, rows_per_chunk=self.rows_per_chunk, wait_s=self.wait_s)
                if load.outcome is LoadOutcome.RESUMED:
                    load = replace(
                        load, outcome=LoadOutcome.LOADED
                    )  # to whoever looks at the task, all of it was one load
                return tell_load(self, context, migration, table, load)

            done = self.each(LOAD, finish, self._begun(migration))
        return require_stored(context, done, accepted=as_bool(self.accept_quarantined))

    def _begun(self, migration: Migration) -> list[str]:
        """The tables asked for whose load is prepared: a table may have come since."""
        if self.named or not migration.endpoints.config.patterns:
            return self.wanted
        standing = migration.endpoints.standing(then="gridferry load")
        return [options.table for options in standing.tables if options.qualified not in standing.removed]


def tell_load(task: FerryTask, context: Context, migration: Migration, table: str, load: TableLoad) -> dict[str, Any]:
    """Log a load, put it into the task's asset events, and return it as a document for XCom."""
    (status,) = migration.status.tables([table])
    facts = {
        "table": load.table,
        "outcome": load.outcome.value,
        "rows_loaded": load.rows,
        "seconds": round(load.seconds, 3),
        "rows_per_second": round(load.rows_per_second),
        "quarantined": load.quarantined,
        "superseded": load.superseded,
    }
    watermark = status.sync.as_of if status.sync is not None and status.sync.as_of else status.finished_at
    task.tell(context, migration, table, facts, watermark)
    task.log.info(
        "%s: %s: %s stored in %s; read by this task: %s",
        load.table,
        load.outcome,
        plural(status.rows, "row"),
        plural(status.containers, "container"),
        speed(load.rows, load.octets, load.seconds),
    )
    covered = status.coverage
    for remark in coverage_words.remarks(covered):
        task.log.warning("%s: %s", load.table, remark)
    if covered.quarantined:
        task.log.warning("%s: %s in quarantine, not stored", load.table, plural(covered.quarantined, "row"))
    return {
        **facts,
        "quarantined": covered.quarantined,
        "rows": status.rows,
        "containers": status.containers,
        "coverage": coverage_facts(covered),
        "notes": list(load.notes),
    }


def coverage_facts(covered: Coverage) -> dict[str, Any]:
    """How much of a table is in GridDB, for XCom: numbers, the condition, and the columns that are left out."""
    return {
        "columns": covered.columns,
        "columns_compared": covered.compared,
        "columns_lossy": list(covered.lossy),
        "columns_left_out": [column.name for column in covered.left_out],
        "where": covered.where,
        "quarantined": covered.quarantined,
        "superseded": covered.superseded,
    }


def require_stored(context: Context, done: list[dict[str, Any]], *, accepted: bool) -> list[dict[str, Any]]:
    """The documents, where all rows of their tables are stored, or it is `accepted` that some are not.

    It is by default: the config asked for the quarantine, what was stored has its asset events, and the verification
    tells. Raises: AirflowFailException: trying again would not store them. What was done stays, and is in the XCom
    `coverage` then.
    """
    held = {} if accepted else {document["table"]: document["coverage"]["quarantined"] for document in done}
    if not sum(held.values()):
        return done
    said = ", ".join(f"{plural(rows, 'row')} of {table}" for table, rows in held.items() if rows)
    context["ti"].xcom_push(key="coverage", value=done)
    raise AirflowFailException(
        f"{said} in quarantine, not stored; {QUARANTINE_STEP}; or leave accept_quarantined=False out"
    )


def as_bool(value: Any) -> bool:
    """A flag that may come out of a template as text."""
    return value.strip().lower() in ("true", "1", "yes") if isinstance(value, str) else bool(value)
