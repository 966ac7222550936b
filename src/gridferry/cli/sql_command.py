"""`sql`: a statement in GridDB's SQL, from the command line, a file, stdin, or one after another at a prompt."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from gridferry import numbers
from gridferry.cli import opening
from gridferry.cli.options import DEFAULT_CONFIG, TABLE_ROWS, AsCsv, ConfigFile, Records, RowLimit, TargetUrl
from gridferry.cli.output import Output
from gridferry.errors import ConfigError

if TYPE_CHECKING:
    from gridferry.griddb.sql import Connection, Cursor

_STDIN = "-"


def sql(
    output: Output,
    statement: Annotated[
        str | None, typer.Argument(metavar="STATEMENT", help="Such as: SELECT * FROM device WHERE temp > 20")
    ] = None,
    file: Annotated[
        str | None, typer.Option("--file", "-f", metavar="FILE", help="Read the statement from a file; - is stdin.")
    ] = None,
    config: ConfigFile = DEFAULT_CONFIG,
    target: TargetUrl = None,
    limit: RowLimit = None,
    timeout: Annotated[
        float | None, typer.Option("--timeout", metavar="SECONDS", min=0.001, help="Cancel it after so long.")
    ] = None,
    as_csv: AsCsv = False,
    arrow: Annotated[
        Path | None, typer.Option("--arrow", metavar="FILE", help="Write the rows as an Arrow file.")
    ] = None,
    records: Records = False,
) -> None:
    """Run a statement in GridDB's SQL, or ask for some.

    Changes: what the statement says.

    Each statement commits by itself. Without one, and with a terminal, it asks for statements at a prompt.
    """
    if as_csv + output.as_json + (arrow is not None) > 1:
        raise ConfigError("--csv, --json and --arrow exclude each other", next_step="choose one of them")
    asks = statement is None and file is None
    if asks and (not sys.stdin.isatty() or output.as_json or as_csv or arrow is not None):
        raise ConfigError("there is no statement", next_step="give it as an argument, or with --file; - is stdin")
    text = None if asks else _text(statement, file)
    with opening.open_sql(target, config, timeout_s=timeout) as connection:
        if text is None:
            from gridferry.cli.sql_prompt import ask_for_statements

            ask_for_statements(output, connection, lambda each: _show(output, each, limit, records=records))
            return
        cursor = connection.execute(text)
        if cursor.description is None:
            output.document(lambda: {"statement": text, "changed": cursor.rowcount})
            output.show(changed_text(cursor))
        elif output.as_json or as_csv:
            _stream(output, text, cursor, limit)
        elif arrow is not None:
            output.show(Text(f"{numbers.plural(_write_arrow(cursor, arrow, limit), 'row')} in {arrow}"))
        else:
            _show(output, cursor, limit, records=records)


def changed_text(cursor: Cursor) -> Text:
    """What a statement without a result did."""
    return Text(f"done, {numbers.plural(cursor.rowcount, 'row')} written or deleted")


def _text(statement: str | None, file: str | None) -> str:
    if statement is not None and file is not None:
        raise ConfigError("there are two statements, an argument and --file", next_step="leave one of them out")
    if statement is not None:
        return statement
    try:
        return sys.stdin.read() if file == _STDIN else Path(str(file)).read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ConfigError(f"{file} cannot be read: {reason}") from error


def _stream(output: Output, text: str, cursor: Cursor, limit: int | None) -> None:
    from gridferry.cli import rows_view

    reader = cursor.fetch_record_batch()
    names = reader.schema.names
    rows = islice(rows_view.row_values(reader), limit)
    output.streaming = True
    if output.as_json:
        columns = [{"name": name, "type": str(code)} for name, code, *_ in cursor.description or ()]
        rows_view.write_json({"statement": text, "columns": columns}, names, rows)
    else:
        rows_view.write_csv(names, rows)


def _write_arrow(cursor: Cursor, file: Path, limit: int | None) -> int:
    import pyarrow as pa

    reader = cursor.fetch_record_batch()
    written = 0
    try:
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, reader.schema) as writer:
            for batch in reader:
                taken = batch if limit is None else batch.slice(0, limit - written)
                writer.write_batch(taken)
                written += taken.num_rows
                if written == limit:
                    break
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror or error}") from error
    return written


def _show(output: Output, cursor: Cursor, limit: int | None, *, records: bool) -> None:
    """The first rows on the screen; the last line says so if there are more, or none."""
    from gridferry.cli import rows_view

    reader = cursor.fetch_record_batch()
    rows = rows_view.row_values(reader)
    most, width = limit or TABLE_ROWS, output.out.width
    output.show(*rows_view.first_rows(reader.schema.names, rows, limit=most, width=width, records=records))


def names_in(connection: Connection) -> list[str]:
    """The tables and columns of the database, for completion."""
    found: dict[str, None] = {}
    for table, column in connection.execute('SELECT TABLE_NAME, COLUMN_NAME FROM "#columns"').fetchall():
        found[table] = None
        found[column] = None
    return list(found)
