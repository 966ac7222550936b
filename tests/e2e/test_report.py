"""The report's facts against the engine's own words, at every state that a table can be in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Database
from tests.e2e.ferry import Ferry
from tests.e2e.readings import TABLE, add, load_readings, sync
from tests.readings import make_timed_readings
from typer.testing import CliRunner

from gridferry.cli.main import app
from gridferry.cli.output import plain
from gridferry.engine.events import ChunkDone, Event
from gridferry.errors import ConfigError
from gridferry.report.facts import ReportFacts, Tone
from gridferry.report.gather import gather_facts


def facts_of(ferry: Ferry, **options: Any) -> ReportFacts:
    with ferry.migration() as migration:
        return gather_facts(migration, **options)


def make_notes(postgres: Database) -> None:
    """A thousand rows; the last but ten does not fit into a container."""
    postgres.run("CREATE TABLE notes (id int PRIMARY KEY, note text)")
    postgres.run("INSERT INTO notes SELECT i, repeat('x', 100) FROM generate_series(1, 1000) AS i")
    postgres.run("ALTER TABLE notes ALTER note SET STORAGE EXTERNAL")
    postgres.run("UPDATE notes SET note = repeat('x', 40000) WHERE id = 990")
    postgres.run("VACUUM ANALYZE notes")


def verify(ferry: Ferry, **options: Any) -> None:
    with ferry.migration() as migration:
        migration.verifications.verify(**options)


def test_the_json_is_what_the_engine_says(ferry: Ferry, postgres: Database, tmp_path: Path) -> None:
    ferry = load_readings(ferry, postgres)
    add(postgres, "60 seconds", device="d2")
    sync(ferry)
    verify(ferry)
    config, written = tmp_path / "gridferry.yaml", tmp_path / "facts.json"
    config.write_text(ferry.text)
    result = CliRunner().invoke(
        app, ["report", "-c", str(config), "--format", "json", "-o", str(written), "--json"], env=ferry.env
    )
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert (said["file"], said["headline"]["tone"]) == (str(written), "equal")
    facts = json.loads(written.read_text())
    (table,) = facts["tables"]
    with ferry.migration() as migration:
        (status,) = migration.status.tables()
        (run,) = migration.endpoints.look_at_state().runs.all()
        verified = migration.endpoints.look_at_state().verifications.of("public.reading")
        containers = {c.name: c.rows for c in migration.status.containers()}
        history = migration.endpoints.look_at_state().history.get("public.reading")
    assert table["load"]["rows"] == status.rows == 10
    assert table["load"]["copied"] == plain(run.copied)
    assert run.copied is not None
    assert (run.copied.rows, run.copied.workers >= 1) == (10, True)
    assert run.copied.octets > 0
    assert table["verifications"] == plain(verified)
    assert table["history"] == plain(history)
    assert status.sync is not None
    # What PostgreSQL's clock adds is of another moment.
    moving = ("lag_seconds",)
    assert {k: v for k, v in table["sync"].items() if k not in moving} == {
        k: v for k, v in plain(status.sync).items() if k not in moving
    }
    assert {c["name"]: c["target_rows"] for c in table["containers"]} == containers
    assert {c["value"]: c["source_rows"] for c in table["containers"]} == {"d0": 5, "d1": 5, "d2": 1}
    assert {c["verdict"] for c in table["containers"]} == {"equal"}
    assert facts["headline"]["sentence"].startswith("All 11 rows in 3 containers are equal, checked by value (as of ")
    assert ferry.server.password not in {part for part in facts["target"].split("/") if "@" not in part}


def test_rows_over_time_are_those_of_both_sides(ferry: Ferry, postgres: Database) -> None:
    ferry = load_readings(ferry, postgres)
    postgres.run("DELETE FROM reading WHERE n = 4")
    (table,) = facts_of(ferry).tables
    over = table.over_time
    assert over is not None
    assert (over.column, over.start, over.width_s) == ("ts", "2024-05-01T00:00:00.000Z", 1)
    by_value = {series.value: series for series in over.series}
    assert by_value["d0"].source == (1, 0, 1, 0, 0, 0, 1, 0, 1, 0)
    assert by_value["d0"].target == (1, 0, 1, 0, 1, 0, 1, 0, 1, 0)
    assert over.total is not None
    assert over.total.source == (1, 1, 1, 1, 0, 1, 1, 1, 1, 1)
    assert over.total.target == (1,) * 10
    bounds = {c.value: (c.source_low, c.source_high, c.target_low, c.target_high) for c in table.containers}
    assert bounds["d1"] == ("2024-05-01T00:00:01.000Z", "2024-05-01T00:00:09.000Z") * 2


def test_differences_come_first_and_are_marked(ferry: Ferry, postgres: Database) -> None:
    ferry = load_readings(ferry, postgres)
    add(postgres, "1 hour", device="d0")
    sync(ferry)
    postgres.run("UPDATE reading SET n = n + 1 WHERE n = 5")
    verify(ferry)
    (table,) = facts_of(ferry).tables
    assert table.headline.tone is Tone.DIFFERENT
    assert "1 row with other values" in table.headline.sentence
    assert [(c.value, c.verdict, c.differences) for c in table.containers] == [
        ("d1", "different", 1), ("d0", "equal", 0),
    ]  # fmt: skip
    assert [s.value for s in table.over_time.series] == ["d1", "d0"]  # type: ignore[union-attr]


def test_nothing_loaded_yet(ferry: Ferry, postgres: Database) -> None:
    make_timed_readings(postgres)
    facts = facts_of(ferry.of(TABLE))
    assert facts.headline.sentence == "Not loaded yet."
    assert facts.tables[0].containers == ()


def test_loaded_and_neither_synced_nor_verified(ferry: Ferry, postgres: Database) -> None:
    (table,) = facts_of(load_readings(ferry, postgres)).tables
    assert table.headline.tone is Tone.UNVERIFIED
    assert (len(table.history), len(table.verifications)) == (0, 0)
    assert {c.verdict for c in table.containers} == {""}
    assert table.sync is not None
    assert table.sync.runs == 0


def test_a_load_that_stopped_half_way(ferry: Ferry, postgres: Database) -> None:
    make_notes(postgres)
    ferry = ferry.of({"table": "notes", "on_bad_row": "quarantine"})

    def stop(event: Event) -> None:
        if isinstance(event, ChunkDone):
            raise ConfigError("stopped after the first chunk")

    with pytest.raises(ConfigError):
        ferry.load(listener=stop, rows_per_chunk=200, workers=1)
    (table,) = facts_of(ferry).tables
    assert table.headline.tone is Tone.UNFINISHED
    assert table.load.state == "interrupted"
    assert table.plan is not None
    assert 0 < table.load.chunks_done < table.load.chunks
    assert f"The load was interrupted: {table.load.chunks_done} of " in table.headline.sentence
    assert table.target_rows is not None
    assert 0 < table.target_rows < 1_000


def test_the_source_is_away(ferry: Ferry, postgres: Database) -> None:
    ferry = load_readings(ferry, postgres)
    verify(ferry)
    gone = Ferry("postgresql://nobody@127.0.0.1:9/gone", ferry.server, ferry.database, ferry.tables)
    facts = facts_of(gone)
    (table,) = facts.tables
    assert facts.headline.tone is Tone.EQUAL
    assert facts.source_note.startswith("PostgreSQL was not reached, so its side is left out: ")
    assert facts.counted_at == ""
    assert {(c.source_rows, c.target_rows) for c in table.containers} == {(None, 5)}
    assert table.over_time is not None
    assert {(s.source, sum(s.target or ())) for s in table.over_time.series} == {(None, 5)}


def test_the_source_is_not_asked_when_told(ferry: Ferry, postgres: Database) -> None:
    ferry = load_readings(ferry, postgres)
    sync(ferry)
    gone = Ferry("postgresql://nobody@127.0.0.1:9/gone", ferry.server, ferry.database, ferry.tables)
    facts = facts_of(gone, ask_source=False)
    assert facts.source_note == "PostgreSQL was not asked, as wished: its side is left out."
    (table,) = facts.tables
    assert table.sync is not None
    assert (table.sync.runs, table.sync.lag_rows, table.notes) == (1, None, ())


def test_rows_put_aside_stand_there_with_their_reason(ferry: Ferry, postgres: Database) -> None:
    make_notes(postgres)
    ferry = ferry.of({"table": "notes", "on_bad_row": "quarantine"})
    ferry.load()
    (table,) = facts_of(ferry).tables
    assert table.quarantine.rows == 1
    assert [(c.source_rows, c.target_rows, c.held) for c in table.containers] == [(1_000, 999, 1)]
    assert table.quarantine.reasons == (("note: note is longer than 31744 bytes", 1),)
    assert "id = 990" in table.quarantine.first[0].key


def test_a_container_that_is_gone_and_a_device_that_is_new(ferry: Ferry, postgres: Database) -> None:
    ferry = load_readings(ferry, postgres)
    add(postgres, "1 hour", device="new")
    with ferry.store() as store:
        store.drop_container(ferry.catalog("public.reading")["d0"])
    (table,) = facts_of(ferry).tables
    assert {c.value: (c.source_rows, c.target_rows) for c in table.containers} == {
        "d0": (5, None), "d1": (5, 5), "new": (1, None),
    }  # fmt: skip


def test_state_that_cannot_be_read_is_told_and_the_rest_is_there(ferry: Ferry, postgres: Database) -> None:
    ferry = load_readings(ferry, postgres)
    with ferry.migration() as migration:
        migration.endpoints.look_at_state().documents.put("history:public.reading", {"history": {"version": 99}})
    (table,) = facts_of(ferry).tables
    assert [note[:35] for note in table.notes] == ["The history of its runs is left out"]
    assert table.target_rows == 10
    with ferry.migration() as migration:
        migration.endpoints.look_at_state().documents.put("load:public.reading", {"run": {"version": 99}})
    (table,) = facts_of(ferry).tables
    assert table.headline.sentence.startswith("Nothing can be reported: the state of public.reading has version 99")


def test_a_key_of_numbers_has_bounds_and_no_chart(ferry: Ferry, postgres: Database) -> None:
    postgres.run("CREATE TABLE numbered (id bigint PRIMARY KEY, x text)")
    postgres.run("INSERT INTO numbered SELECT g, 'x' FROM generate_series(1, 1234) g")
    ferry = ferry.of("numbered")
    ferry.load()
    (table,) = facts_of(ferry).tables
    assert table.over_time is None
    (container,) = table.containers
    assert (
        (container.source_low, container.source_high) == (container.target_low, container.target_high) == ("1", "1,234")
    )


def test_an_empty_table_is_a_report_too(ferry: Ferry, postgres: Database) -> None:
    postgres.run("CREATE TABLE empty (ts timestamp PRIMARY KEY, x text)")
    ferry = ferry.of("empty")
    ferry.load()
    (table,) = facts_of(ferry).tables
    assert (table.source_rows, table.target_rows, table.over_time) == (0, 0, None)


def test_a_load_that_replaces_begins_a_new_history(ferry: Ferry, postgres: Database) -> None:
    ferry = load_readings(ferry, postgres)
    sync(ferry)
    assert facts_of(ferry).tables[0].history
    ferry.load(replace=True)
    assert facts_of(ferry).tables[0].history == ()
