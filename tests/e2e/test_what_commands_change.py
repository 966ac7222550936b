"""What `--help` says that a command changes, held against both ends before and after it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Database
from tests.e2e.changes import READING, without_slots
from tests.e2e.ferry import OWN, Ferry
from tests.e2e.test_repair_rules import spoil
from tests.readings import make_numbered_readings
from tests.unit.cli.test_main import leaf_commands
from typer.testing import CliRunner

from gridferry.cli.main import app

RUN = "the run of the repair"
# In an order in which each has something to do. `{file}`: a file of the test's own.
STEPS: tuple[tuple[str, ...], ...] = (
    ("plan",),
    ("status", "--containers"),
    ("containers",),
    ("show", "reading_d0"),
    ("tql", "reading_d0", "select *"),
    ("quarantine", "list"),
    ("verify",),
    ("report", "--output", "{file}.html"),
    ("init", "--output", "{file}.yaml"),
    ("repair",),
    ("repairs",),
    ("quarantine", "replay"),
    ("undo", RUN),
    ("repairs",),
    ("forget", RUN),
    ("pause", "reading"),
    ("resume", "reading"),
    ("drop-slot",),
    ("remove", "reading"),
    ("version",),
)
# They say that they change rows on both sides, or have neither.
OTHERS = [["load"], ["sync"], ["resync"], ["cutover"], ["serve"], ["demo"], ["sql"]]


def source(postgres: Database) -> list[Any]:
    """What there is in PostgreSQL: rows with their versions, slots and how far they are, publications."""
    return [
        postgres.run("SELECT xmin::text, ctid::text, r::text FROM reading r ORDER BY ctid"),
        postgres.run("SELECT slot_name, confirmed_flush_lsn::text FROM pg_replication_slots ORDER BY slot_name"),
        postgres.run("SELECT pubname, obj_description(oid, 'pg_publication') FROM pg_publication ORDER BY pubname"),
        postgres.run("SELECT pubname, tablename FROM pg_publication_tables ORDER BY pubname, tablename"),
    ]


def target(ferry: Ferry) -> dict[str, list[str]]:
    """Every row of every container, gridferry's own too."""
    return {name: sorted(map(repr, rows)) for name, rows in ferry.everything().items()}


def without_own(rows: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: of for name, of in rows.items() if name not in OWN}


def line_of(command: list[str]) -> str:
    """The line of a command's help that says what it changes."""
    text = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "80"}).stdout
    return next(line.strip() for line in text.splitlines() if line.lstrip().startswith("Changes"))


def command_of(step: tuple[str, ...]) -> list[str]:
    return next(command for command in leaf_commands() if list(step[: len(command)]) == command)


def test_every_command_is_tried_or_says_that_it_changes_much() -> None:
    tried = [command_of(step) for step in STEPS]
    assert [command for command in leaf_commands() if command not in tried and command not in OTHERS] == []
    assert [command for command in OTHERS if "nothing." in line_of(command) and command != ["serve"]] == []


@pytest.fixture
def followed(ferry: Ferry, postgres: Database) -> Ferry:
    """A table in mode cdc with rows that differ, and one in the quarantine that can be stored by now."""
    make_numbered_readings(postgres)
    postgres.run("INSERT INTO reading VALUES (100, 'd1', 5, repeat('x', 40000))")
    return ferry.of({**READING, "sync": {"mode": "cdc"}, "on_bad_row": "quarantine"})


def test_no_command_changes_more_than_its_help_says(followed: Ferry, postgres: Database, tmp_path: Path) -> None:
    config = tmp_path / "gridferry.yaml"
    config.write_text(followed.text)
    run = ""

    def call(*arguments: str) -> str:
        nonlocal run
        words = [run if word == RUN else word.format(file=tmp_path / "made") for word in arguments]
        if arguments[0] not in ("init", "version"):
            words += ["--config", str(config)]
        result = CliRunner().invoke(app, words, env={**followed.env, "COLUMNS": "80"})
        assert result.exit_code in (0, 1), result.output
        if arguments[0] == "repair":
            found = re.search(r"run\s+(\d{8}T\S+)", result.output)
            assert found, result.output
            run = found[1]
        return result.stdout

    with without_slots(postgres):
        call("load")
        postgres.run("UPDATE reading SET note = 'short' WHERE k = 100")
        call("sync")
        spoil(followed)
        for step in STEPS:
            line = line_of(command_of(step))
            before = source(postgres), target(followed)
            call(*step)
            after = source(postgres), target(followed)
            if line == "Changes nothing." or "nothing in PostgreSQL" in line:
                assert after[0] == before[0], (step, line)
            if line == "Changes nothing." or "nothing in GridDB" in line:
                assert after[1] == before[1], (step, line)
            else:
                assert after != before, f"{step} had nothing to do"
            if "rows" not in line:
                assert without_own(after[1]) == without_own(before[1]), (step, line)
