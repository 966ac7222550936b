"""Columns of types that are not PostgreSQL's own: their operators are outside the search path of a session."""

from __future__ import annotations

import pytest

from gridferry.model.table import Column, Table, UniqueKey
from gridferry.source.postgres.catalog.pg_types import RawType, pg_type
from gridferry.source.postgres.rows.chunks import _range_column
from gridferry.source.postgres.sql.names import listed_names


def table(schema: str, name: str, typtype: str = "b") -> Table:
    made = pg_type(RawType(name, schema, typtype, "S"), formatted=name, domain="")
    return Table("public", "t", "r", (Column("k", made),), (UniqueKey("t_pkey", ("k",), primary=True),),
                 indexed=frozenset({"k"}))  # fmt: skip


def test_ranges_are_cut_only_where_the_comparison_is_the_one_that_sorted_the_bounds() -> None:
    assert _range_column(table("pg_catalog", "text")) == "k"
    assert _range_column(table("public", "mood", "e")) == "k"
    assert _range_column(table("public", "citext")) == ""


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ('"$user", public', ["$user", "public"]),
        ("App,PUBLIC", ["app", "public"]),
        ('"A, b" , "say ""hi""", c', ["A, b", 'say "hi"', "c"]),
        ("", []),
        ('""', []),
    ],
)
def test_a_search_path_is_read_as_postgresql_reads_it(written: str, names: list[str]) -> None:
    assert listed_names(written) == names
