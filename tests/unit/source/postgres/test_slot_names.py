"""Names of slots and publications: legal, different for different syncs, and readable back."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gridferry.errors import ConfigError
from gridferry.model.migration import DatabaseOrigin, MigrationEntry
from gridferry.source.postgres.feed import ChangeFeed
from gridferry.source.postgres.session.connection import parse_address
from gridferry.source.postgres.slots.slot_names import publication_names, slot_name, sync_of


@given(st.text(min_size=1, max_size=14))
def test_every_name_comes_back(sync):
    try:
        slot = slot_name(sync)
    except UnicodeEncodeError:
        assume(False)
    except ConfigError:
        assert len(sync.encode()) > 10
        return
    assert re.fullmatch(r"[a-z0-9_]{1,63}", slot)
    assert [sync_of(name) for name in (slot, *publication_names(slot))] == [sync] * 3
    assert all(len(name) <= 63 for name in publication_names(slot))


def test_plain_names_stay_readable():
    assert slot_name("sensors2") == "gridferry_sensors2"
    assert slot_name("Sensors-2") == "gridferry__53ensors_2d2"


@pytest.mark.parametrize("sync", ["", "x" * 46, "Ä" * 20])
def test_empty_and_too_long_names_are_refused(sync):
    with pytest.raises(ConfigError, match="letters of a name"):
        slot_name(sync)


@pytest.mark.parametrize(
    "name", ["other", "gridferry_", "gridferry_A", "gridferry__zz", "gridferry__ff", "gridferry_a-b"]
)
def test_foreign_names_belong_to_no_sync(name):
    assert sync_of(name) is None


def test_another_database_in_the_place_of_the_first_has_a_slot_of_its_own():
    feed = ChangeFeed(parse_address("postgresql://reader@localhost/plant"))
    first = MigrationEntry("0a1b", "", DatabaseOrigin("7012", 16384, "plant"))
    name = feed.slot_for("public.stock", "admin@127.0.0.1:10001/c/public", first)
    renamed = replace(first, origin=DatabaseOrigin("7012", 16384, "works"))
    assert feed.slot_for("public.stock", "other@127.0.0.1:10001/c/public", renamed) == name
    others = [
        feed.slot_for("public.stock", "127.0.0.1:10001/c/public", replace(first, origin=DatabaseOrigin("7012", 16385))),
        feed.slot_for("public.stock", "127.0.0.1:10001/c/public", replace(first, key="0a1c")),
        feed.slot_for("public.stock", "127.0.0.2:10001/c/public", first),
        feed.slot_for("other.stock", "127.0.0.1:10001/c/public", first),
    ]
    assert len({name, *others}) == 5
