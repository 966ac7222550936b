from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from tests.conftest import Database

from gridferry.demo.changes import EVERYTHING, IDENTITY, LATE_AND_CHANGED, NEW_READINGS, Script, run_script
from gridferry.demo.sample import copy_csv_into, write_readings_csv
from gridferry.errors import SourceError

SCRIPTS = (NEW_READINGS, LATE_AND_CHANGED, IDENTITY, EVERYTHING)
SCREEN_WIDTH, INDENT = 80, 3


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_fits_on_the_screen(script: Script) -> None:
    assert max(map(len, script.text.splitlines())) <= SCREEN_WIDTH - INDENT


def test_one_after_the_other_they_do_what_they_say(postgres: Database, tmp_path: Path) -> None:
    rows = write_readings_csv(tmp_path / "readings.csv", share=0.00001)
    copy_csv_into(postgres.connection, tmp_path / "readings.csv")
    counts = []
    for script in SCRIPTS:
        run_script(postgres.dsn, script)
        counts += postgres.run("SELECT count(*) FROM device")[0]
    assert counts == [rows + 4, rows + 4, rows + 4, rows + 7]
    assert postgres.run("SELECT device, count(*) FROM device WHERE device IN ('attic', 'cellar') GROUP BY 1") == [
        ("attic", 1), ("cellar", 2)
    ]  # fmt: skip


def test_a_refused_script_changes_nothing_and_says_why(postgres: Database) -> None:
    postgres.run("CREATE TABLE device (ts timestamp)")
    with pytest.raises(SourceError, match=r"x\.sql was refused: .*nothing") as refused:
        run_script(postgres.dsn, Script("x.sql", "INSERT INTO device VALUES (now()); SELECT * FROM nothing"))
    assert isinstance(refused.value.__cause__, psycopg.Error)
    assert postgres.run("SELECT count(*) FROM device") == [(0,)]
