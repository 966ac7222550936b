"""Keeping tables in step, and the proof that they are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from gridferry.airflow.base import TEMPLATED, FerryTask
from gridferry.airflow.compat import AirflowFailException, Context
from gridferry.airflow.load_operators import as_bool
from gridferry.airflow.progress import speed
from gridferry.airflow.triggers import StateTrigger, wait_for

if TYPE_CHECKING:
    from gridferry.engine.events import TableSync
    from gridferry.engine.migration import Migration

_SHOWN = 5


class GridFerrySyncOperator(FerryTask):
    """Brings loaded tables level with everything committed before the task began. Nothing new is a success.

    Args: sweep: look at whole tables, for rows later than the lookback; wait_s: how long to wait for another run.
    Returns: a document for each table: rows, deleted, rows_per_second, as_of, lag_seconds.
    """

    template_fields: Sequence[str] = (*TEMPLATED, "sweep")

    def __init__(
        self, *, sweep: bool = False, rows_per_chunk: int = 100_000, wait_s: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.sweep = sweep
        self.rows_per_chunk = rows_per_chunk
        self.wait_s = wait_s

    @property
    def wanted(self) -> list[str]:
        """The tables asked for; without a wish those with a `sync` in the config."""
        if self.tables:
            return super().wanted
        followed = [options.table for options in self.settings.tables() if options.sync is not None]
        if not followed:
            raise AirflowFailException("no table in the config is to be followed; add `sync: {mode: watermark}` to one")
        return followed

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """One bounded run over each table."""
        with self.migration() as migration:
            return [self._sync(context, migration, table) for table in self.wanted]

    def _sync(self, context: Context, migration: Migration, table: str) -> dict[str, Any]:
        (done,) = migration.sync(
            [table], sweep=as_bool(self.sweep), rows_per_chunk=self.rows_per_chunk, wait_s=self.wait_s
        )
        facts = sync_facts(done)
        self.tell(context, migration, table, facts, done.as_of)
        self.log.info(
            "%s: %s, %s changes read, %s, %s deleted; level with %s",
            done.table,
            done.outcome,
            f"{done.read:,}",
            speed(done.rows, done.octets, done.seconds),
            f"{done.deleted:,}",
            done.as_of,
        )
        for note in done.notes:
            self.log.warning("%s: %s", done.table, note)
        return facts


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

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Sync, then wait for changes."""
        until = datetime.now(timezone.utc) + timedelta(seconds=self.for_s)
        return self._follow(context, until=until.isoformat(), before=[])

    def wake(self, context: Context, event: dict[str, Any]) -> list[dict[str, Any]]:
        """Go on after the trigger fired: there is something to do, or the time is over."""
        if event.get("error"):
            raise AirflowFailException(event["error"])
        return self._follow(context, until=event["carried"]["until"], before=event["carried"]["before"])

    def _follow(self, context: Context, *, until: str, before: list[dict[str, Any]]) -> list[dict[str, Any]]:
        done = _summed(before, super().execute(context))
        if datetime.now(timezone.utc) >= datetime.fromisoformat(until):
            return done
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

    Returns: rows compared, containers, and seconds of each table.
    """

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Compare the tables."""
        done, different = [], []
        with self.migration() as migration:
            for table in self.wanted:
                compared = migration.compare([table])
                wrong = [c for c in compared.containers if not c.equal]
                facts = {
                    "table": next((c.table for c in compared.containers), table),
                    "rows": compared.rows,
                    "containers": len(compared.containers),
                    "different": len(wrong),
                    "seconds": round(compared.seconds, 3),
                    "rows_per_second": round(compared.rows / compared.seconds) if compared.seconds else 0,
                }
                self.log.info(
                    "%s: %s rows in %s containers compared in %.1f s, %s containers differ",
                    facts["table"],
                    f"{compared.rows:,}",
                    f"{len(compared.containers):,}",
                    compared.seconds,
                    f"{len(wrong):,}",
                )
                different += [f"{c.name} ({c.source_rows:,} rows, {c.target_rows:,} in GridDB)" for c in wrong]
                self.remember_lineage(migration, table, [c.name for c in compared.containers])
                done.append(facts)
        context["ti"].xcom_push(key="verification", value=done)
        if different:
            more = f" and {len(different) - _SHOWN} more" if len(different) > _SHOWN else ""
            raise AirflowFailException(
                f"both sides differ in {len(different)} containers: {', '.join(different[:_SHOWN])}{more}"
            )
        return done


def sync_facts(done: TableSync) -> dict[str, Any]:
    """A sync as a document for XCom and asset events."""
    return {
        "table": done.table,
        "outcome": done.outcome,
        "rows_synced": done.rows,
        "deleted": done.deleted,
        "quarantined": done.quarantined,
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
    return max(0.0, round((datetime.now(timezone.utc) - datetime.fromisoformat(stamp)).total_seconds(), 3))
