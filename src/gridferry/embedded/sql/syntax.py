"""SQL text -> syntax tree, by sqlglot with GridDB's keywords and no functions of its own.

SELECT, VALUES, INSERT, UPDATE and DELETE are parsed here; what makes and drops tables in `definition_syntax`. A clause
that sqlglot knows and GridDB or the emulator does not is refused where the tree is read, never dropped.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from sqlglot import exp, parser, tokens
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import SqlglotError
from sqlglot.tokens import TokenType  # type: ignore[attr-defined]

from gridferry.embedded.refusal import Code, Refusal
from gridferry.embedded.tql_syntax import depth_exceeds

_WORDS = {
    "ALL", "AND", "AS", "ASC", "BETWEEN", "CASE", "CROSS", "DELETE", "DESC", "DISTINCT", "ELSE", "END", "ESCAPE",
    "EXCEPT", "EXISTS", "FALSE", "FROM", "GLOB", "GROUP BY", "HAVING", "IN", "INNER", "INSERT", "INTERSECT", "INTO",
    "IS", "ISNULL", "JOIN", "LEFT", "LIKE", "LIMIT", "NATURAL", "NOT", "NULL", "OFFSET", "ON", "OR", "ORDER BY",
    "OUTER", "OVER", "RIGHT", "FULL", "SELECT", "SET", "THEN", "TRUE", "UNION", "UPDATE", "USING", "VALUES", "WHEN",
    "WHERE", "WITH",
}  # fmt: skip
MAX_NESTING = 100
MAX_TOKENS = 100_000
# Characters: parsing takes many times as many bytes.
MAX_TEXT = 4 << 20
_MARKS = frozenset({TokenType.PLACEHOLDER})
_QUOTED = frozenset({TokenType.STRING, TokenType.IDENTIFIER})
_PLACES = ("FIRST", "LAST")


def syntax_error(message: str) -> Refusal:
    """What the real server says to a text that is no SQL, and to what its SQL does not have."""
    return Refusal(Code.SQL_COMPILE_SYNTAX_ERROR, f"Parse SQL failed, reason = {message}")


def unsupported(what: str) -> Refusal:
    """What the emulator does not do, by name."""
    return Refusal(Code.SQL_COMPILE_UNSUPPORTED, f"the emulator's SQL has no {what}; a real GridDB may have it")


class GridSql(Dialect):
    """GridDB's SQL, as far as tokens and functions go."""

    class Tokenizer(tokens.Tokenizer):
        """Only GridDB's words are keywords: TIMESTAMP, for one, is the name of a function."""

        QUOTES: ClassVar[list[str | tuple[str, str]]] = ["'"]
        IDENTIFIERS: ClassVar[list[str | tuple[str, str]]] = ['"', ("[", "]")]
        COMMENTS: ClassVar[list[Any]] = ["--", ("/*", "*/")]
        HEX_STRINGS: ClassVar[list[str | tuple[str, str]]] = [("x'", "'"), ("X'", "'")]
        KEYWORDS: ClassVar[dict[str, Any]] = {
            word: token
            for word, token in tokens.Tokenizer.KEYWORDS.items()
            if word in _WORDS or not any(letter.isalpha() or letter in "{}#" for letter in word)
        }

    class Parser(parser.Parser):
        """Every call is an anonymous function: what it means is for `functions` to say."""

        FUNCTIONS: ClassVar[dict[str, Any]] = {}
        FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {"CAST": lambda self: _cast(self)}
        NO_PAREN_FUNCTIONS: ClassVar[dict[Any, Any]] = {}
        NO_PAREN_FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {"CASE": lambda self: self._parse_case()}
        # Each knows where it stands in the text: the tree does not keep their order.
        PLACEHOLDER_PARSERS: ClassVar[dict[Any, Any]] = {
            TokenType.PLACEHOLDER: lambda self: exp.Placeholder(this=self._prev.start)
        }


def _cast(parsing: Any) -> exp.Expression:
    """`value AS TYPE` or `value AS TYPE(n)`; the type stays a text."""
    value = parsing._parse_disjunction()
    if not parsing._match(TokenType.ALIAS):
        parsing.raise_error("Expected AS after CAST")
    name = parsing._parse_id_var()
    kind = "" if name is None else name.name.upper()
    if parsing._match(TokenType.L_PAREN):
        digits = parsing._parse_primary()
        parsing._match_r_paren()
        kind += "" if digits is None else f"({digits.name})"
    return exp.Cast(this=value, to=exp.Var(this=kind))


@dataclass(frozen=True)
class Parsed:
    """A statement's syntax tree, and how many parameters it has. Their nodes hold their numbers, from 0."""

    tree: exp.Expression
    parameters: int = 0


@lru_cache(maxsize=512)
def parse(text: str) -> Parsed:
    """A statement that reads or changes rows. Do not change its tree: it is kept.

    Raises: Refusal 240001 for what is no SQL, 240000 for two statements.
    """
    if len(text) > MAX_TEXT:
        raise Refusal(Code.CM_LIMITS_EXCEEDED, f"a statement of {len(text):,} characters: {MAX_TEXT:,} at most")
    try:
        found = tokens_of(text)
        _check_words(found)
        trees: list[Any] = [tree for tree in GridSql().parser().parse(found, text) if tree is not None]
    except SqlglotError as error:
        raise syntax_error(_plain(error)) from error
    except RecursionError as error:
        raise syntax_error("the statement is nested too deeply") from error
    if len(trees) > 1:
        raise Refusal(Code.SQL_COMPILE_UNSUPPORTED, "Unsupported multiple statements")
    if not trees:
        raise syntax_error("Syntax error at or near the end")
    if depth_exceeds(trees[0], MAX_NESTING):
        raise syntax_error("the statement is nested too deeply")
    marks = {token.start: number for number, token in enumerate(t for t in found if t.token_type in _MARKS)}
    for node in trees[0].find_all(exp.Placeholder):
        node.set("this", marks[node.this])
    return Parsed(trees[0], len(marks))


def tokens_of(text: str) -> list[Any]:
    """The tokens of a text. Raises: Refusal 240001 for more than the real server takes, SqlglotError."""
    found: list[Any] = GridSql().tokenize(text)
    if len(found) > MAX_TOKENS:
        raise syntax_error("Too many tokens")
    return found


def _check_words(found: list[Any]) -> None:
    """Refuse by name what sqlglot would take for something else, or for an error."""
    for word, following in itertools.pairwise(found):
        text, after = str(word.text).upper(), str(following.text).upper()
        if word.token_type in _QUOTED:
            continue
        # sqlglot cannot tell NULLS FIRST from none; here NULL is the greatest value, and nothing else can be asked for.
        if text == "NULLS" and after in _PLACES:
            raise syntax_error(f'Syntax error at or near "{word.text}"')
        if text == "OVER" and after == "(":
            raise unsupported("window functions (OVER)")
        if text == "GROUP BY" and after == "RANGE":
            raise unsupported("GROUP BY RANGE")


def _plain(error: SqlglotError) -> str:
    # sqlglot underlines the place with terminal codes.
    return str(error).partition("\n")[0].replace("\x1b[4m", "").replace("\x1b[0m", "")


def check_parts(node: exp.Expression, known: frozenset[str], what: str) -> None:
    """Raise 240001 if a node has a part that is not one of these."""
    extra = [name for name, value in node.args.items() if value and name not in known]
    if extra:
        raise syntax_error(f"{what} has no {extra[0].rstrip('_').upper()} here")
