"""The question before rows go: somebody says yes at a terminal, or nothing is done."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer
from rich.text import Text

from gridferry.cli.output import Output
from gridferry.errors import ConfigError


def require_yes(output: Output, said: Sequence[str], question: str, *, otherwise: str) -> None:
    """Return if the user agrees to what is `said`. Raises: ConfigError if not, or if nobody can be asked.

    Args: otherwise: the next step of who does not agree.
    """
    if not can_ask():
        raise ConfigError(
            f"{'; '.join(said)}. There is no terminal to ask on",
            state="nothing was changed",
            next_step="add --yes if that is what you want",
        )
    for line in said:
        output.err.print(Text(f"{line}.", style="bold"))
    if not typer.confirm(question, default=False, err=True):
        raise ConfigError("not confirmed", state="nothing was changed", next_step=otherwise)


def can_ask() -> bool:
    """Whether somebody sits at a terminal."""
    return sys.stdin.isatty()
