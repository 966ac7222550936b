"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gridferry.errors import ConfigError

DEFAULT_CONFIG = Path("gridferry.yaml")

ConfigFile = Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The config file.")]
Tables = Annotated[
    list[str] | None,
    typer.Option("--table", "-t", metavar="TABLE", help="Only this table of the config. Can be given several times."),
]
AcceptQuarantined = Annotated[
    bool,
    typer.Option(
        "--accept-quarantined", help="Rows in the quarantine are reported, but alone do not make the exit code 1."
    ),
]
DifferencesFile = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write every difference: FILE.parquet or FILE.jsonl."),
]
MostDifferences = Annotated[
    int, typer.Option("--max-differences", metavar="N", min=0, help="How many a table to show here.")
]
Settle = Annotated[
    float | None,
    typer.Option(
        "--settle",
        metavar="SECONDS",
        min=0.0,
        help="How long to look again at rows that differ while the table is synced.  [default: 60 while a sync "
        "runs, else 0]",
        show_default=False,
    ),
]
SyncBetween = Annotated[
    bool, typer.Option("--sync", help="Sync in between, where nobody else does, so that nothing is left to come.")
]
ComparingWorkers = Annotated[
    int | None,
    typer.Option("--workers", metavar="N", min=1, max=256, help="How many read and compare at the same time."),
]
Wait = Annotated[
    float, typer.Option("--wait", min=0.0, metavar="SECONDS", help="How long to wait for another run to end.")
]
TargetUrl = Annotated[
    str | None,
    typer.Option(
        "--target",
        metavar="URL",
        help="griddb://user@host:port/cluster[/database], instead of a config file. The password: GRIDDB_PASSWORD.",
    ),
]

WaitForTransactions = Annotated[
    str,
    typer.Option(
        "--wait-for-transactions",
        metavar="TIME",
        help="Mode cdc: how long a new replication slot may wait for transactions that are open at the source.",
    ),
]


def chosen(tables: list[str] | None) -> tuple[str, ...]:
    """The tables that were named; none means all."""
    return tuple(tables or ())


def seconds(option: str, text: str) -> float:
    """The time that an option gives, such as 90s or 15m. Raises: ConfigError."""
    from gridferry.plan.sync_options import duration_ms

    try:
        return duration_ms(text) / 1000
    except ValueError as error:
        raise ConfigError(f"{option} {text}: {error}", next_step="write it as 30s, 5m or 1h") from None


TABLE_ROWS = 20
RowLimit = Annotated[
    int | None,
    typer.Option("--limit", metavar="N", min=1, help=f"At most so many rows: {TABLE_ROWS} as a table, else all."),
]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV on stdout.")]
Records = Annotated[bool, typer.Option("--records", help="A line for each value instead of a table.")]
