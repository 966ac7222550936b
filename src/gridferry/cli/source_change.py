"""`sync --new-source`: what it would do, the question, and the doing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gridferry.cli.asking import require_yes
from gridferry.cli.output import Output

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
    said = [
        *_lines(found),
        "--new-source deletes what only the target has and replaces what differs; a journal keeps the old rows",
    ]
    then = "put the address of the source right in the config, if that was the mistake"
    require_yes(output, said, "Take the new source over?", otherwise=then)


def _lines(found: Sequence[NewSource]) -> Iterator[str]:
    for each in found:
        yield f"{each.table} is from {each.known}; the source now is {each.now}: {each.why or 'taken over in part'}"
