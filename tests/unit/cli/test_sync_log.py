"""What a follow logs: a line a table and second at most, and every count in one of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gridferry.cli.log_lines import LogFormat, LogLines, Severity
from gridferry.cli.sync_log import SyncLog
from gridferry.engine.events import (
    Checkpointed,
    Event,
    FollowStarted,
    Level,
    Note,
    SlotSeen,
    SyncEnded,
    SyncStarted,
    TableFailed,
    TableSync,
)
from gridferry.errors import DataError
from gridferry.model.outcomes import SyncOutcome
from gridferry.plan.sync_options import SyncMode

T = "public.t"
NOON = 1_700_000_000.0  # 2023-11-14T22:13:20Z
AS_OF = "2023-11-14T22:13:18.500000Z"


class Log:
    """A log, and the time in it."""

    def __init__(self, *, follow: bool = True) -> None:
        self.seconds = 0.0
        self.written: list[str] = []
        lines = LogLines(LogFormat.JSON, write=self.written.append, clock=self.now)
        self.hears = SyncLog(lines, follow=follow, clock=lambda: self.seconds, now=self.now)

    def now(self) -> float:
        return NOON + self.seconds

    def told(self, *events: Event) -> list[dict[str, Any]]:
        """The lines since the last call."""
        for event in events:
            self.hears(event)
        found = [json.loads(line) for line in self.written]
        self.written.clear()
        return found


def at(position: str, **counts: int) -> Checkpointed:
    return Checkpointed(T, SyncMode.CDC, position=position, as_of=AS_OF, **counts)


def test_a_checkpoint_that_stored_something_is_a_line() -> None:
    log = Log()
    assert log.told(at("0/10")) == []
    (line,) = log.told(at("0/20", read=3, written=2, deleted=1))
    assert line == {
        "time": "2023-11-14T22:13:20.000Z", "level": "info", "event": "checkpoint", "table": T, "mode": "cdc",
        "read": 3, "written": 2, "deleted": 1, "superseded": 0, "quarantined": 0, "truncates": 0,
        "lag_s": 1.5, "position": "0/20", "as_of": AS_OF,
    }  # fmt: skip


def test_what_falls_within_a_second_is_summed_and_not_lost() -> None:
    log = Log()
    assert len(log.told(at("0/10", read=1, written=1))) == 1
    log.seconds = 0.5
    assert log.told(at("0/20", read=2, written=2), at("0/30", read=4, deleted=4)) == []
    assert len(log.told(Checkpointed("public.other", SyncMode.CDC, read=1, position="0/30"))) == 1  # each by itself
    log.hears.flush_due()
    assert log.told() == []
    log.seconds = 1.0
    log.hears.flush_due()
    (line,) = log.told()
    assert (line["read"], line["written"], line["deleted"], line["position"]) == (6, 2, 4, "0/30")
    log.seconds = 1.5
    (line, ended) = log.told(at("0/40", read=5, written=5), SyncEnded(T, SyncMode.CDC, SyncOutcome.FAILED, 2.0, "X"))
    assert (line["read"], ended["event"], ended["level"], ended["error"]) == (5, "ended", "error", "X")


def test_the_lag_is_nothing_once_the_end_of_the_log_is_stored() -> None:
    log = Log()
    (line,) = log.told(SlotSeen(T, "s", "0/20"), at("0/20", read=1, written=1))
    assert line["lag_s"] == 0.0


def test_a_table_begins_and_ends_once_however_often_it_is_looked_at() -> None:
    log = Log()
    started = SyncStarted(T, SyncMode.WATERMARK)
    nothing = TableSync(T, SyncMode.WATERMARK, SyncOutcome.NOTHING_NEW)
    assert [line["event"] for line in log.told(FollowStarted((T,), 60.0), started, nothing, started, nothing)] == [
        "following", "started",
    ]  # fmt: skip
    (ended,) = log.told(started, TableSync(T, SyncMode.WATERMARK, SyncOutcome.SYNCED, read=3, rows=3))
    assert (ended["event"], ended["outcome"], ended["written"]) == ("ended", "synced", 3)
    away = SyncEnded(T, SyncMode.WATERMARK, SyncOutcome.TRY_LATER, 1.0, "SourceUnreachable")
    assert [(line["event"], line["level"]) for line in log.told(started, away, started)] == [
        ("ended", "warning"), ("started", "info"),
    ]  # fmt: skip
    cdc = TableSync(T, SyncMode.CDC, SyncOutcome.NOTHING_NEW)
    assert [line["event"] for line in log.told(cdc)] == ["ended"]


def test_what_nobody_wants_to_miss_has_a_level() -> None:
    log = Log()
    lines = log.told(
        Note(T, "something to know"),
        Note(T, "a hazard", Level.WARNING),
        TableFailed(T, "sync", DataError("too long", next_step="shorten it")),
    )
    assert [line["level"] for line in lines] == ["info", "warning", "error"]
    assert (lines[2]["error"], lines[2]["message"], lines[2]["next_step"]) == (
        "DataError",
        "failed to sync: too long.",
        "shorten it",
    )


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"table": T, "written": 3, "lag_s": None, "position": "0/2"}, "public.t: checkpoint written=3 position=0/2"),
        ({"table": T, "position": "2024-05-01 00:00"}, 'public.t: checkpoint position="2024-05-01 00:00"'),
        (
            {"table": T, "error": "DataError", "message": "too long.", "next_step": "cut it"},
            "public.t: too long. Next: cut it",
        ),
        ({"message": "one\nand two", "next_step": "do it"}, "one and two Next: do it"),
        ({"message": "no \x1b[31mcolour"}, "no \\x1b[31mcolour"),
    ],
)
def test_text_is_one_line_for_people(fields: dict[str, Any], text: str) -> None:
    written: list[str] = []
    LogLines(LogFormat.TEXT, write=written.append, clock=lambda: NOON).say("checkpoint", **fields)
    assert written == [f"2023-11-14T22:13:20.000Z info    {text}\n"]


def test_a_quiet_log_has_what_is_wrong() -> None:
    written: list[str] = []
    lines = LogLines(LogFormat.TEXT, quiet=True, write=written.append)
    for level in Severity:
        lines.say("note", level=level, message=level.value)
    assert [line.split()[1] for line in written] == ["warning", "error"]
