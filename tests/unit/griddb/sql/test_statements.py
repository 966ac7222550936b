"""What is known of a statement's text: its parameters, and whether it is a plain INSERT."""

from __future__ import annotations

import pytest

from gridferry.griddb.sql.statements import Insert, count_marks, insert_of, with_marks


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("SELECT ?", 1),
        ("SELECT '?', \"?\", [?], ? -- ?\n, ? /* ? */", 2),
        ("SELECT 'it''s ?', ?", 1),
        ("SELECT 'open ?", 0),
        ("", 0),
    ],
)
def test_marks_in_texts_names_and_comments_are_none(text: str, marks: int) -> None:
    assert count_marks(text) == marks


@pytest.mark.parametrize(
    ("text", "marked", "names"),
    [
        ("SELECT :a, :b, :a", "SELECT ?, ?, ?", ("a", "b", "a")),
        ("SELECT ':a', x::y, :größe", "SELECT ':a', x::y, ?", ("größe",)),
        ("SELECT '12:30'", "SELECT '12:30'", ()),
    ],
)
def test_named_parameters_become_marks(text: str, marked: str, names: tuple[str, ...]) -> None:
    assert with_marks(text) == (marked, names)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("insert into t values (?)", Insert("insert into t values ", "t", (), 1)),
        ('INSERT OR REPLACE INTO "T x" VALUES(?,?);', Insert('INSERT OR REPLACE INTO "T x" VALUES ', '"T x"', (), 2)),
        (
            'INSERT /* all */ INTO t (a, "B c") VALUES (?, ?)',
            Insert('INSERT INTO t ( a , "B c" ) VALUES ', "t", ("a", "B c"), 2),
        ),
        ("INSERT INTO t VALUES (?, 1)", None),
        ("INSERT INTO t VALUES (?), (?)", None),
        ("INSERT INTO t (a) VALUES (?, ?)", None),
        ("INSERT INTO t SELECT ?", None),
        ("INSERT INTO t VALUES (?); DROP TABLE t", None),
        ("INSERT INTO t () VALUES (?)", None),
        ("INSERT INTO t VALUES (?", None),
        ("UPDATE t SET a = ?", None),
        ("", None),
    ],
)
def test_which_statement_is_a_plain_insert(text: str, found: Insert | None) -> None:
    assert insert_of(text) == found


def test_an_insert_of_many_rows() -> None:
    insert = insert_of("INSERT INTO t VALUES (?, ?)")
    assert insert is not None
    assert insert.of_rows(3) == "INSERT INTO t VALUES (?,?),(?,?),(?,?)"
