"""What a driver must know of a statement's text: where its parameters are, and whether it is a plain INSERT."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from gridferry.griddb.sql.errors import ProgrammingError

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|--[^\n]*|/\*.*?(?:\*/|\Z))
    |(?P<text>'(?:[^']|'')*'?)
    |(?P<quoted>"(?:[^"]|"")*"?|\[[^\]]*\]?)
    |(?P<named>:[A-Za-z_]\w*)
    |(?P<word>[^\W\d]\w*)
    |(?P<mark>\?)
    |(?P<other>::|.)
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Token:
    """A piece of a statement: `kind` is text, quoted, named, word, mark or other."""

    kind: str
    text: str


@dataclass(frozen=True)
class Insert:
    """`INSERT [OR REPLACE] INTO table [(columns)] VALUES (?, ..)`, of which one statement can hold many rows.

    `head` goes up to VALUES; `columns` is empty where all of the table's are meant; `parameters` counts those of a row.
    """

    head: str
    table: str  # as the statement spells it
    columns: tuple[str, ...]
    parameters: int

    def of_rows(self, rows: int) -> str:
        """The statement for so many rows."""
        return self.head + ",".join(["(" + ",".join("?" * self.parameters) + ")"] * rows)


def tokens(text: str) -> Iterator[Token]:
    """The pieces of a statement, without blanks and comments."""
    for found in _TOKEN.finditer(text):
        kind = str(found.lastgroup)
        if kind != "space":
            yield Token(kind, found[0])


@lru_cache(maxsize=256)
def count_marks(text: str) -> int:
    """How many `?` stand for parameters."""
    return sum(token.kind == "mark" for token in tokens(text))


@lru_cache(maxsize=256)
def with_marks(text: str) -> tuple[str, tuple[str, ...]]:
    """A statement with `:name` parameters as one with `?`, and the names in order, repeated ones repeated."""
    pieces, names = [], []
    for found in _TOKEN.finditer(text):
        if found.lastgroup == "named":
            names.append(found[0][1:])
        elif found.lastgroup == "mark":
            raise ProgrammingError(
                "the statement has ? and its parameters have names",
                next_step="give the parameters as a sequence, or write :name in the statement",
            )
        pieces.append("?" if found.lastgroup == "named" else found[0])
    return "".join(pieces), tuple(names)


def in_order(names: tuple[str, ...], parameters: Mapping[str, Any]) -> list[Any]:
    """The values of named parameters in the order of their marks. Raises: ProgrammingError for one that is missing."""
    missing = sorted({name for name in names if name not in parameters})
    if missing:
        raise ProgrammingError(f"the parameter :{missing[0]} of the statement is not given")
    return [parameters[name] for name in names]


def first_word(text: str) -> str:
    """The first word of a statement, in capitals; empty where it begins with none."""
    token = next(tokens(text), None)
    return token.text.upper() if token is not None and token.kind == "word" else ""


_NAME = r"""[^\W\d]\w*|"(?:[^"]|"")+"|\[[^\]]+\]"""
_INSERT = re.compile(
    rf"""
    (?P<head>INSERT[ ](?:OR[ ]REPLACE[ ])?INTO[ ](?P<table>{_NAME})[ ]
      (?:\([ ](?P<columns>(?:{_NAME})(?:[ ],[ ](?:{_NAME}))*)[ ]\)[ ])?
      VALUES)
    [ ]\([ ](?P<marks>\?(?:[ ],[ ]\?)*)[ ]\)(?:[ ];)?
    """,
    re.VERBOSE | re.IGNORECASE,
)


@lru_cache(maxsize=256)
def insert_of(text: str) -> Insert | None:
    """The plain INSERT that a statement is, or None for any other statement."""
    found = _INSERT.fullmatch(" ".join(token.text for token in tokens(text)))
    if found is None:
        return None
    marks = found["marks"].count("?")
    columns = tuple(unquoted(name) for name in re.findall(_NAME, found["columns"] or ""))
    if columns and len(columns) != marks:
        return None
    return Insert(found["head"] + " ", found["table"], columns, marks)


def unquoted(name: str) -> str:
    """A name as it is stored: without its quotes."""
    if name[:1] == '"':
        return name[1:-1].replace('""', '"')
    return name[1:-1] if name[:1] == "[" else name


def quoted(name: str) -> str:
    """A name as a statement spells it exactly."""
    return '"' + name.replace('"', '""') + '"'
