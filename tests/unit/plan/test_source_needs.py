"""What a plan says that it needs of the source: once, whatever the number of tables."""

from __future__ import annotations

import pytest

from gridferry.model.source_room import Share, SourceRoom
from gridferry.plan.plan import Finding, Severity
from gridferry.plan.source_needs import Wanted, needs_findings

WIDE = SourceRoom(slots=Share(10, 3), senders=Share(10, 2), sessions=Share(97, 20))
FORTY = Wanted(workers=4, slots=1, new_slots=1, shared=True, octets=12_000_000_000)


def found(wanted: Wanted, room: SourceRoom = WIDE) -> list[Finding]:
    return list(needs_findings(wanted, room, role="ferry"))


def limited(most: int, used: int = 0) -> SourceRoom:
    return SourceRoom(WIDE.slots, WIDE.senders, WIDE.sessions, own=Share(most, used))


def test_it_says_what_each_command_takes_and_what_is_free() -> None:
    needs, snapshot = found(FORTY)
    assert {needs.severity, snapshot.severity} == {Severity.INFO}
    for words in (
        "a load or a verification takes up to 5 sessions with 4 workers",
        "a sync 1 replication slot, 1 walsender and up to 2 more sessions",
        "takes one more slot and walsender until it has caught up",
        "77 of 97 sessions (max_connections)",
        "7 of 10 replication slots (max_replication_slots)",
        "8 of 10 walsenders (max_wal_senders)",
    ):
        assert words in needs.message
    assert "for about 5 min to 25 min" in snapshot.message
    for words in ("vacuum", "TRUNCATE", "the slot keeps the log"):
        assert words in snapshot.message


def test_without_mode_cdc_no_slot_is_spoken_of() -> None:
    needs, snapshot = found(Wanted(workers=2, octets=1_000))
    assert "slot" not in needs.message + snapshot.message
    assert "for a few seconds" in snapshot.message


@pytest.mark.parametrize(
    ("room", "severity", "says"),
    [
        (limited(1), Severity.PROBLEM, "the role may have 1 at a time: 2 are needed"),
        (limited(0), Severity.PROBLEM, "the role may have 0 at a time"),
        (limited(5, used=4), Severity.RISK, "1 more can be opened now, and 2 are needed"),
        (limited(3), Severity.RISK, "3 more can be opened now: a load then goes on with 2 of its 4 workers"),
        (SourceRoom(WIDE.slots, WIDE.senders, Share(97, 97)), Severity.RISK, "0 more can be opened now"),
    ],
)
def test_sessions_that_are_few(room: SourceRoom, severity: Severity, says: str) -> None:
    (finding,) = [each for each in found(FORTY, room) if each.subject == "sessions"]
    assert finding.severity is severity
    assert says in finding.message
    assert finding.advice or room.own is None or room.own.most >= 5


@pytest.mark.parametrize("room", [limited(5), limited(50, used=45), WIDE])
def test_enough_sessions_are_no_finding(room: SourceRoom) -> None:
    assert not [each for each in found(FORTY, room) if each.subject == "sessions"]


def test_a_source_without_a_slot_for_a_later_table() -> None:
    room = SourceRoom(Share(10, 9), WIDE.senders, WIDE.sessions)
    (finding,) = [each for each in found(FORTY, room) if each.subject == "slots"]
    assert finding.severity is Severity.RISK
    assert "none is left for a table that comes later" in finding.message
    standing = Wanted(workers=4, slots=1, new_slots=0, shared=True)
    assert not [each for each in found(standing, room) if each.subject == "slots"]
