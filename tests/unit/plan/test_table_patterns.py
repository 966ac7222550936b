"""Entries that mean many tables: which tables a pattern matches, who wins, and every mistake at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridferry.errors import ConfigError
from gridferry.model.table import TableName
from gridferry.plan.config import Config, NewTables, parse_config
from gridferry.plan.drift import fingerprint
from gridferry.plan.plan import OnBadRow
from gridferry.plan.table_names import spelled
from gridferry.plan.table_options import is_pattern, table_options
from gridferry.plan.table_patterns import name_pattern

HEAD = "source: postgresql://u@h/db\ntarget: griddb://admin@127.0.0.1:10001/myCluster/public\n"
LETTERS = st.text(alphabet='ab.*?["\n A', max_size=6)
NAMES = [TableName(*name.split(".")) for name in ("public.a", "public.b", "public.log_1", "sales.a", "sales.log_2")]


def config_of(text: str) -> Config:
    return parse_config(HEAD + text, name="gridferry.yaml", env={})


def meant(text: str, names: list[TableName] = NAMES) -> list[str]:
    return [options.qualified for options in config_of(text).meaning(names).tables]


def mistakes(text: str, names: list[TableName] = NAMES) -> str:
    with pytest.raises(ConfigError) as caught:
        config_of(text).meaning(names)
    assert caught.value.next_step
    return caught.value.message


def fits(pattern: str, text: str) -> bool:
    """The reference: `*` any letters, `?` one, each other letter itself."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(fits(pattern[1:], text[n:]) for n in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and fits(pattern[1:], text[1:])


@given(LETTERS, LETTERS, LETTERS, LETTERS)
def test_a_pattern_matches_as_its_letters_say(schema: str, name: str, in_schema: str, table: str) -> None:
    parts = [part for part in (schema, name) if part and not set(part) & {".", '"'}]
    if len(parts) < 2:
        return
    pattern = name_pattern(f"{schema}.{name}")
    assert pattern is not None
    expected = fits(schema, in_schema) and fits(name, table)
    assert pattern.matches(TableName(in_schema, table)) is expected


@given(LETTERS.filter(bool), LETTERS.filter(bool))
def test_a_name_as_it_is_spelled_means_that_table_alone(schema: str, table: str) -> None:
    written = spelled(schema, table)
    assert not is_pattern(written)
    assert table_options(table=written).full_name == (schema, table)
    pattern = name_pattern(written)
    assert pattern is not None
    assert pattern.matches(TableName(schema, table))
    assert not pattern.matches(TableName(schema, table + "x"))


def test_many_stars_end_in_time() -> None:
    pattern = name_pattern("*a" * 30)
    assert pattern is not None
    assert not pattern.matches(TableName("public", "a" * 62 + "b"))


@pytest.mark.parametrize(
    ("entry", "tables"),
    [
        ("public.*", ["public.a", "public.b", "public.log_1"]),
        ("'*'", ["public.a", "public.b", "public.log_1"]),
        ("'*.a'", ["public.a", "sales.a"]),
        ("'?????.log_?'", ["sales.log_2"]),
        ("'*.*'", ["public.a", "public.b", "public.log_1", "sales.a", "sales.log_2"]),
        ("'\"public\".l*'", ["public.log_1"]),
    ],
)
def test_patterns_over_schemas_and_names(entry: str, tables: list[str]) -> None:
    assert meant(f"tables: [{{table: {entry}}}]") == tables


def test_a_star_in_quotes_is_a_letter() -> None:
    config = config_of("tables: [{table: 'public.\"a*\"'}]")
    assert not config.patterns
    assert config.tables[0].full_name == ("public", "a*")
    assert spelled("Sales", "a*") == '"Sales"."a*"'


def test_except_takes_tables_out() -> None:
    assert meant("tables: [{table: 'public.*', except: [b, 'log_*']}]") == ["public.a"]
    assert meant("tables: [{table: '*.*', except: 'log_*'}]") == ["public.a", "public.b", "sales.a"]
    assert meant("tables: [{table: '*.*', except: [public.*]}]") == ["sales.a", "sales.log_2"]


def test_a_single_entry_wins_and_a_named_table_is_not_twice() -> None:
    config = config_of(
        "defaults: {on_bad_row: quarantine, kind: collection}\n"
        "tables:\n  - {table: public.*, key: id}\n  - {table: b, kind: auto}\n"
    ).meaning(NAMES)
    found = {options.qualified: options for options in config.tables}
    assert [*found] == ["public.b", "public.a", "public.log_1"]
    assert {options.on_bad_row for options in found.values()} == {OnBadRow.QUARANTINE}
    assert (found["public.b"].kind.value, found["public.b"].key) == ("auto", ())
    assert (found["public.a"].kind.value, found["public.a"].key) == ("collection", ("id",))


def test_what_is_loaded_does_not_depend_on_how_it_is_written() -> None:
    texts = [
        "tables: [{table: a, on_bad_row: quarantine, sync: {mode: cdc}}]",
        "tables: [{table: public.a, on_bad_row: quarantine, sync: {mode: cdc}}]",
        "defaults: {on_bad_row: quarantine}\ntables: [{table: 'publi?.*', except: b, sync: {mode: cdc}}]",
        "defaults: {on_bad_row: quarantine, sync: {mode: cdc}}\ntables: [{table: public.*}]",
    ]
    found = [{o.qualified: o for o in config_of(text).meaning(NAMES).tables}["public.a"] for text in texts]
    assert len({fingerprint(options) for options in found}) == 1
    assert len({options.model_copy(update={"table": "a"}).model_dump_json() for options in found}) == 1


def test_a_default_is_taken_back_by_an_entry() -> None:
    config = config_of(
        "defaults: {sync: {mode: cdc}, key: id}\ntables: [{table: a, sync: null}, {table: b, key: [x, y]}]"
    )
    assert [options.sync_mode and options.sync_mode.value for options in config.tables] == [None, "cdc"]
    assert [options.key for options in config.tables] == [("id",), ("x", "y")]


def test_two_patterns_at_odds_are_told_with_their_tables() -> None:
    text = "tables:\n  - {table: public.*}\n  - {table: '*.log_*', on_bad_row: quarantine}\n"
    said = mistakes(text)
    assert "tables[0] (public.*) and tables[1] (*.log_*) have different on_bad_row" in said
    assert "public.log_1" in said
    assert "sales.log_2" not in said
    advised = said.partition("add `")[2].partition("`")[0]
    assert advised == 'except: ["*.log_*"]'
    mended = text.replace("{table: public.*}", f"{{table: public.*, {advised}}}")
    assert meant(mended) == ["public.a", "public.b", "public.log_1", "sales.log_2"]


def test_two_patterns_that_say_the_same_are_not_at_odds() -> None:
    assert meant("tables: [{table: public.*}, {table: 'public.log_*'}]") == ["public.a", "public.b", "public.log_1"]


def test_what_no_table_matches_is_told_all_at_once() -> None:
    said = mistakes("tables: [{table: 'shop.*'}, {table: 'public.zz*'}, {table: public.*}]")
    assert "2 mistakes" in said
    assert "tables[0].table: no table matches shop.*; the source has tables in public, sales" in said
    assert "tables[1].table: no table matches public.zz*" in said
    assert "the source has no tables" in mistakes("tables: [{table: 'shop.*'}]", [])


def test_an_except_that_takes_nothing_out_is_a_warning() -> None:
    config = config_of("tables: [{table: public.*, except: [b, tmp_*, sales.a]}]").meaning(NAMES)
    assert config.warnings == (
        "tables[0].except: tmp_* takes no table out of public.*",
        "tables[0].except: sales.a takes no table out of public.*",
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tables: [{table: a, except: [b]}]", "tables[0].except: needs a pattern in `table`"),
        ("tables: [{table: public.*, except: {a: b}}]", "tables[0].except: expected names of tables"),
        ("tables: [{table: public.*, except: []}]", "tables[0].except: expected names of tables"),
        ("tables: [{table: public.*, except: [a.b.c]}]", "tables[0].except: expected table or schema.table"),
        ("tables: [{table: public.*, container: all}]", "tables[0].container: needs {table} in it"),
        ("tables: [{table: public.*, split_by: d, containers: {x: y}}]", "tables[0].containers: names the containers"),
        ("tables: [{table: public.*, kind: fast}]", "tables[0].kind: can be auto, timeseries or collection"),
        ("tables: [{table: a.b.*}]", "tables[0].table: expected schema.table"),
        ("defaults: {split_by: d}\ntables: [{table: a}]", "defaults.split_by: belongs to one entry"),
        ("defaults: {table: d}\ntables: [{table: a}]", "defaults.table: belongs to one entry"),
        ("defaults: {on_bad_rows: error}\ntables: [{table: a}]", "defaults.on_bad_rows: is not known here; did you"),
        (
            "defaults: {sync: {mode: cdc, mod: a}}\ntables: [{table: a}]",
            "defaults.sync.mod: is not known here; did you mean",
        ),
        ("defaults: {container: all}\ntables: [{table: a}]", "defaults.container: needs {table} in it"),
        ("defaults: [a]\ntables: [{table: a}]", "defaults: expected `name: value` pairs"),
        ("new_tables: ask\ntables: [{table: a}]", "new_tables: expected tell or load"),
        ("on_table_error: go on\ntables: [{table: a}]", "on_table_error: expected isolate or stop"),
    ],
)
def test_mistakes_in_the_file(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_of(text)
    assert says in caught.value.message
    assert "one mistake" in caught.value.message


def test_names_that_are_chosen_may_be_patterns_too() -> None:
    config = config_of("new_tables: load\ntables: [{table: '*.*'}]").meaning(NAMES)
    assert config.new_tables is NewTables.LOAD
    assert [o.qualified for o in config.chosen(["log_*", "sales.*", "sales.a"])] == [
        "public.log_1", "sales.a", "sales.log_2"
    ]  # fmt: skip
    with pytest.raises(ConfigError, match=r"no table of gridferry.yaml matches z\*; it has"):
        config.chosen(["z*"])
    with pytest.raises(ConfigError, match=r"has no table public\.z; it has public\.a, public\.b"):
        config.chosen(["public.z"])


def test_forty_tables_are_not_all_in_a_message() -> None:
    names = [TableName("public", f"t{number:02}") for number in range(40)]
    with pytest.raises(ConfigError) as caught:
        config_of("tables: [{table: public.*}]").meaning(names).table("zz")
    assert "and 20 more" in caught.value.message
    assert "t30" not in caught.value.message
