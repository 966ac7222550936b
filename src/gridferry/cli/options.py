"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_CONFIG = Path("gridferry.yaml")

ConfigFile = Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The config file.")]
Tables = Annotated[
    list[str] | None,
    typer.Option("--table", "-t", metavar="TABLE", help="Only this table of the config. Can be given several times."),
]
TargetUrl = Annotated[
    str | None,
    typer.Option(
        "--target",
        metavar="URL",
        help="griddb://user@host:port/cluster[/database], instead of a config file. The password: GRIDDB_PASSWORD.",
    ),
]


def chosen(tables: list[str] | None) -> tuple[str, ...]:
    """The tables that were named; none means all."""
    return tuple(tables or ())
