"""Keeping tables in step, and the proof that they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from gridferry.airflow.base import TEMPLATED, FerryTask
from gridferry.airflow.compat import AirflowException, AirflowFailException, Context
from gridferry.airflow.failures import tells_airflow
from gridferry.airflow.load_operators import as_bool, coverage_facts, require_stored
from gridferry.airflow.progress import speed
from gridferry.airflow.triggers import StateTrigger, wait_for
from gridferry.errors import ConfigError, FerryError
from gridferry.model import coverage_words
from gridferry.model.coverage_words import QUARANTINE_STEP
from gridferry.model.failed_tables import Deed, FailedTable, SomeTablesFailed
from gridferry.model.moment import moment_of
from gridferry.numbers import duration, plural

if TYPE_CHECKING:
    from gridferry.engine.events import TableSync
    from gridferry.engine.migration import Migration
    from gridferry.model.repair import RepairReport
    from gridferry.model.verification import TableVerification, VerifyReport

_SHOWN = 5
SYNC = Deed("sync", "synced", "then clear the task")
_MEND = "`gridferry verify` lists them, `gridferry repair` fixes them; so does repair=True here"


class GridFerrySyncOperator(FerryTask):
    """Stores everything committed before the task began in the loaded tables. Nothing new is a success.

    Args: sweep: look at whole tables, for rows later than the lookback; wait_s: how long to wait for another run;
        accept_quarantined: rows in the quarantine are reported, False: they fail the task, once all is synced.
    Returns: a document for each table: rows, deleted, rows_per_second, as_of, lag_seconds, coverage.
    """

    template_fields: Sequence[str] = (*TEMPLATED, "sweep", "accept_quarantined")

    def __init__(
        self,
        *,
        sweep: bool = False,
        rows_per_chunk: int = 100_000,
        wait_s: float = 0.0,
        accept_quarantined: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.accept_quarantined = accept_quarantined
        self.sweep = sweep
        self.rows_per_chunk = rows_per_chunk
        self.wait_s = wait_s

    @property
    def wanted(self) -> list[str]:
        """The tables asked for; without a wish those with a `sync` in the config."""
        if self.named or self.settings.patterns():
            return self.named
        followed = [options.table for options in self.settings.tables() if options.sync is not None]
        if not followed:
            raise AirflowFailException("no table in the config is to be followed; add `sync: {mode: watermark}` to one")
        return followed

    def meant(self, migration: Migration) -> list[str]:
        """The tables asked for that are loaded; new ones among them where the config lets a sync load them."""
        from gridferry.engine.sync.new_tables import Arrivals

        if not migration.endpoints.config.patterns:
            return self.wanted
        arrivals = Arrivals(migration.endpoints, wait_s=self.wait_s, rows_per_chunk=self.rows_per_chunk, follow=True)
        return [each.table for each in arrivals.first(self.named) if self.named or each.sync is not None]

    @tells_airflow
    def execute(self, context: Context) -> list[dict[str, Any]]:
        """One bounded run over all tables; one that fails does not stop the others."""
        return self._stored(context, self._run(context))

    def _run(self, context: Context) -> list[dict[str, Any]]:
        from gridferry.engine.each_table import Tried

        with self.migration() as migration:
            tables, left_out = self._followed(migration, self.meant(migration))
            done, failures, not_tried = self._synced(migration, tables)
            for one in done:
                self._told(context, migration, one)
            facts = tuple(sync_facts(one) for one in done)
            Tried(facts, tuple(one.table for one in done), (*failures, *left_out), not_tried).require(SYNC)
            return list(facts)

    def _synced(
        self, migration: Migration, tables: list[str]
    ) -> tuple[list[TableSync], tuple[FailedTable, ...], tuple[str, ...]]:
        """One sync over all tables, those of one slot by one run: what was done, what failed, what was not tried."""
        if not tables:
            return [], (), ()
        try:
            done = migration.syncs.sync(
                tables, sweep=as_bool(self.sweep), rows_per_chunk=self.rows_per_chunk, wait_s=self.wait_s
            )
        except SomeTablesFailed as failed:
            return failed.done, failed.failures, failed.not_tried
        except FerryError as error:  # of the only table, or of all alike
            return [], (FailedTable(", ".join(tables), error),), ()
        return done, (), ()

    def _followed(self, migration: Migration, tables: list[str]) -> tuple[list[str], tuple[FailedTable, ...]]:
        """Those that nobody has paused or removed, nor is bringing back; of others the log tells. Those that are named
        all the same fail.
        """
        from gridferry.plan.table_options import table_options

        standings = migration.endpoints.state.standings.all()
        found, failures = [], []
        for table in tables:
            standing = standings.get(table_options(table=table).qualified)
            if standing is None:
                found.append(table)
            elif self.named:
                error = ConfigError(
                    f"{standing.table} {standing.said}", state="nothing was changed", next_step="run that first"
                )
                failures.append(FailedTable(standing.table, error))
            else:
                self.log.warning("%s: left out: it %s", table, standing.said)
        return found, tuple(failures)

    def _stored(self, context: Context, done: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return require_stored(context, done, accepted=as_bool(self.accept_quarantined))

    def _told(self, context: Context, migration: Migration, done: TableSync) -> None:
        """Log what a table's sync did, and put it into the asset events."""
        self.tell(context, migration, done.table, sync_facts(done), done.as_of)
        self.log.info(
            "%s: %s: %s (%s read, %s deleted); synced through %s",
            done.table,
            done.outcome,
            speed(done.rows, done.octets, done.seconds),
            f"{done.read:,}",
            f"{done.deleted:,}",
            done.as_of,
        )
        if done.coverage.quarantined:
            rows = plural(done.coverage.quarantined, "row")
            self.log.warning("%s: %s in quarantine, not stored", done.table, rows)
        for note in (*coverage_words.remarks(done.coverage), *done.notes):
            self.log.warning("%s: %s", done.table, note)


class GridFerryFollowOperator(GridFerrySyncOperator):
    """Follows tables for a time: syncs, and holds no worker while there is nothing to do.

    While tables are level the task is deferred: a trigger asks the source every `poll_s` seconds whether something
    waits, and then the task wakes for another bounded sync.
    Args: for_s: how long, from the beginning of the task; poll_s: seconds between two looks.
    Returns: as a sync, summed over all of them.
    """

    def __init__(self, *, for_s: float = 3600.0, poll_s: float = 15.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.for_s = for_s
        self.poll_s = poll_s

    @tells_airflow
    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Sync, then wait for changes."""
        until = datetime.now(timezone.utc) + timedelta(seconds=self.for_s)
        return self._follow(context, until=until.isoformat(), before=[])

    @tells_airflow
    def wake(self, context: Context, event: dict[str, Any]) -> list[dict[str, Any]]:
        """Go on after the trigger fired: there is something to do, or the time is over."""
        if event.get("error"):
            raise AirflowFailException(event["error"])
        return self._follow(context, until=event["carried"]["until"], before=event["carried"]["before"])

    def _follow(self, context: Context, *, until: str, before: list[dict[str, Any]]) -> list[dict[str, Any]]:
        done = _summed(before, self._run(context))
        if datetime.now(timezone.utc) >= datetime.fromisoformat(until):
            # Not before: a row that cannot be stored must not end the following of all others.
            return self._stored(context, done)
        trigger = StateTrigger.of(
            self.settings,
            self.wanted,
            kind="work",
            poll_s=self.poll_s,
            until=until,
            carried={"until": until, "before": done},
        )
        wait_for(self, trigger, method="wake")
        return done


class GridFerryVerifyOperator(FerryTask):
    """Compares both sides value by value, and fails where they differ: then the task is red, and is not tried again.

    Rows that never settled are no difference: then the task is tried again. With `repair` the rows that were proven to
    differ are written and deleted, journaled, and read again; the task fails only for what is left.
    Args: quick: rows and key bounds only, not with repair; wait_s: how long a repair waits for another run; settle_s:
        how long to look again at rows that change meanwhile; sync: run bounded syncs meanwhile, where nobody else
        does; differences_file: a .parquet or .jsonl file for every difference, as a path on the workers;
        accept_quarantined: rows in the quarantine, which are not stored, do not fail the task by themselves.
    All tables of the task are compared as of one snapshot, and the verdict is one: without `tables` the database's.
    Returns: a document for each table: verdict, rows, differences, rows_per_second, coverage. The XCom `verdict` has
    the one of all: verdict, headline, snapshots.
    """

    template_fields: Sequence[str] = (*TEMPLATED, "quick", "repair", "differences_file", "accept_quarantined")

    def __init__(
        self,
        *,
        quick: bool = False,
        repair: bool = False,
        wait_s: float = 0.0,
        settle_s: float | None = None,
        sync: bool = False,
        differences_file: str = "",
        accept_quarantined: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.accept_quarantined = accept_quarantined
        self.quick = quick
        self.repair = repair
        self.wait_s = wait_s
        self.settle_s = settle_s
        self.sync = sync
        self.differences_file = differences_file

    @tells_airflow
    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Compare the tables, and repair them if asked. Raises: AirflowFailException for `quick` with `repair`."""
        from gridferry.model.verdict_words import sentence
        from gridferry.model.verification import EXIT_CODES, Verdict

        if as_bool(self.quick) and as_bool(self.repair):
            raise ConfigError(
                "quick and repair do not go together", next_step="leave one out: a repair needs every value"
            )
        with self.migration() as migration:
            repaired, failed = self._repair(migration) if as_bool(self.repair) else (None, None)
            if repaired is None:
                report, failed = self._verify(migration)
            else:
                report = repaired.verification
            for table in report.tables:
                self._tell(migration, table)
        done = self._facts(report, repaired)
        context["ti"].xcom_push(key="verification", value=done)
        context["ti"].xcom_push(key="verdict", value=verdict_facts(report, repaired))
        if failed is not None:
            raise failed
        self.log.info("%s", sentence(report))
        verdict = repaired.verdict if repaired else report.verdict
        exit_code = EXIT_CODES[verdict]
        if verdict is Verdict.INCOMPLETE:
            _require_whole(report)
            if as_bool(self.accept_quarantined):
                return done
            stands = replace(report, tables=repaired.standing) if repaired else report
            raise AirflowFailException(f"{sentence(stands)}; {QUARANTINE_STEP}; or set accept_quarantined=True")
        if exit_code == 1:
            raise AirflowFailException(_said(report))
        if exit_code:
            raise AirflowException("some rows changed faster than they were synced; nothing else differs")
        return done

    def _facts(self, report: VerifyReport, repaired: RepairReport | None) -> list[dict[str, Any]]:
        """What was found of each table that was compared, and what was repaired of it."""
        repairs = {repair.table: repair for repair in (repaired.tables if repaired else ())}
        done = []
        for table in report.tables:
            facts, repair = verify_facts(table), repairs.get(table.table)
            if repair is not None:
                facts |= {"repaired": repair.rows, "repair": repair.run}
            if repair is not None and repair.run:
                self.log.info("%s: %s repaired, in the run %s", repair.table, plural(repair.rows, "row"), repair.run)
            done.append(facts)
        return done

    def _verify(self, migration: Migration) -> tuple[VerifyReport, SomeTablesFailed | None]:
        try:
            report = migration.verifications.verify(
                self.named,  # none: all, with what the verdict says of those that are left out
                quick=as_bool(self.quick),
                output=self.differences_file or None,
                settle_s=self.settle_s,
                sync=self.sync,
            )
        except SomeTablesFailed as failed:
            return failed.done, failed
        return report, None

    def _repair(self, migration: Migration) -> tuple[RepairReport, SomeTablesFailed | None]:
        try:
            done = migration.repairs.repair(
                self.named,
                wait_s=self.wait_s,
                output=self.differences_file or None,
                settle_s=self.settle_s,
                sync=self.sync,
            )
        except SomeTablesFailed as failed:
            return failed.done, failed
        return done, None

    def _tell(self, migration: Migration, table: TableVerification) -> None:
        self.log.info(
            "%s: %s; %s in %s compared in %s, %s",
            table.table,
            table.verdict.value,
            plural(table.source_rows, "row"),
            plural(table.containers_total, "container"),
            duration(table.seconds),
            plural(table.differences, "difference"),
        )
        for note in (*coverage_words.remarks(table.coverage), *table.notes):
            self.log.warning("%s: %s", table.table, note)
        self.remember_lineage(migration, table.table, [container.name for container in table.containers])


def verify_facts(table: TableVerification) -> dict[str, Any]:
    """A verification as a document for XCom. Of the differences there are numbers only: values may be private."""
    return {
        "table": table.table,
        "verdict": table.verdict.value,
        "depth": table.depth.value,
        "rows": table.source_rows,
        "rows_in_griddb": table.target_rows,
        "containers": table.containers_total,
        "missing": table.missing,
        "extra": table.extra,
        "different": table.different,
        "doubled": table.doubled,
        "unsettled": table.unsettled,
        "quarantined": table.quarantined,
        "superseded": table.superseded,
        "coverage": coverage_facts(table.coverage),
        "seconds": round(table.seconds, 3),
        "rows_per_second": round(table.rows_per_second),
        "as_of": table.snapshot_at,
    }


def verdict_facts(report: VerifyReport, repaired: RepairReport | None) -> dict[str, Any]:
    """The one verdict on all tables as a document for XCom; after a repair, how they are now."""
    from gridferry.model.verdict_words import sentence

    verdict = report.verdict if repaired is None else repaired.verdict
    return {
        "verdict": verdict.value,
        "headline": sentence(report),
        "snapshots": [{"at": at, "lsn": lsn} for at, lsn in report.snapshots],
        "tables": len(report.tables),
        "not_compared": report.missing,
        "differences": report.differences,
        "repair": "" if repaired is None else repaired.run,
    }


def _require_whole(report: VerifyReport) -> None:
    """Return if no table was left out. Raises: AirflowFailException; no quarantine that is accepted helps then."""
    from gridferry.model.verdict_words import sentence

    if report.new:
        raise AirflowFailException(f"{sentence(report)}; {coverage_words.new_tables(report.new)}: load them first")
    if report.partly_left:
        left = report.left_out or tuple(f"{table} was removed" for table in report.removed)
        raise AirflowFailException(f"{sentence(report)}; left out: {'; '.join(left)}")


def _said(report: VerifyReport) -> str:
    """How many rows differ, and where; one line."""
    from gridferry.model.verdict_words import sentence
    from gridferry.model.verification import Verdict

    wrong = [c for table in report.tables for c in table.containers if c.verdict is Verdict.DIFFERENT]
    shown = ", ".join(f"{c.name} ({c.note or f'{c.differences:,}'})" for c in wrong[:_SHOWN])
    more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    where = f"; all of them are in {report.output}" if report.output else ""
    differ = f"{plural(report.differences, 'row')} {'differs' if report.differences == 1 else 'differ'}"
    if report.is_of_several:
        differ = sentence(report)
    return f"{differ}, in {plural(len(wrong), 'container')}: {shown}{more}{where}; {_MEND}"


def sync_facts(done: TableSync) -> dict[str, Any]:
    """A sync as a document for XCom and asset events."""
    return {
        "table": done.table,
        "outcome": done.outcome.value,
        "rows_synced": done.rows,
        "deleted": done.deleted,
        "quarantined": done.quarantined,
        "coverage": coverage_facts(done.coverage),
        "seconds": round(done.seconds, 3),
        "rows_per_second": round(done.rows / done.seconds) if done.seconds else 0,
        "as_of": done.as_of,
        "lag_seconds": _age_s(done.as_of),
        "containers_touched": done.touched,
        "containers_created": len(done.created),
    }


def _summed(before: list[dict[str, Any]], now: list[dict[str, Any]]) -> list[dict[str, Any]]:
    known = {document["table"]: document for document in before}
    counted = ("rows_synced", "deleted", "quarantined", "seconds", "containers_created")
    return [{**d, **{key: d[key] + known.get(d["table"], {}).get(key, 0) for key in counted}} for d in now]


def _age_s(stamp: str) -> float | None:
    if not stamp:
        return None
    return max(0.0, round((datetime.now(timezone.utc) - moment_of(stamp)).total_seconds(), 3))
