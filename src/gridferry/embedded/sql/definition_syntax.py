"""CREATE, DROP and ALTER: text -> what is to be made, by a small parser of its own over sqlglot's tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.tokens import TokenType  # type: ignore[attr-defined]

from gridferry.embedded.refusal import Code, Refusal
from gridferry.embedded.sql.casts import TYPE_NAMES
from gridferry.embedded.sql.syntax import syntax_error, tokens_of, unsupported
from gridferry.griddb.schema import GridType

FIRST_WORDS = frozenset({"CREATE", "DROP", "ALTER"})
_TYPES = {**TYPE_NAMES, "INT": GridType.INTEGER}
_NAMES = frozenset({TokenType.VAR, TokenType.IDENTIFIER})


@dataclass(frozen=True)
class ColumnDefinition:
    """A column as CREATE TABLE or ADD COLUMN spells it. `nullable` None: nothing is said."""

    name: str
    type: GridType
    nullable: bool | None
    key: bool


@dataclass(frozen=True)
class CreateTable:
    """CREATE TABLE. `key` are the names of PRIMARY KEY (..); `options` those of WITH."""

    table: exp.Table
    columns: tuple[ColumnDefinition, ...]
    key: tuple[str, ...]
    if_missing: bool
    time_series: bool
    options: dict[str, str | int] = field(default_factory=dict)
    partitioned: bool = False


@dataclass(frozen=True)
class CreateIndex:
    """CREATE INDEX name ON table (columns)."""

    name: str
    table: exp.Table
    columns: tuple[str, ...]
    if_missing: bool


@dataclass(frozen=True)
class CreateView:
    """CREATE [FORCE] VIEW name AS query. `query` is its text; `force` lets it name what does not exist."""

    table: exp.Table
    query: str
    force: bool


@dataclass(frozen=True)
class Drop:
    """DROP TABLE or VIEW."""

    kind: str
    table: exp.Table
    if_there: bool


@dataclass(frozen=True)
class DropIndex:
    """DROP INDEX name ON table."""

    name: str
    table: exp.Table
    if_there: bool


@dataclass(frozen=True)
class AddColumn:
    """ALTER TABLE .. ADD COLUMN."""

    table: exp.Table
    column: ColumnDefinition


@dataclass(frozen=True)
class RenameColumn:
    """ALTER TABLE .. RENAME COLUMN a TO b."""

    table: exp.Table
    old: str
    new: str


@dataclass(frozen=True)
class Database:
    """CREATE or DROP DATABASE."""

    name: str
    made: bool


Definition = CreateTable | CreateIndex | CreateView | Drop | DropIndex | AddColumn | RenameColumn | Database


def parse_definition(text: str) -> Definition:
    """What a CREATE, DROP or ALTER says. Raises: 240001; 240000 for what the emulator does not do."""
    try:
        words = Words(text, tokens_of(text))
    except SqlglotError as error:
        raise syntax_error(str(error).partition("\n")[0]) from error
    first = words.word()
    found = {"CREATE": _create, "DROP": _drop, "ALTER": _alter}[first](words)
    if not isinstance(found, CreateView):
        words.end()
    return found


class Words:
    """The tokens of a definition, one after the other."""

    def __init__(self, text: str, tokens: list[Any]) -> None:
        self._text = text
        self._tokens = tokens
        self._at = 0

    def wrong(self) -> Refusal:
        """A refusal that names the next token."""
        near = self._tokens[self._at].text if self._at < len(self._tokens) else ""
        return syntax_error(f'Syntax error at or near "{near}"')

    def peek(self) -> str:
        """The next token in capitals; of quoted names and texts nothing."""
        if self._at >= len(self._tokens):
            return ""
        token = self._tokens[self._at]
        return "" if token.token_type in (TokenType.IDENTIFIER, TokenType.STRING) else str(token.text).upper()

    def word(self) -> str:
        """The next token in capitals, taken."""
        found = self.peek()
        if not found:
            raise self.wrong()
        self._at += 1
        return found

    def take(self, *words: str) -> bool:
        """Take these words if they come next."""
        start = self._at
        # sqlglot makes one token of some pairs of words.
        wanted = list(words)
        while wanted:
            token = self.peek()
            if token == " ".join(wanted):
                self._at += 1
                return True
            if token != wanted[0]:
                self._at = start
                return False
            self._at += 1
            wanted.pop(0)
        return True

    def need(self, *words: str) -> None:
        """Take these words. Raises: 240001."""
        if not self.take(*words):
            raise self.wrong()

    def identifier(self) -> exp.Identifier:
        """A name, quoted or not."""
        if self._at >= len(self._tokens):
            raise self.wrong()
        token = self._tokens[self._at]
        quoted = token.token_type == TokenType.IDENTIFIER
        if token.token_type not in _NAMES and not str(token.text).replace("_", "a").isalnum():
            raise self.wrong()
        if token.token_type in (TokenType.STRING, TokenType.NUMBER):
            raise self.wrong()
        self._at += 1
        return exp.Identifier(this=str(token.text), quoted=quoted)

    def table(self) -> exp.Table:
        """name or database.name."""
        name = self.identifier()
        if self.take("."):
            return exp.Table(this=self.identifier(), db=name)
        return exp.Table(this=name)

    def number(self) -> int:
        """A whole number."""
        text = self.peek()
        if not text.isdigit():
            raise self.wrong()
        self._at += 1
        return int(text)

    def constant(self) -> str | int:
        """A whole number or a text."""
        if self._at < len(self._tokens) and self._tokens[self._at].token_type == TokenType.STRING:
            self._at += 1
            return str(self._tokens[self._at - 1].text)
        return self.number()

    def listed(self, one: Callable[[], Any]) -> list[Any]:
        """`(one, one, ..)`."""
        self.need("(")
        found = [one()]
        while self.take(","):
            found.append(one())
        self.need(")")
        return found

    def rest(self) -> str:
        """The text from the next token on, without a closing semicolon."""
        if self._at >= len(self._tokens):
            raise self.wrong()
        return self._text[self._tokens[self._at].start :].rstrip().rstrip(";")

    def end(self) -> None:
        """Raise 240001 unless nothing but a semicolon is left."""
        self.take(";")
        if self._at < len(self._tokens):
            raise self.wrong()


def _create(words: Words) -> Definition:
    if words.take("TABLE"):
        return _create_table(words)
    if words.take("INDEX"):
        missing = words.take("IF", "NOT", "EXISTS")
        name = words.identifier().name
        words.need("ON")
        table = words.table()
        return CreateIndex(name, table, tuple(each.name for each in words.listed(words.identifier)), missing)
    if words.take("DATABASE"):
        return Database(words.identifier().name, made=True)
    if words.peek() in ("USER", "ROLE"):
        raise unsupported(f"CREATE {words.peek()}")
    force = words.take("FORCE")
    words.need("VIEW")
    table = words.table()
    words.need("AS")
    return CreateView(table, words.rest(), force)


def _create_table(words: Words) -> CreateTable:
    missing = words.take("IF", "NOT", "EXISTS")
    table = words.table()
    columns: list[ColumnDefinition] = []
    key: tuple[str, ...] = ()
    words.need("(")
    while True:
        if words.take("PRIMARY", "KEY"):
            if key:
                raise words.wrong()
            key = tuple(each.name for each in words.listed(words.identifier))
        else:
            columns.append(_column(words))
        if not words.take(","):
            break
    words.need(")")
    series = words.take("USING", "TIMESERIES")
    options: dict[str, str | int] = {}
    if words.take("WITH"):
        options = dict(words.listed(lambda: _option(words)))
    partitioned = words.take("PARTITION", "BY")
    while partitioned and words.peek():
        words.word()
    return CreateTable(table, tuple(columns), key, missing, series, options, partitioned)


def _option(words: Words) -> tuple[str, str | int]:
    name = words.identifier().name.lower()
    words.need("=")
    return name, words.constant()


def _column(words: Words) -> ColumnDefinition:
    name = words.identifier().name
    kind = words.word()
    if words.take("("):
        digits = words.number()
        words.need(")")
        # The length of a text means nothing.
        kind += "" if kind in ("VARCHAR", "STRING", "TEXT") else f"({digits})"
    if kind not in _TYPES:
        raise syntax_error(f'Syntax error at or near "{kind}"')
    nullable: bool | None = None
    key = False
    while True:
        if words.take("PRIMARY", "KEY"):
            key = True
        elif words.take("NOT", "NULL"):
            nullable = False
        elif words.take("NULL"):
            nullable = True
        else:
            return ColumnDefinition(name, _TYPES[kind], nullable, key)


def _drop(words: Words) -> Definition:
    if words.take("INDEX"):
        there = words.take("IF", "EXISTS")
        name = words.identifier().name
        words.need("ON")
        return DropIndex(name, words.table(), there)
    if words.take("DATABASE"):
        return Database(words.identifier().name, made=False)
    if words.peek() in ("USER", "ROLE"):
        raise unsupported(f"DROP {words.peek()}")
    kind = words.word()
    if kind not in ("TABLE", "VIEW"):
        raise syntax_error(f'Syntax error at or near "{kind}"')
    there = words.take("IF", "EXISTS")
    return Drop(kind, words.table(), there)


def _alter(words: Words) -> Definition:
    if words.peek() == "USER":
        raise unsupported("ALTER USER")
    words.need("TABLE")
    table = words.table()
    if words.take("ADD"):
        words.take("COLUMN")
        return AddColumn(table, _column(words))
    if words.take("DROP", "PARTITION"):
        raise unsupported("partitioned tables (ALTER TABLE .. DROP PARTITION)")
    words.need("RENAME", "COLUMN")
    old = words.identifier().name
    words.need("TO")
    return RenameColumn(table, old, words.identifier().name)


def refuse_partitions() -> Refusal:
    """The refusal of a partitioned table."""
    return Refusal(
        Code.SQL_COMPILE_UNSUPPORTED, "the emulator's SQL has no partitioned tables (PARTITION BY); a real GridDB has"
    )
