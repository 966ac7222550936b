"""A `where` that is not whole is refused in the config; one that is whole stays whole where a condition is added."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.plan.tables import sensor, sensor_facts

import gridferry
from gridferry.errors import ConfigError
from gridferry.plan.conditions import condition_problem
from gridferry.plan.config import parse_config
from gridferry.plan.planner import plan_table
from gridferry.plan.table_options import table_options

PLAN = plan_table(sensor(), sensor_facts(), table_options(table="public.device", key=["ts"]))
WHOLE = (
    "",
    "active",
    "active -- only the live ones",
    "active -- (what it's about; \"so",
    "active /* of /* two */ kinds ; ' */",
    "name = 'it''s -- no comment' AND note <> E'a\\'b('",
    '"odd "" (name" > 3',
    "note = $$it's (;$$ OR note = $tag$ $$ ( $tag$",
    "a$b$c = 1 AND (x IN (1, 2))",
    "note ~ '\\'",
)
BROKEN = {
    "active /* unclosed": "a comment",
    "active /* one /* two */": "a comment",
    "name = 'open": "a quote '",
    "name = E'open\\'": "a quote '",
    'id > "open': 'a quote "',
    "note = $x$ open $$": "a text $x$",
    "a) OR (true": "closes a parenthesis",
    "(a": "opens a parenthesis",
    "true; DROP TABLE t": "a semicolon",
    "a\0b": "NUL",
}


@pytest.mark.parametrize("text", WHOLE)
def test_what_is_whole_is_taken(text: str) -> None:
    assert condition_problem(text) == ""


@pytest.mark.parametrize("text", BROKEN)
def test_what_is_not_is_told(text: str) -> None:
    assert BROKEN[text] in condition_problem(text)


def test_the_config_refuses_it() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(
            "{source: postgresql://h/d, target: 'griddb://u@h/c', tables: [{table: a.b, where: 'x /* y'}]}", env={}
        )
    assert "where: has a comment /* without its */" in caught.value.message


PIECES = st.lists(
    st.sampled_from(["(a > 1)", "'it''s'='x'", "/* c ' */", "a < 3", "--c(\n", "AND", "--c", '"a" = 2', "OR", " "]),
    max_size=8,
)


@given(PIECES, st.sampled_from(["a = 5", "a = 7"]))
def test_a_condition_is_added_to_all_of_it_and_to_nothing_else(pieces: list[str], more: str) -> None:
    """By a database's own judgement: the rows of both conditions are the rows of each."""
    where = " ".join(pieces)
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t AS SELECT range::int AS a FROM range(10)")

    def rows(condition: str) -> set[int] | None:
        try:
            return {row[0] for row in connection.execute(f"SELECT a FROM t WHERE (\n{condition}\n)").fetchall()}
        except duckdb.Error:
            return None

    alone = rows(where) if where.strip() else set(range(10))
    if alone is None:
        return  # no condition at all: PostgreSQL says so before anything is read
    narrowed = replace(PLAN, where=where).narrowed(more).where
    assert rows(narrowed) == alone & (rows(more) or set())


def test_nobody_else_puts_a_condition_together() -> None:
    """`TablePlan.narrowed` adds to a `where`, `condition_sql` puts it into a statement; there are no others."""
    package = Path(gridferry.__file__).parent
    made = re.compile(
        r"\{[\w.]*\.where\}|\breplace\([^)]*\bwhere=|SQL\([\w.]*\.where|\.where\b(?!\()\s*\+|\+\s*\w+\.where\b(?!\()"
    )
    # Of ranges: the condition of a part, which is gridferry's own. Of profile: the condition bare, to be proven.
    # Of stored: the config's own, in place of the one in the state.
    allowed = {
        "plan/plan.py": 2,
        "plan/stored.py": 1,
        "source/postgres/catalog/profile.py": 1,
        "engine/comparison/ranges.py": 1,
    }
    found: dict[str, int] = {}
    for file in package.rglob("*.py"):
        name = str(file.relative_to(package))
        if not name.startswith(("griddb/", "embedded/")) and (count := len(made.findall(file.read_text()))):
            found[name] = count
    assert found == allowed
