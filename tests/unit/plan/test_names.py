"""Container names: legal, reversible, and one for each value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridferry.griddb.wire.names import legal_part
from gridferry.plan.names import (
    EMPTY_SPELLING,
    NULL_SPELLING,
    column_name_problem,
    escape,
    name_problem,
    naming_template,
    needed_renames,
    suggested_column_names,
    value_of,
)

_VALUES = st.none() | st.text(st.characters(exclude_categories=["Cs"]))


@given(_VALUES)
def test_every_value_has_a_legal_spelling_that_leads_back(value: str | None) -> None:
    assert legal_part(escape(value))
    assert value_of(escape(value)) == value


@given(_VALUES, _VALUES)
def test_two_values_share_a_spelling_only_if_they_are_one(one: str | None, other: str | None) -> None:
    assert (escape(one) == escape(other)) == (one == other)


@given(_VALUES)
def test_no_value_looks_like_null_or_empty_in_any_case(value: str | None) -> None:
    if value:
        assert escape(value).lower() not in (NULL_SPELLING, EMPTY_SPELLING)


@pytest.mark.parametrize(
    ("value", "spelling"),
    [
        ("b8:27:eb:bf:9d:51", "b8=3A27=3Aeb=3Abf=3A9d=3A51"),
        ("=null", "=3Dnull"),
        ("ä b", "=C3=A4=20b"),
        ("a/b.c-d_E9", "a/b.c-d_E9"),
        (None, "=null"),
        ("", "=empty"),
    ],
)
def test_spellings(value: str | None, spelling: str) -> None:
    assert escape(value) == spelling


@pytest.mark.parametrize(("table", "split_by"), [("gridferry_state", None), ("GridFerry_x", "device")])
def test_a_table_that_is_called_as_gridferrys_own_gets_a_name_that_no_other_has(
    table: str, split_by: str | None
) -> None:
    name = naming_template(None, schema="public", table=table, split_by=split_by)
    assert name_problem(name.replace("{value}", "x")) == ""
    letter, rest = bytes.fromhex(name[1:3]).decode(), name[3:]
    assert f"{letter}{rest}".removesuffix("_{value}") == table
    assert "=67" not in escape(table)
    assert naming_template("gridferry_x", schema="public", table="t", split_by=None) == "gridferry_x"  # refused by name


@pytest.mark.parametrize("text", ["=3a", "=41", "=", "a=", "=NULL"])
def test_spellings_that_nothing_has(text: str) -> None:
    with pytest.raises(ValueError):
        value_of(text)


def test_templates() -> None:
    def template(text: str | None, schema: str = "public", split_by: str | None = "dev") -> str:
        return naming_template(text, schema=schema, table="my table", split_by=split_by)

    assert template(None) == "my=20table_{value}"
    assert template(None, schema="Ops") == "Ops_my=20table_{value}"
    assert template(None, schema="Ops", split_by=None) == "Ops_my=20table"
    assert template("{schema}.{table}-{dev}") == "public.my=20table-{value}"


def test_names_that_cannot_be() -> None:
    assert name_problem("device_1") == ""
    assert "ASCII" in name_problem("device 1")
    assert "ASCII" in name_problem("")
    assert "16384" in name_problem("x" * 16385)
    assert "gridferry_" in name_problem("GridFerry_state")
    assert "256" in column_name_problem("x" * 257)
    assert "ASCII" in column_name_problem("temp °C")
    assert suggested_column_names(["temp °C"]) == {"temp °C": "temp_C"}
    assert column_name_problem("gridferry_x") == ""


def test_names_in_other_scripts_are_written_in_letters_or_numbered() -> None:
    columns = ["id", "температура", "давление", "größe", "Größe", "日本語", "温度", "column_2"]
    assert needed_renames([(name, name) for name in columns]) == {
        "температура": "temperatura",
        "давление": "davlenie",
        "größe": "groesse",
        "Größe": "Groesse_2",
        "日本語": "column",
        "温度": "column_3",
    }


@given(st.lists(st.text(min_size=1, max_size=40) | st.sampled_from(["a", "A", "ä", "ß", "ss", "日", "x" * 300, "_"])))
def test_followed_to_the_letter_the_names_are_valid_together(columns: list[str]) -> None:
    columns = list(dict.fromkeys(columns))
    renames = needed_renames([(name, name) for name in columns])
    names = [renames.get(name, name) for name in columns]
    assert [name for name in names if column_name_problem(name)] == []
    assert len({name.lower() for name in names}) == len(names)
    assert needed_renames(list(zip(columns, names, strict=True))) == {}
