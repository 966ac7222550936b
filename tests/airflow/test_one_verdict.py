"""Many tables in one task: one sync of what one slot follows, and one verdict for the database."""

from __future__ import annotations

from typing import Any

import pytest
from tests.airflow.running import gridferry_dags_of, run
from tests.conftest import Database
from tests.e2e.changes import without_slots
from tests.e2e.ferry import Ferry

from gridferry.airflow import GridFerrySyncOperator, GridFerryVerifyOperator
from gridferry.airflow.compat import AirflowException

NAMES = ("account", "item", "sale")


class Task:
    """As much of a task's run as `execute` asks for: what it pushes."""

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value


def make_tables(postgres: Database) -> None:
    for name in NAMES:
        postgres.run(f"CREATE TABLE {name} (id int PRIMARY KEY); INSERT INTO {name} SELECT generate_series(1, 5)")


def entries(mode: str) -> list[dict[str, Any]]:
    return [{"table": name, "sync": {"mode": mode}} for name in NAMES]


def test_one_task_verifies_the_whole_config(
    ferry: Ferry, postgres: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    make_tables(postgres)
    ferry.of(*entries("watermark")).load()
    dags = gridferry_dags_of(entries("watermark"))
    assert sorted(dags["parity"].task_ids) == ["sync_01", "sync_02", "sync_03", "verify", "wait_for_load"]
    verify, task = dags["parity"].get_task("verify"), Task()
    done = verify.execute({"ti": task})
    assert [facts["table"] for facts in done] == [f"public.{name}" for name in NAMES]
    verdict = task.pushed["verdict"]
    assert (verdict["verdict"], verdict["tables"], verdict["not_compared"], len(verdict["snapshots"])) == (
        "equal", 3, 0, 1,
    )  # fmt: skip
    assert verdict["headline"].startswith("Database equal as of ")
    postgres.run("DELETE FROM item WHERE id = 2")
    assert run(dags["parity"])["verify"] == ["failed"]
    said = capsys.readouterr().out
    assert "AirflowFailException: Database differs as of " in said
    assert ": 1 row in 1 of 3 tables: public.item " in said


def test_tables_of_one_slot_are_synced_by_one_task(ferry: Ferry, postgres: Database) -> None:
    make_tables(postgres)
    with without_slots(postgres):
        ferry = ferry.of(*entries("cdc"))
        ferry.load()
        dags = gridferry_dags_of([*entries("cdc"), {"table": "later", "sync": {"mode": "watermark"}}])
        assert [t for t in dags["migration_continuous"].task_ids if t.startswith("sync")] == ["sync_cdc", "sync"]
        postgres.run("INSERT INTO account VALUES (6); INSERT INTO item VALUES (6); DELETE FROM sale WHERE id = 1")
        with ferry.migration() as migration:
            migration.lives.pause(["item"])
        sync = GridFerrySyncOperator(task_id="sync", config={"tables": entries("cdc")}, tables=list(NAMES))
        with pytest.raises(AirflowException, match=r"1 of 3 tables failed to sync.*public\.item is paused"):
            sync.execute({"ti": Task(), "outlet_events": {}})
        assert [len(ferry.rows(name)) for name in NAMES] == [6, 5, 4]
        unnamed = GridFerrySyncOperator(task_id="all", config={"tables": entries("cdc")})
        done = unnamed.execute({"ti": Task(), "outlet_events": {}})
        assert [facts["table"] for facts in done] == ["public.account", "public.sale"]
        verify = GridFerryVerifyOperator(task_id="verify", config={"tables": entries("cdc")})
        with pytest.raises(
            AirflowException, match=r"Database not compared whole as of .*left out: public\.item is paused"
        ):
            verify.execute({"ti": Task()})
