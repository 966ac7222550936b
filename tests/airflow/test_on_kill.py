"""A task that Airflow asks to end, as it does by a signal, ends where it is and holds nothing."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.conftest import Database
from tests.e2e.ferry import Ferry
from tests.e2e.sensors import TABLE, assert_arrived, make_sensors

from gridferry.airflow import GridFerryLoadOperator
from gridferry.airflow.compat import AirflowException, AirflowFailException
from gridferry.airflow.progress import LoggedProgress
from gridferry.engine.events import RowsPut


@pytest.fixture
def task() -> Iterator[GridFerryLoadOperator]:
    """A load that gets the signal as Airflow's task runner hands it on."""
    task = GridFerryLoadOperator(task_id="load", config={"tables": [TABLE]}, rows_per_chunk=100, workers=1)
    before = signal.signal(signal.SIGTERM, lambda *_: task.on_kill())
    yield task
    signal.signal(signal.SIGTERM, before)


def test_a_load_that_is_asked_to_end(
    ferry: Ferry, postgres: Database, monkeypatch: pytest.MonkeyPatch, task: GridFerryLoadOperator
) -> None:
    make_sensors(postgres)
    ferry = ferry.of(TABLE)
    asked = threading.Event()

    def ask_to_end(_: LoggedProgress, event: Any) -> None:
        if isinstance(event, RowsPut) and not asked.is_set():
            asked.set()
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(LoggedProgress, "__call__", ask_to_end)
    with pytest.raises(AirflowException, match="asked the task to end") as found:
        task.execute({})
    assert not isinstance(found.value, AirflowFailException)  # so that it is tried again
    assert asked.is_set()
    with ferry.migration() as migration:
        (status,) = migration.status.tables()
        assert (status.state, status.held_by) == ("interrupted", "")
        assert migration.loads.load()[0].outcome == "resumed"
    assert_arrived(ferry, postgres)


def test_a_task_that_is_not_at_work_is_left_alone(task: GridFerryLoadOperator) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
