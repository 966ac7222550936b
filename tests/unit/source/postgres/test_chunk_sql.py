"""The SQL of chunks and keys, without a server."""

from __future__ import annotations

import pytest

from gridferry.errors import SourceRefused
from gridferry.model.chunk import Chunk, ChunkKind, Snapshot
from gridferry.model.table import Relation
from gridferry.source.postgres.rows.chunks import chunk_condition, recent_chunk, relation_source, snapshot_xmin
from gridferry.source.postgres.sql.keys import key_parts


def condition(kind: ChunkKind, low: str | None, high: str | None, column: str = "") -> str:
    return chunk_condition(Chunk(0, kind, "s", "t", column, low, high)).as_string(None)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (None, "5", "ctid < '(5,0)'::pg_catalog.tid"),
        ("5", "9", "ctid >= '(5,0)'::pg_catalog.tid AND ctid < '(9,0)'::pg_catalog.tid"),
        ("9", None, "ctid >= '(9,0)'::pg_catalog.tid"),
        (None, None, "TRUE"),
    ],
)
def test_pages(low, high, expected):
    assert condition(ChunkKind.PAGES, low, high) == expected


def test_keys_and_where_null_belongs():
    assert condition(ChunkKind.KEYS, None, "it's", 'a"b') == """("a""b" < 'it''s' OR "a""b" IS NULL)"""
    assert condition(ChunkKind.KEYS, "x", None, "k") == "\"k\" >= 'x'"
    assert condition(ChunkKind.KEYS, None, None, "k") == '(TRUE OR "k" IS NULL)'
    assert "E'" in condition(ChunkKind.KEYS, "back\\slash", None, "k")


def test_recent_compares_ids_modulo_32_bits():
    old = Snapshot("n", "0/0", f"{3 * 2**32 + 17}:{3 * 2**32 + 99}:{3 * 2**32 + 20}", "")
    assert snapshot_xmin(old) == 3 * 2**32 + 17
    chunk = recent_chunk(Relation("s", "t", 1, 1), snapshot_xmin(old), number=4)
    assert (chunk.number, chunk.kind) == (4, ChunkKind.RECENT)
    assert chunk_condition(chunk).as_string(None) == "pg_catalog.age(xmin) <= pg_catalog.age('17'::pg_catalog.xid)"


def test_only_unless_the_tree_comes_along():
    assert relation_source(Chunk(0, ChunkKind.WHOLE, "s", "t")).as_string(None) == 'ONLY "s"."t"'
    assert relation_source(Chunk(0, ChunkKind.WHOLE, "s", "t", tree=True)).as_string(None) == '"s"."t"'
    assert relation_source(Chunk(0, ChunkKind.WHOLE, "s", "t1"), "t").as_string(None) == 'ONLY "s"."t1" AS "t"'
    assert relation_source(Chunk(0, ChunkKind.WHOLE, "s", "t"), "t").as_string(None) == 'ONLY "s"."t"'


CATALOG = [("k", True, "r", "text"), ("ts", False, "r", "timestamp"), ("n", False, "r", "int4")]


def test_text_keys_are_grouped_by_their_bytes_and_times_cut():
    key = key_parts(CATALOG, table="s.t", columns=("k", "ts", "n"), split=1, truncate="ts")
    assert key.grouped.as_string(None) == (
        """("k"::text COLLATE "C"), date_trunc('milliseconds', "ts"), "n\""""
    )  # fmt: skip
    assert key.complete.as_string(None) == '"ts" IS NOT NULL AND "n" IS NOT NULL'


def test_a_key_of_a_column_that_is_not_there():
    with pytest.raises(SourceRefused, match=r"s\.t has no column x, y"):
        key_parts(CATALOG, table="s.t", columns=("x", "k", "y"), split=0)
