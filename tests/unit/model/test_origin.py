"""Whether two looks at a source mean one and the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gridferry.model.origin import Lineage, SourceOrigin, compare

KNOWN = SourceOrigin(
    system="7012",
    timeline=1,
    database_oid=16384,
    table_oid=16390,
    database="plant",
    address="db.example:5432/plant",
    server="10.0.0.5:5432",
    started="2026-01-01T00:00:00.000001Z",
    standby=False,
    log_end="0/5000000",
)
LATER = replace(KNOWN, started="2026-02-01T00:00:00.000001Z", log_end="0/6000000")


def lineage(now: SourceOrigin, known: SourceOrigin = KNOWN) -> Lineage:
    return compare(known, now)[0]


def test_the_same_process_is_the_same_source_whatever_its_address() -> None:
    assert compare(KNOWN, replace(KNOWN, log_end="0/7000000")) == (Lineage.SAME, "")
    assert lineage(replace(KNOWN, address="10.0.0.5:5432/plant", server="")) is Lineage.SAME
    assert lineage(replace(KNOWN, timeline=2)) is Lineage.SAME  # a standby that was promoted was not started again


def test_a_process_that_was_started_again_has_to_prove_itself() -> None:
    assert lineage(LATER) is Lineage.UNPROVEN
    assert lineage(replace(LATER, server="10.0.0.9:5432")) is Lineage.UNPROVEN
    assert lineage(replace(LATER, timeline=2, log_end="0/4000000")) is Lineage.UNPROVEN
    assert lineage(replace(LATER, standby=True, timeline=0, log_end="0/4000000")) is Lineage.UNPROVEN
    assert lineage(LATER, replace(KNOWN, started="")) is Lineage.UNPROVEN
    assert lineage(replace(LATER, address="db.example:6432/plant")) is Lineage.UNPROVEN  # a tunnel or proxy


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"system": "7013"}, "another server"),
        ({"database_oid": 16999}, "another database"),
        ({"table_oid": 16999}, "dropped and created again"),
        ({"table_oid": 0}, "no table of that name"),
    ],
)
def test_what_proves_another_source_whenever_it_was_started(changed: dict[str, Any], why: str) -> None:
    for now in (KNOWN, LATER):
        found = compare(KNOWN, replace(now, **changed))
        assert found[0] is Lineage.OTHER
        assert why in found[1]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"address": "staging:5432/plant"}, "another address"),
        ({"address": "db.example:5433/plant", "server": "10.0.0.6:5432"}, "another address"),
        ({"log_end": "0/4FFFFFF"}, "restored to an older state"),
    ],
)
def test_what_speaks_against_a_server_that_was_started_again(changed: dict[str, Any], why: str) -> None:
    found = compare(KNOWN, replace(LATER, **changed))
    assert found[0] is Lineage.OTHER
    assert why in found[1]


def test_timelines_go_forward_only() -> None:
    known = replace(KNOWN, timeline=3)
    assert lineage(replace(LATER, timeline=2), known) is Lineage.OTHER
    assert lineage(replace(LATER, timeline=4, address="second:5432/plant"), known) is Lineage.MOVED
    assert lineage(replace(LATER, timeline=3, address="second:5432/plant"), known) is Lineage.OTHER


def test_what_cannot_be_known_proves_nothing() -> None:
    for known, now in ((replace(KNOWN, system=""), LATER), (KNOWN, replace(LATER, system=""))):
        assert lineage(now, known) is Lineage.UNPROVEN
        assert lineage(replace(now, address="second:5432/plant"), known) is Lineage.OTHER
    # Without an address that the server tells, two ports may be two servers.
    sockets = replace(KNOWN, server="", address="/tmp:5432/plant")
    assert lineage(replace(LATER, server="", address="/tmp:5433/plant"), sockets) is Lineage.OTHER
