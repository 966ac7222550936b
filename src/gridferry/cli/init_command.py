"""`gridferry init`: a config file to start from, written from the catalog."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from gridferry import numbers
from gridferry.cli.options import DEFAULT_CONFIG
from gridferry.cli.output import Output
from gridferry.errors import ConfigError, SourceRefused
from gridferry.private_files import private_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gridferry.model.key_advice import KeyAdvice
    from gridferry.model.table import Listing, Table, TableName
    from gridferry.plan.epoch_advice import CountedTime

SOURCE_VARIABLE = "SOURCE_DSN"
_STDOUT = Path("-")


def init(
    output: Output,
    context: typer.Context,
    dsn: Annotated[
        str,
        typer.Argument(
            metavar="DSN", envvar=SOURCE_VARIABLE, show_envvar=True, help="postgresql://USER@HOST:5432/DATABASE"
        ),
    ],
    table: Annotated[
        list[str] | None,
        typer.Option("--table", "-t", metavar="TABLE", help="Only this table. Can be given several times."),
    ] = None,
    target: Annotated[str | None, typer.Option("--target", metavar="URL", help="Where GridDB is.")] = None,
    file: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The file; - is stdout.")
    ] = DEFAULT_CONFIG,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it is there.")] = False,
) -> None:
    """Write a config file from the catalog of a PostgreSQL database.

    More than eight tables are written as a pattern for each schema.

    Changes: the config file; nothing in PostgreSQL, nothing in GridDB.
    """
    if _has_secret(dsn) and _is_written_out(context):
        output.warn(
            "the address on the command line holds a password: everybody on this machine can see it in the list of "
            "processes, and the shell keeps it in its history. Set PGPASSWORD, write it into ~/.pgpass, or put the "
            f"whole address into {SOURCE_VARIABLE} and run `gridferry init` without it"
        )
    if file != _STDOUT and file.exists() and not force:
        raise ConfigError(
            f"{file} is there already", state="it was not changed", next_step="give another one with -o, or --force"
        )
    with output.waiting("reading the catalog"):
        found = _fetch_tables(dsn, table)
    tables = found.listing.tables
    for each in () if found.many else found.blocked:
        output.warn(f"left out {each.qualified}: {' '.join(each.blocked.split())}")
    in_variable = os.environ.get(SOURCE_VARIABLE) == dsn
    source = "${" + SOURCE_VARIABLE + "}" if in_variable or _has_secret(dsn) else dsn
    text = _render(found, source=source, target=target)
    if file == _STDOUT:
        output.show_text(text)
    else:
        _write(file, text, force=force)
        how = ", by a pattern for each schema" if found.many else ""
        output.show(Text(f"wrote {file} with {numbers.plural(len(tables), 'table')}{how}"))
    if source != dsn and not in_variable:
        said = f"The address holds a password, so the file names {source}: set that variable."
        output.note(said, style="yellow")
    output.note("Look it through, then see what it means with `gridferry plan`.")
    output.document(
        lambda: {
            "file": str(file),
            "source": source,
            "tables": [t.qualified for t in tables],
            "left_out": [{"tables": list(each.tables), "why": each.why} for each in found.listing.left_out],
            "text": text,
        }
    )


@dataclass(frozen=True)
class _Found:
    """The tables that can be read, those that cannot, and the names that a pattern would find where there are many."""

    listing: Listing
    blocked: tuple[Table, ...] = ()
    names: tuple[TableName, ...] = ()
    advice: Mapping[str, KeyAdvice] = field(default_factory=dict)
    times: Mapping[str, Sequence[CountedTime]] = field(default_factory=dict)

    @property
    def many(self) -> bool:
        """Whether the file is written with patterns."""
        return bool(self.names)


def _fetch_tables(dsn: str, names: list[str] | None) -> _Found:
    """The tables of the source. Raises: SourceRefused if none can be read."""
    from gridferry.model.table import Listing
    from gridferry.plan.init_patterns import MOST_ENTRIES
    from gridferry.plan.keys import choose_key
    from gridferry.plan.table_names import spelled
    from gridferry.plan.table_options import TableOptions
    from gridferry.source.postgres.session.connection import parse_address
    from gridferry.source.postgres.source import PostgresSource

    source = PostgresSource(parse_address(dsn))
    listing = Listing(tuple(source.fetch_tables(names))) if names else source.fetch_listing()
    readable = tuple(t for t in listing.tables if not t.blocked)
    if not readable:
        raise SourceRefused(
            f"{source.display} has no table that this user can read",
            state="nothing was written",
            next_step="give another database or user, or GRANT SELECT on the tables",
        )
    many = not names and len(listing.tables) > MOST_ENTRIES
    blocked = tuple(t for t in listing.tables if t.blocked)
    keyless = [t for t in readable if choose_key(t, TableOptions(table=spelled(t.schema, t.name))).missing]
    return _Found(
        replace(listing, tables=readable),
        blocked,
        tuple(source.fetch_table_names()) if many else (),
        source.fetch_key_advice(keyless),
        source.fetch_counted_times(readable),
    )


def _has_secret(dsn: str) -> bool:
    """Whether an address holds a password, or may hold one where it cannot be read."""
    import psycopg
    from psycopg import conninfo

    from gridferry.plan.addresses import SECRET_OPTIONS

    try:
        given = conninfo.conninfo_to_dict(dsn.strip())
    except psycopg.ProgrammingError:
        return ":" in dsn or "password" in dsn
    return any(given.get(name) for name in SECRET_OPTIONS)


def _is_written_out(context: typer.Context) -> bool:
    """Whether the address is on the command line, and not in the variable alone."""
    source = context.get_parameter_source("dsn")
    return source is not None and source.name == "COMMANDLINE"


def _render(found: _Found, *, source: str, target: str | None) -> str:
    from gridferry.cli.opening import target_of_url
    from gridferry.plan.init_file import DEFAULT_TARGET, render_config
    from gridferry.plan.init_patterns import render_patterns

    if target:
        target_of_url(target)  # a wrong address is reported now, not by the next command
    listing, target = found.listing, target or DEFAULT_TARGET
    if not found.many:
        return render_config(
            listing.tables,
            advice=found.advice,
            times=found.times,
            source=source,
            target=target,
            left_out=listing.left_out,
        )
    return render_patterns(
        listing.tables,
        names=found.names,
        blocked=found.blocked,
        advice=found.advice,
        times=found.times,
        source=source,
        target=target,
        left_out=listing.left_out,
    )


def _write(file: Path, text: str, *, force: bool) -> None:
    try:
        with private_text(file, exclusive=not force) as opened:
            opened.write(text)
    except OSError as error:
        raise ConfigError(
            f"{file} cannot be written: {error.strerror}", next_step="give another place with -o"
        ) from error
