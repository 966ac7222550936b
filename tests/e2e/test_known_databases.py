"""Databases of well-known programs: from `init` to "equal" with the lines that their pages in docs/databases name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import yaml
from tests.conftest import Database
from tests.e2e.changes import sync, without_slots
from tests.e2e.command import command
from tests.e2e.ferry import Ferry
from typer.testing import CliRunner

from gridferry.cli.main import app

ROOT = Path(__file__).parents[2]
SPLIT = {"thingsboard": "ts_kv", "zabbix": "history", "home-assistant": "states"}
WORK = {
    "thingsboard": """
        INSERT INTO ts_kv SELECT entity_id, key, ts + 1, bool_v, str_v, long_v, dbl_v, json_v FROM ts_kv LIMIT 50;
        UPDATE ts_kv_latest SET dbl_v = 1; DELETE FROM ts_kv WHERE ts % 7 = 0;
        INSERT INTO audit_log SELECT id, created_time + 60000 FROM audit_log""",
    "zabbix": """
        INSERT INTO history SELECT itemid + 1, clock, value, ns FROM history;
        DELETE FROM history WHERE clock < 1704067200 + 6000; DELETE FROM trends;
        UPDATE items SET name = 'new ' || name""",
    "home-assistant": """
        INSERT INTO states (state, last_updated_ts, metadata_id) SELECT state, last_updated_ts + 0.5, 3 FROM states;
        UPDATE states SET old_state_id = NULL WHERE old_state_id < 100; DELETE FROM states WHERE state_id < 90;
        DELETE FROM events""",
}


@dataclass
class Edit:
    """One change of the file: `old` lines, without their comments, become `new` ones, below the line `head`."""

    head: str = ""
    old: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)


def edits_of(block: str) -> Iterator[Edit]:
    """The edits of a diff in a page."""
    edit = Edit()
    for line in block.splitlines():
        if line[:1] == " ":
            if edit.old or edit.new:
                yield edit
            edit = Edit(head=line[1:])
        else:
            (edit.old if line[0] == "-" else edit.new).append(line[1:])
    yield edit


def edited(text: str, block: str) -> str:
    """The config with the changes of a diff; what it takes away has to be there, but for the comment at its end."""
    for edit in edits_of(block):
        pattern = "".join(rf"({re.escape(line)}(?: +#[^\n]*)?\n)" for line in edit.old)
        found = re.compile(rf"({re.escape(edit.head)}(?: +#[^\n]*)?\n(?:[ ]+#[^\n]*\n)*?){pattern}").search(text)
        if not edit.head:
            found = re.compile(f"(^){pattern}", re.MULTILINE).search(text)
        assert found is not None, edit
        new = "".join(f"{line}\n" for line in edit.new)
        text = text[: found.start()] + found.group(1) + new + text[found.end() :]
    return text


def page(name: str) -> list[str]:
    """The diffs of its page: what makes containers of devices, and what follows."""
    return re.findall(r"```diff\n(.*?)```", (ROOT / "docs" / "databases" / f"{name}.md").read_text(), re.DOTALL)


def taken(ferry: Ferry, text: str) -> Ferry:
    """A ferry by the config that `init` wrote, as it was edited."""
    document = yaml.safe_load(text)
    more = {key: value for key, value in document.items() if key not in ("source", "target", "tables")}
    return replace(ferry.of(*document["tables"]), more=more)


@pytest.mark.parametrize("name", list(SPLIT))
def test_a_known_database_comes_over_as_its_page_says(
    ferry: Ferry, postgres: Database, tmp_path: Path, name: str
) -> None:
    postgres.needs(13, "publication of partitioned tables")
    postgres.run((ROOT / "tests" / "known_databases" / f"{name.replace('-', '_')}.sql").read_text())
    file = tmp_path / "written.yaml"
    written = CliRunner().invoke(app, ["init", "--output", str(file)], env={"SOURCE_DSN": postgres.dsn})
    assert written.exit_code == 0, written.output
    devices, following = page(name)
    assert sum(line.startswith("+") for line in devices.splitlines()) <= 3
    text = edited(file.read_text(), devices)
    plain = taken(ferry, text)
    with plain.migration() as migration:
        plan = migration.plan()
    assert plan.problems == ()
    assert plan.others == ()
    said = command(plain, tmp_path, "plan").text
    assert "hint" in said
    assert "its numbers look like times" in said
    plain.load()
    assert plain.equal()
    assert len(plain.catalog(f"public.{SPLIT[name]}")) > 1
    if name == "home-assistant":
        for table in ("states", "statistics", "statistics_short_term"):
            postgres.run(f"ALTER TABLE {table} REPLICA IDENTITY FULL")
    followed = taken(ferry, edited(text, following))
    with without_slots(postgres):
        followed.load(replace=True)
        postgres.run(WORK[name])
        assert sum(done.rows for done in sync(followed)) > 0
        assert followed.equal()
