"""Table names as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridferry.errors import ConfigError
from gridferry.source.postgres.sql.names import condition_sql, name_readings, near_names, relation_sql


@pytest.mark.parametrize(
    ("written", "first"),
    [
        ("device", [(None, "device")]),
        ("public.device", [("public", "device"), (None, "public.device")]),
        (" public.device ", [("public", "device"), (None, "public.device")]),
        ('"Weird Table"', [(None, "Weird Table")]),
        ('"my.schema"."a""b"', [("my.schema", 'a"b')]),
        ('Public."Device"', [("public", "Device")]),
        ('"S".Device', [("S", "device")]),
        ("a.b.c", [("a", "b.c"), ("a.b", "c"), (None, "a.b.c")]),
    ],
)
def test_readings(written, first):
    assert list(name_readings(written)[0]) == first


def test_without_quotes_folding_comes_second():
    assert name_readings("Public.Device")[1][0] == ("public", "device")
    assert len(name_readings("device")) == 1


@pytest.mark.parametrize("written", ["", "  ", ".x", "x.", '"', '"a', '"a"b', '"a".', '"a"."b"."c"', '""', '"a" "b"'])
def test_what_is_not_a_name(written):
    with pytest.raises(ConfigError, match="not a table's name"):
        name_readings(written)


@given(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1),
)
def test_quoted_names_come_back(schema, name):
    quoted = relation_sql(schema, name).as_string(None)
    assert name_readings(quoted) == (((schema, name),),)


def test_near_names():
    known = ["public.device", "public.measurements", "audit.log"]
    assert near_names("public.devise", known)[0] == "public.device"
    assert near_names("DEVICES", known)[0] == "public.device"
    assert near_names("zzz", known) == ()


def test_conditions_keep_to_themselves():
    assert condition_sql("a = 1 -- x").as_string(None) == "(\na = 1 -- x\n)"
    assert condition_sql("  ").as_string(None) == "TRUE"
    assert condition_sql("j ->> '{}' LIKE '%s'").as_string(None) == "(\nj ->> '{}' LIKE '%s'\n)"
