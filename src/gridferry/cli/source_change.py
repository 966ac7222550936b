"""`sync --new-source`: what it would do, the question, and the doing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from gridferry.cli.load_commands import can_ask
from gridferry.cli.output import Output
from gridferry.errors import ConfigError

if TYPE_CHECKING:
    from gridferry.engine.events import TableSync
    from gridferry.engine.migration import Migration
    from gridferry.engine.repair.new_source import NewSource


def take_over(
    output: Output, migration: Migration, tables: Sequence[str], *, yes: bool, wait_s: float
) -> list[TableSync]:
    """Ask, unless `yes`, then let the config's source take the other's place. Raises: ConfigError if not confirmed."""
    found = [each for each in migration.sources.look(tables) if each.is_new]
    if found and not yes:
        _confirm(output, found)
    with output.waiting("comparing everything"):
        return migration.sources.take_over(tables, wait_s=wait_s)


def _confirm(output: Output, found: Sequence[NewSource]) -> None:
    said = list(_lines(found))
    if not can_ask():
        raise ConfigError(
            f"--new-source makes the target like another source, and there is no terminal to ask on: {'; '.join(said)}",
            state="nothing was changed",
            next_step="add --yes if that is what you want",
        )
    for line in said:
        output.err.print(Text(line))
    output.err.print(
        Text("Rows that only the target has are deleted, rows that differ are replaced. A journal keeps the old ones.")
    )
    if not typer.confirm("Take the new source over?", default=False, err=True):
        raise ConfigError(
            "not confirmed",
            state="nothing was changed",
            next_step="put the address of the source right in the config, if that was the mistake",
        )


def _lines(found: Sequence[NewSource]) -> Iterator[str]:
    for each in found:
        yield f"{each.table} is from {each.known}; the source now is {each.now}: {each.why or 'taken over in part'}"
