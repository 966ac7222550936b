"""No advice that the next command refuses: what a message advises is done to the letter, and the next run takes it.

Each situation runs a command that fails, reads the printed next step, applies one of its ways out mechanically (an edit
of the config or a command in backticks), and runs the command again. It may not be refused for the same reason, nor for
having followed the advice.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.conftest import Database
from tests.e2e.ferry import Ferry
from typer.testing import CliRunner

from gridferry.cli.main import app

_TICKED = re.compile(r"`([^`]+)`")
_WAYS = re.compile(r"[;,]? or (?=set |exclude |load |put |give |store |add |leave )|; or ")
CONTRADICTIONS = ("another plan", "have changed", "not known", "defect", "is not a setting")


@dataclass(frozen=True)
class Situation:
    """How a user gets there: `sql`, a load unless `unloaded`, `then` more SQL and edits of the config, `command`."""

    sql: str
    table: dict[str, Any]
    command: tuple[str, ...]
    then: str = ""
    edit: dict[str, Any] = field(default_factory=dict)
    unloaded: bool = False
    ways: int = 1  # how many ways out the message has at least


ROWS = (
    "INSERT INTO t SELECT d, '2024-01-01'::timestamptz + i * interval '1 min', i "
    "FROM generate_series(1, 2) d, generate_series(1, 5) i"
)
READING = f"CREATE TABLE t (device int NOT NULL, ts timestamptz NOT NULL, v float8, PRIMARY KEY (device, ts)); {ROWS}"
MACS = (
    "CREATE TABLE t (device text, ts timestamptz(3), v float8, PRIMARY KEY (device, ts)); "
    "INSERT INTO t VALUES ('b8:27:eb', '2024-01-01', 1), ('b8:27:ec', '2024-01-01', 1)"
)
TEXTS = "CREATE TABLE t (id int PRIMARY KEY, v text, n int); INSERT INTO t VALUES (1, 'x', 1)"
TOO_LONG = "INSERT INTO t VALUES (2, repeat('L', 40000), 2)"
BY_DEVICE = {"split_by": "device", "sync": {"mode": "watermark", "column": "ts"}}
WATERMARK = {"sync": {"mode": "watermark"}}

SITUATIONS = {
    "a device whose name meets another's": Situation(
        MACS, BY_DEVICE, ("sync",), then="INSERT INTO t VALUES ('B8:27:EB', '2024-01-02', 1)"
    ),
    "digits below the millisecond": Situation(
        READING,
        BY_DEVICE,
        ("sync",),
        then="INSERT INTO t VALUES (1, '2024-02-01 00:00:00.000001+00', 1)",
        ways=2,
    ),
    "a row too long for a sync": Situation(TEXTS, WATERMARK, ("sync",), then=TOO_LONG, ways=2),
    "a row too long for a load": Situation(f"{TEXTS}; {TOO_LONG}", {}, ("load",), unloaded=True),
    "a row too long that came while it was loaded": Situation(
        f"{TEXTS}; {TOO_LONG}", {"on_bad_row": "quarantine"}, ("load",), edit={"on_bad_row": "error"}, unloaded=True
    ),
    "an option that was changed after the load": Situation(
        TEXTS, WATERMARK, ("sync",), edit={"exclude": ["n"]}, then="INSERT INTO t VALUES (2, 'y', 2)", ways=2
    ),
    "an option that was changed, met by verify": Situation(TEXTS, {}, ("verify",), edit={"exclude": ["n"]}, ways=2),
    "a container that was given another name": Situation(
        MACS, BY_DEVICE, ("sync",), edit={"containers": {"b8:27:eb": "other"}}, ways=2
    ),
    "a column of another type, met by sync": Situation(
        TEXTS, WATERMARK, ("sync",), then="ALTER TABLE t ALTER n TYPE bigint; INSERT INTO t VALUES (2, 'y', 2)"
    ),
    "a column that is gone, met by verify": Situation(TEXTS, {}, ("verify",), then="ALTER TABLE t DROP COLUMN n"),
    "a table that was never loaded": Situation(TEXTS, WATERMARK, ("sync",), unloaded=True),
    "a table that was never loaded, met by verify": Situation(TEXTS, {}, ("verify",), unloaded=True),
    "rows in quarantine": Situation(
        f"{TEXTS}; {TOO_LONG}",
        {"on_bad_row": "quarantine"},
        ("quarantine", "replay"),
        then="UPDATE t SET v = 'short' WHERE id = 2",
    ),
}

NAMES = (
    'CREATE TABLE t (id int PRIMARY KEY, "температура" float8, "давление" float8, "größe" float8, "Größe" float8, '
    '"日本語" text, "温度" float8, "x y" int, "X_Y" int)'
)
MEETING = (
    "CREATE TABLE t (device text, ts timestamptz(3), PRIMARY KEY (device, ts)); "
    "INSERT INTO t VALUES ('A', '2024-01-01'), ('a', '2024-01-01')"
)
PLANS: dict[str, tuple[str, dict[str, Any]]] = {
    "names that are no names": (NAMES, {}),
    "no key": ("CREATE TABLE t (ts timestamptz(3), v int); INSERT INTO t VALUES ('2024-01-01', 1)", {}),
    "a type without a rule": ("CREATE TABLE t (id int PRIMARY KEY, p point, r int4range, a text[])", {}),
    "rows that share a key": (
        "CREATE TABLE t (id int, v text); INSERT INTO t VALUES (1, 'a'), (1, 'b')",
        {"key": "id"},
    ),
    "names of devices that meet": (MEETING, {"split_by": "device"}),
}


class User:
    """Somebody who does what is printed, and nothing else."""

    def __init__(self, ferry: Ferry, folder: Path, database: Database, table: dict[str, Any]) -> None:
        self.ferry = ferry
        self.file = folder / "gridferry.yaml"
        self.database = database
        self.table = {"table": "public.t", **table}
        self.before = dict(self.table)

    def run(self, *command: str) -> tuple[int, dict[str, Any]]:
        """A command as it is, with the config of the moment."""
        self.file.write_text(self.ferry.of(self.table).text)
        result = CliRunner().invoke(app, [*command, "--json", "--config", str(self.file)], env=self.ferry.env)
        assert "Traceback" not in result.output
        return result.exit_code, json.loads(result.stdout)

    def follow(self, way: str) -> None:
        """Do what one way out says: first the edits of the config, then the commands."""
        if way.startswith("put "):
            self.table = dict(self.before)
        if found := re.search(r"exclude or override the column (\w+)", way):
            self.edit("exclude", [found[1]])
        pieces = _TICKED.findall(way)
        for piece in pieces:
            if not piece.startswith("gridferry ") and ": " in piece:
                for name, value in yaml.safe_load(f"{{{piece}}}").items():
                    self.edit(name, value)
        for piece in pieces:
            words = shlex.split(piece)[1:]
            if piece.startswith("gridferry ") and words != ["plan"]:
                code, said = self.run(*words, *(["--yes"] if "--replace" in words else []))
                assert code == 0, (piece, said)

    def edit(self, name: str, value: Any) -> None:
        """Take a line into the table's options; a list or pairs join what stands there."""
        old = self.table.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            value = {**old, **value}
        elif isinstance(old, list) and isinstance(value, list):
            value = list(dict.fromkeys([*old, *value]))
        self.table[name] = value


def ways_out(step: str) -> list[str]:
    """The alternatives of a next step."""
    # What is said in front of "then run" is an edit; a list of edits has one way for each.
    return [way.strip() for way in _WAYS.split(step) if way.strip()]


def _does(way: str) -> bool:
    """Whether a way out names an edit or a command other than a look at the plan."""
    pieces = [piece for piece in _TICKED.findall(way) if piece != "gridferry plan"]
    return any(piece.startswith("gridferry ") or ": " in piece for piece in pieces)


def reach(user: User, case: Situation) -> dict[str, Any]:
    """Get into the situation. Returns the error that is told."""
    user.database.run(case.sql)
    if not case.unloaded:
        code, said = user.run("load")
        assert code in (0, 1), said
    if case.then:
        user.database.run(case.then)
    for name, value in case.edit.items():
        user.edit(name, value)
    code, said = user.run(*case.command)
    if "error" not in said:  # nothing to be advised: all is well
        return {"message": "", "next_step": "", "code": code}
    return dict(said["error"])


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("name", SITUATIONS)
def test_what_is_advised_is_taken(ferry: Ferry, postgres: Database, tmp_path: Path, name: str, number: int) -> None:
    case = SITUATIONS[name]
    user = User(ferry, tmp_path, postgres, case.table)
    told = reach(user, case)
    if not told["message"]:
        assert told["code"] == 0
        return
    step = told["next_step"] or " ".join(told["problems"])
    ways = ways_out(" or ".join([step, *re.findall(r"\((.*)\)$", "\n".join(told["problems"]), re.MULTILINE)]))
    # What is to be put back at the source, only its owner can.
    ways = [way for way in ways if (case.edit if way.startswith("put ") else _does(way))]
    assert len(ways) >= case.ways, step
    if number >= len(ways):
        return
    user.follow(ways[number])
    code, again = user.run(*case.command)
    error = again.get("error", {"message": ""})
    said = " ".join([error["message"], *error.get("problems", [])])
    assert said != " ".join([told["message"], *told["problems"]]), (ways[number], said)
    assert not any(words in said for words in CONTRADICTIONS), (ways[number], said)
    assert code in (0, 1), (ways[number], again)


@pytest.mark.parametrize("name", PLANS)
def test_what_a_plan_advises_makes_the_next_plan_sound(
    ferry: Ferry, postgres: Database, tmp_path: Path, name: str
) -> None:
    sql, table = PLANS[name]
    postgres.run(sql)
    user = User(ferry, tmp_path, postgres, table)
    seen: set[str] = set()
    for _ in range(4):  # one problem may hide another, but none comes back
        code, plan = user.run("plan")
        problems = [f for t in plan["tables"] for f in t["findings"] if f["severity"] == "problem"]
        if not problems:
            break
        for problem in problems:
            said = f"{problem['subject']}: {problem['message']}"
            assert said not in seen, said
            seen.add(said)
            _follow_finding(user, problem)
    assert code == 0, plan
    assert user.run("load")[0] == 0


def _follow_finding(user: User, problem: dict[str, Any]) -> None:
    """The first way out that a finding names."""
    advice = problem["advice"]
    pieces = [piece for piece in _TICKED.findall(advice) if ":" in piece]
    if pieces:
        user.follow(f"`{pieces[0]}`")
    elif "on_duplicate" in advice:
        user.edit("on_duplicate", "last")
    elif "`containers`" in advice:
        values = re.findall(r'"([^"]+)"', problem["message"])
        user.edit("containers", {value: f"own_{number}" for number, value in enumerate(values[:2])})
    else:
        raise AssertionError(f"no way out in: {advice}")
