"""No advice that the next command refuses: what a message advises is done to the letter, and the next run takes it.

Each situation runs a command that fails, reads the printed next step, applies one of its ways out mechanically (an edit
of the config or a command in backticks), and runs the command again. It may not be refused for the same reason, nor for
having followed the advice.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.conftest import Database, database_on
from tests.e2e.changes import without_slots
from tests.e2e.ferry import Ferry
from typer.testing import CliRunner

from gridferry.checkpoint.lease import Lease
from gridferry.cli.main import app
from gridferry.local.postgres import LocalPostgres

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
CDC = {"sync": {"mode": "cdc"}}
STRING = {"columns": {"v": "string"}}  # a text that is too long for one makes its column a BLOB otherwise
SLOTS = "FROM pg_replication_slots s WHERE s.database = current_database()"
DROP_SLOT = f"SELECT pg_drop_replication_slot(s.slot_name) {SLOTS}"
# Somebody else reads the slot: what it held is gone for us.
READ_SLOT = (
    "DO $$ BEGIN PERFORM count(*) FROM pg_replication_slots s, pg_logical_slot_get_binary_changes(s.slot_name, NULL, "
    "NULL, 'proto_version', '1', 'publication_names', (SELECT min(pubname) FROM pg_publication)) "
    "WHERE s.database = current_database(); END $$"
)

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
    "a row too long for a load": Situation(f"{TEXTS}; {TOO_LONG}", STRING, ("load",), unloaded=True),
    "a row too long that came while it was loaded": Situation(
        f"{TEXTS}; {TOO_LONG}",
        {"on_bad_row": "quarantine", **STRING},
        ("load",),
        edit={"on_bad_row": "error"},
        unloaded=True,
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
    "a slot that is gone": Situation(
        TEXTS, CDC, ("sync",), then=f"INSERT INTO t VALUES (2, 'y', 2); DELETE FROM t WHERE id = 1; {DROP_SLOT}"
    ),
    "a slot that somebody else has read": Situation(
        TEXTS, CDC, ("sync",), then=f"INSERT INTO t VALUES (2, 'y', 2); {READ_SLOT}"
    ),
    "a table that another took the name of": Situation(
        TEXTS,
        CDC,
        ("sync",),
        then="ALTER TABLE t RENAME TO old; CREATE TABLE t (LIKE old INCLUDING ALL); INSERT INTO t VALUES (7, 'z', 7)",
    ),
    "a key without a value": Situation(
        "CREATE TABLE t (id int UNIQUE, v text, at timestamptz(3)); INSERT INTO t VALUES (1, 'x', '2024-01-01')",
        {"key": "id", "sync": {"mode": "watermark"}},
        ("sync",),
        then="INSERT INTO t VALUES (NULL, 'y', '2024-01-02')",
    ),
    "a key without a value at the load": Situation(
        "CREATE TABLE t (id int UNIQUE, v text); INSERT INTO t VALUES (1, 'x'), (NULL, 'y')",
        {"key": "id"},
        ("load",),
        unloaded=True,
    ),
    "a replica identity that is gone": Situation(
        TEXTS, CDC, ("sync",), then="ALTER TABLE t REPLICA IDENTITY NOTHING; INSERT INTO t VALUES (2, 'y', 2)"
    ),
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
    "no replica identity": (
        "CREATE TABLE t (id int NOT NULL, v text); INSERT INTO t VALUES (1, 'x')",
        {"key": "id", **CDC},
    ),
    "names that are no names": (NAMES, {}),
    "no key": ("CREATE TABLE t (ts timestamptz(3), v int); INSERT INTO t VALUES ('2024-01-01', 1)", {}),
    "a type that cannot be another": ("CREATE TABLE t (id int PRIMARY KEY, p point)", {"columns": {"p": "double"}}),
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
                code, said = self.run(*words, *(["--yes"] if {"--replace", "--new-source"} & set(words) else []))
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
    with without_slots(postgres):
        _take_the_advice(ferry, postgres, tmp_path, case, number)


def _take_the_advice(ferry: Ferry, postgres: Database, tmp_path: Path, case: Situation, number: int) -> None:
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


def _step(user: User, *command: str) -> tuple[str, str]:
    code, said = user.run(*command)
    assert code == 3, said
    assert "another source" not in said["error"]["message"]
    return said["error"]["message"], said["error"]["next_step"]


def _slots(database: Database) -> int:
    return int(database.run(f"SELECT count(*) {SLOTS}")[0][0])


@pytest.mark.parametrize("mode", [CDC, WATERMARK])
def test_a_table_that_was_renamed_is_loaded_under_its_new_name(
    ferry: Ferry, postgres: Database, tmp_path: Path, mode: dict[str, Any]
) -> None:
    with without_slots(postgres):
        postgres.run(TEXTS)
        user = User(ferry, tmp_path, postgres, mode)
        assert user.run("load")[0] == 0
        postgres.run("ALTER TABLE t RENAME TO u; INSERT INTO u VALUES (2, 'y', 2)")
        for command in (("sync",), ("verify",), ("sync", "--new-source", "--yes")):
            message, step = _step(user, *command)
            assert message == "public.t is now public.u: the table was renamed in the source"
            assert "put public.u in its place in the config" in step
            assert "forget the old name with `gridferry forget public.t`" in step
        postgres.run("ALTER TABLE u RENAME TO t")  # one way out: its name again
        assert user.run("sync")[0] == 0
        assert user.run("verify")[0] == 0
        postgres.run("ALTER TABLE t RENAME TO u; INSERT INTO u VALUES (3, 'z', 3)")
        user.table["table"] = "public.u"
        assert user.run("load")[0] == 0
        assert user.run("forget", "public.t")[0] == 0
        assert _slots(postgres) == (mode is CDC)
        postgres.run("INSERT INTO u VALUES (4, 'z', 4)")
        assert user.run("sync")[0] == 0
        assert user.run("verify")[0] == 0


def test_a_table_that_was_dropped_lets_go_of_its_slot(ferry: Ferry, postgres: Database, tmp_path: Path) -> None:
    with without_slots(postgres):
        postgres.run(TEXTS)
        user = User(ferry, tmp_path, postgres, CDC)
        assert user.run("load")[0] == 0
        postgres.run("DROP TABLE t")
        message, step = _step(user, "sync")
        assert message == "public.t is not in the source any more: it was dropped, and no other table has its name"
        assert "take it out of the config, and run `gridferry forget public.t`" in step
        _, said = user.run("status")
        assert "not in the source any more" in json.dumps(said)
        assert _slots(postgres) == 1
        postgres.run(TEXTS)
        user.follow("`gridferry load --replace --table public.t`")  # as it is advised for one that was restored
        assert user.run("sync")[0] == 0
        assert user.run("verify")[0] == 0
        postgres.run("DROP TABLE t")
        assert user.run("forget", "public.t")[0] == 0
        assert _slots(postgres) == 0


def test_a_table_that_another_run_holds_is_synced_once_that_has_ended(
    ferry: Ferry, postgres: Database, tmp_path: Path
) -> None:
    postgres.run(TEXTS)
    user = User(ferry, tmp_path, postgres, WATERMARK)
    assert user.run("load")[0] == 0
    postgres.run("INSERT INTO t VALUES (2, 'y', 2)")
    with (
        user.ferry.of(user.table).migration() as migration,
        Lease(migration.endpoints.look_at_state().documents, "public.t"),
    ):
        code, said = user.run("sync")
        assert code == 75
        assert said["error"]["next_step"] == "wait for it to end, or run again with --wait SECONDS"
        assert user.run("sync", "--wait", "1")[0] == 75  # as long as it was told to wait, and no longer
    assert user.run("sync", "--wait", "30")[0] == 0
    assert user.run("verify")[0] == 0


def test_of_two_sources_the_second_takes_names_of_its_own(
    ferry: Ferry, postgres: Database, postgres_server: LocalPostgres, tmp_path: Path
) -> None:
    for other in database_on(postgres_server):
        for database in (postgres, other):
            database.run(TEXTS)
        other.run("UPDATE t SET n = 7")
        first = User(ferry, tmp_path, postgres, {})
        second = User(replace(ferry, dsn=other.dsn), tmp_path, other, {})
        assert first.run("load")[0] == 0
        for command in (("load",), ("load", "--replace", "--yes")):
            code, said = second.run(*command)
            assert code == 2, said
            told = json.dumps(said["error"])
            assert "choose other names under `containers:` or `container:`" in told
        second.edit("container", "second_t")
        for user in (second, first):
            assert user.run("load")[0] == 0
            assert user.run("verify")[0] == 0
