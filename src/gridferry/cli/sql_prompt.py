"""A prompt for SQL: statements end with a semicolon, as psql's and gs_sh's do; history and completion of names."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from gridferry.cli.output import Output
from gridferry.errors import FerryError

if TYPE_CHECKING:
    from gridferry.griddb.sql import Connection, Cursor

_WORDS = (
    "SELECT", "FROM", "WHERE", "GROUP BY", "ORDER BY", "LIMIT", "INSERT INTO", "INSERT OR REPLACE INTO", "VALUES",
    "UPDATE", "DELETE FROM", "CREATE TABLE", "DROP TABLE", "ALTER TABLE", "EXPLAIN", "COUNT(*)", "PARTITION BY",
)  # fmt: skip
_ENDS = ("exit", "quit", "\\q")
_MOST_LINES = 1000
Ask = Callable[[str], str]


def ask_for_statements(
    output: Output, connection: Connection, show: Callable[[Cursor], None], *, ask: Ask = input
) -> None:
    """Statements one after another, until `exit`, Ctrl-D, or the end of the input. Ctrl-C leaves one out.

    A statement that is refused is told, and the next one asked for.
    """
    from gridferry.cli.sql_command import changed_text, names_in

    with _history(lambda: names_in(connection)):
        output.show(Text(f"{connection.address}. A statement ends with ; and `exit` ends the prompt.", style="dim"))
        while True:
            try:
                statement = next_statement(ask)
            except KeyboardInterrupt:
                output.show(Text("left out", style="dim"))
                continue
            if statement is None:
                return
            try:
                with connection.execute(statement) as cursor:
                    if cursor.description is None:
                        output.show(changed_text(cursor))
                    else:
                        show(cursor)
            except FerryError as error:
                if not connection.is_alive():
                    raise
                output.warn(error.message)


def next_statement(ask: Ask) -> str | None:
    """The next statement, over as many lines as it has, without its semicolon; None at the end."""
    lines: list[str] = []
    while True:
        try:
            line = ask("  -> " if lines else "sql> ")
        except EOFError:
            return None
        if not lines and line.strip().rstrip(";").lower() in _ENDS:
            return None
        if not lines and not line.strip(" ;"):
            continue
        lines.append(line)
        if ends(text := "\n".join(lines)):
            return text.rstrip().removesuffix(";")


def ends(text: str) -> bool:
    """Whether a statement is at its end: a semicolon behind it that is no part of a text, a name or a comment."""
    from gridferry.griddb.sql.statements import tokens

    found = list(tokens(text))
    return bool(found) and (found[-1].kind, found[-1].text) == ("other", ";")


def completions(names: list[str], begun: str) -> list[str]:
    """What a word that was begun may be: names as they are, words of SQL in capitals."""
    return sorted({each for each in (*names, *_WORDS) if each.lower().startswith(begun.lower())})


@contextlib.contextmanager
def _history(names: Callable[[], list[str]]) -> Iterator[None]:
    """Lines of before with the arrow keys, names with Tab; where Python has no readline, neither."""
    try:
        import readline
    except ImportError:
        yield
        return
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    file = state / "gridferry" / "sql_history"
    with contextlib.suppress(OSError):
        readline.read_history_file(file)
    known: list[str] = []

    def complete(begun: str, number: int) -> str | None:
        if not known:
            with contextlib.suppress(FerryError):
                known.extend(names())
        found = completions(known, begun)
        return found[number] if number < len(found) else None

    readline.set_completer(complete)
    readline.set_completer_delims(" \t\n,()=<>;'\"")
    readline.parse_and_bind("tab: complete")
    readline.set_history_length(_MOST_LINES)
    try:
        yield
    finally:
        readline.set_completer(None)
        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            file.touch(mode=0o600)
            readline.write_history_file(file)
