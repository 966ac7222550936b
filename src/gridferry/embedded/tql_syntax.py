"""TQL text -> syntax tree, by sqlglot with GridDB's few keywords and no functions of its own.

Grammar (GridDB TQL reference, "Basic Syntax"): [EXPLAIN [ANALYZE]] SELECT * | function [FROM name] [WHERE condition]
[ORDER BY column [ASC|DESC], ...] [LIMIT n [OFFSET m]]. There are no column lists, joins, groups, IN or BETWEEN.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import sqlglot
from sqlglot import exp, parser, tokens
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ParseError, SqlglotError
from sqlglot.tokens import TokenType  # type: ignore[attr-defined]

from gridferry.embedded.refusal import Code, Refusal

_WORDS = {
    "SELECT", "FROM", "WHERE", "AND", "OR", "NOT", "LIKE", "ESCAPE", "IS", "NULL",
    "ORDER BY", "ASC", "DESC", "LIMIT", "OFFSET",
}  # fmt: skip
MAX_NESTING = 100
MAX_TEXT = 1 << 20  # characters: parsing takes a thousand times as many bytes
_EXPLAIN = re.compile(r"\s*EXPLAIN\b(\s+ANALYZE\b)?", re.IGNORECASE)
_SELECT = re.compile(r"\s*(?:--[^\n]*\n|/\*.*?\*/|\s)*SELECT\b", re.IGNORECASE | re.DOTALL)


class Tql(Dialect):
    """GridDB's query language, as far as tokens and functions go."""

    class Tokenizer(tokens.Tokenizer):
        """Only TQL's words are keywords: TIMESTAMP, for one, is the name of a function here."""

        QUOTES: ClassVar[list[str | tuple[str, str]]] = ["'"]
        IDENTIFIERS: ClassVar[list[str | tuple[str, str]]] = ['"']
        COMMENTS: ClassVar[list[Any]] = ["--", ("/*", "*/")]
        KEYWORDS: ClassVar[dict[str, Any]] = {
            word: token
            for word, token in tokens.Tokenizer.KEYWORDS.items()
            if word in _WORDS or not any(letter.isalpha() or letter in "{}#" for letter in word)
        } | {"XOR": TokenType.XOR}

    class Parser(parser.Parser):
        """Every call is an anonymous function: what it means is for `tql_functions` to say."""

        FUNCTIONS: ClassVar[dict[str, Any]] = {}
        FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {}
        NO_PAREN_FUNCTIONS: ClassVar[dict[Any, Any]] = {}
        NO_PAREN_FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {}
        CONJUNCTION: ClassVar[dict[Any, Any]] = {
            **parser.Parser.CONJUNCTION,
            TokenType.XOR: exp.Xor,
        }


@dataclass(frozen=True)
class Statement:
    """A parsed query. `select` is None for `SELECT *`, else the one function call."""

    select: exp.Anonymous | None
    container: str | None
    where: exp.Expression | None
    order: tuple[tuple[exp.Expression, bool], ...]
    limit: int | None
    offset: int
    explain: bool = False
    analyze: bool = False


@lru_cache(maxsize=1024)
def parse(text: str) -> Statement:
    """The query's syntax tree. Raises: Refusal 151001 for what is no TQL, 151002 for what ends too early."""
    if len(text) > MAX_TEXT:
        raise Refusal(Code.TQ_SYNTAX_ERROR_EXECUTION, f"a query of {len(text):,} characters: {MAX_TEXT:,} is the limit")
    prefix = _EXPLAIN.match(text)
    query = text[prefix.end() :] if prefix else text
    first = query.split(maxsplit=1)[:1]
    if first and not _SELECT.match(query):
        raise Refusal(Code.TQ_SYNTAX_ERROR_EXECUTION, f"Syntax error during parse: {first[0]}")
    try:
        trees = [tree for tree in sqlglot.parse(query, read=Tql) if tree is not None]
    except ParseError as error:
        if not any("Unexpected token" in str(e.get("description")) for e in error.errors):
            raise _ends_early() from error
        raise Refusal(Code.TQ_SYNTAX_ERROR_EXECUTION, f"syntax error: {_plain(error)}") from error
    except SqlglotError as error:
        raise Refusal(Code.TQ_SYNTAX_ERROR_INVALID_TOKEN, f"Invalid token: {_plain(error)}") from error
    except RecursionError as error:
        raise Refusal(Code.TQ_SYNTAX_ERROR_EXECUTION, "the query is nested too deeply") from error
    if not trees:
        raise _ends_early()
    tree = trees[0]
    if len(trees) > 1 or not isinstance(tree, exp.Select):
        raise Refusal(Code.TQ_SYNTAX_ERROR_EXECUTION, "a query is one SELECT")
    _check_clauses(tree)
    return Statement(
        select=_selected(tree),
        container=_container(tree),
        where=tree.args["where"].this if tree.args.get("where") else None,
        order=_order(tree),
        limit=_number(tree.args.get("limit")),
        offset=_number(tree.args.get("offset")) or 0,
        explain=prefix is not None,
        analyze=prefix is not None and prefix[1] is not None,
    )


def _ends_early() -> Refusal:
    return Refusal(Code.TQ_SYNTAX_ERROR_INVALID_TOKEN, "Invalid token ''")


def _plain(error: SqlglotError) -> str:
    # sqlglot underlines the place with terminal codes.
    return str(error).partition("\n")[0].replace("\x1b[4m", "").replace("\x1b[0m", "")


def _check_clauses(tree: exp.Select) -> None:
    known = {"expressions", "from", "from_", "where", "order", "limit", "offset", "kind"}
    extra = [name for name, value in tree.args.items() if value and name not in known]
    if extra:
        raise Refusal(Code.TQ_SYNTAX_ERROR_EXECUTION, f"TQL has no {', '.join(extra)}")
    if tree.args.get("offset") and not tree.args.get("limit"):
        raise Refusal(Code.TQ_SYNTAX_ERROR_EXECUTION, "Syntax error during parse: OFFSET without LIMIT")
    if depth_exceeds(tree, MAX_NESTING):
        raise Refusal(Code.TQ_SYNTAX_ERROR_EXECUTION, "the query is nested too deeply")


def depth_exceeds(tree: exp.Expression, limit: int) -> bool:
    """Whether a tree has more levels than that."""
    level = [tree]
    for _ in range(limit):
        level = [child for node in level for child in operands(node)]
        if not level:
            return False
    return True


def operands(node: exp.Expression) -> list[exp.Expression]:
    """What a node is made of; a chain of one AND or OR after the other is one node, however long."""
    if not isinstance(node, (exp.And, exp.Or)):
        return list(node.iter_expressions())
    found: list[exp.Expression] = []
    rest: exp.Expression = node
    while type(rest) is type(node):
        found.append(rest.expression)
        rest = rest.this
    return [rest, *reversed(found)]


def _selected(tree: exp.Select) -> exp.Anonymous | None:
    chosen = tree.expressions
    if len(chosen) == 1 and isinstance(chosen[0], exp.Star) and not any(chosen[0].args.values()):
        return None
    if len(chosen) == 1 and isinstance(chosen[0], exp.Anonymous):
        return chosen[0]
    if not chosen or (isinstance(chosen[0], exp.Column) and len(chosen) == 1 and not _clauses(tree)):
        # A name alone is the beginning of a function call.
        raise _ends_early()
    raise Refusal(Code.TQ_SYNTAX_ERROR_EXECUTION, "a query selects * or one function; there are no column lists")


def _clauses(tree: exp.Select) -> list[str]:
    return [name for name, value in tree.args.items() if value and name != "expressions"]


def _container(tree: exp.Select) -> str | None:
    source = tree.args.get("from_") or tree.args.get("from")
    if source is None:
        return None
    table = source.this
    if not isinstance(table, exp.Table) or table.args.get("alias") or table.args.get("db"):
        raise Refusal(Code.TQ_SYNTAX_ERROR_EXECUTION, "FROM takes the container's name alone")
    return str(table.name)


def _order(tree: exp.Select) -> tuple[tuple[exp.Expression, bool], ...]:
    order = tree.args.get("order")
    if order is None:
        return ()
    return tuple(
        (item.this, bool(item.args.get("desc"))) if isinstance(item, exp.Ordered) else (item, False)
        for item in order.expressions
    )


def _number(clause: exp.Expression | None) -> int | None:
    if clause is None:
        return None
    value = clause.args.get("expression")
    if not isinstance(value, exp.Literal) or value.is_string or not str(value.this).isdigit():
        raise Refusal(Code.TQ_SYNTAX_ERROR_EXECUTION, "LIMIT and OFFSET take a whole number")
    return min(int(value.this), 2**63 - 1)
