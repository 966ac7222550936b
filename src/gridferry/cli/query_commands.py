"""`show` and `tql`: a look at one container."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from gridferry import numbers
from gridferry.cli import opening
from gridferry.cli.options import DEFAULT_CONFIG, TABLE_ROWS, AsCsv, ConfigFile, Records, RowLimit, TargetUrl
from gridferry.cli.output import Output
from gridferry.cli.tables import facts, listing
from gridferry.errors import ConfigError

if TYPE_CHECKING:
    from gridferry.griddb import Container, QueryResult, Store

_INDEX_KINDS = {0: "TREE", 1: "HASH", 2: "SPATIAL"}

Name = Annotated[str, typer.Argument(metavar="NAME", help="The container.")]


def show(output: Output, name: Name, config: ConfigFile = DEFAULT_CONFIG, target: TargetUrl = None) -> None:
    """Show a container: kind, columns, row key, indexes, rows.

    Changes nothing.
    """
    with opening.open_store(target, config) as store:
        container = _open(store, name)
        found = _description(store, container)
    output.document(lambda: found)
    output.show(
        facts(
            [
                ("database", Text(found["database"])),
                ("name", Text(found["name"])),
                ("type", Text(found["kind"])),
                ("partition", Text(str(found["partition"]))),
                ("rows", Text(numbers.count(found["rows"]))),
            ]
        ),
        Text(),
        listing(
            ["no", "name", "type", "constraint", "row key"],
            [
                [str(i), Text(c["name"]), c["type"], "" if c["nullable"] else "NOT NULL", "row key" if c["key"] else ""]
                for i, c in enumerate(found["columns"])
            ],
            right=("no",),
        ),
    )
    if found["indexes"]:
        rows = [[Text(i["name"] or "(no name)"), i["kind"], Text(", ".join(i["columns"]))] for i in found["indexes"]]
        output.show(Text(), listing(["index", "type", "columns"], rows))


def tql(
    output: Output,
    name: Name,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="Such as: select * where temp > 20")],
    config: ConfigFile = DEFAULT_CONFIG,
    target: TargetUrl = None,
    limit: RowLimit = None,
    as_csv: AsCsv = False,
    records: Records = False,
) -> None:
    """Run a TQL query on a container.

    Changes nothing.
    """
    from gridferry.cli import rows_view

    if as_csv and output.as_json:
        raise ConfigError("--csv and --json exclude each other", next_step="choose one of them")
    streams = as_csv or output.as_json
    most = limit if streams else (limit or TABLE_ROWS) + 1
    with opening.open_store(target, config) as store:
        container = _open(store, name)
        result = container.query(query, limit=most, **({} if most is None else {"page_rows": most}))
        if not result.has_rows:
            value = result_value(result)
            output.document(lambda: {"container": container.name, "query": query, "value": value})
            output.show(value_text(value))
            return
        names = result.schema.names
        rows = rows_view.row_values(result.batches())
        if output.as_json:
            output.streaming = True
            columns = [{"name": c.name, "type": c.label} for c in result.schema.columns]
            rows_view.write_json({"container": container.name, "query": query, "columns": columns}, names, rows)
        elif as_csv:
            output.streaming = True
            rows_view.write_csv(names, rows)
        else:
            output.show(*rows_text(result, limit=limit or TABLE_ROWS, width=output.out.width, records=records))


def rows_text(result: QueryResult, *, limit: int, width: int, records: bool = False) -> Iterator[RenderableType]:
    """The first `limit` rows in `width` columns; the last line says so if there are more, or none."""
    from gridferry.cli import rows_view

    rows = rows_view.row_values(result.batches())
    yield from rows_view.first_rows(result.schema.names, rows, limit=limit, width=width, records=records)


def result_value(result: QueryResult) -> Any:
    """The value of an aggregation, a time as text; None where there is none."""
    from gridferry.cli import rows_view

    values = [row[0] for row in rows_view.row_values(result.read_all().to_batches())]
    return values[0] if values else None


def value_text(value: Any) -> Text:
    """A value as a line."""
    return Text("NULL" if value is None else str(value))


def _open(store: Store, name: str) -> Container:
    container = store.open_container(name)
    if container is None:
        raise ConfigError(
            f'there is no container "{name}" in {store.cluster.address}', next_step="`gridferry containers` lists them"
        )
    return container


def _description(store: Store, container: Container) -> dict[str, Any]:
    schema = container.schema
    return {
        "database": store.cluster.address.database,
        "name": container.name,
        "kind": schema.kind.name,
        "partition": container.handle.partition,
        "rows": container.count(),
        "columns": [
            {"name": c.name, "type": c.label, "nullable": c.nullable, "key": i < schema.key_length}
            for i, c in enumerate(schema.columns)
        ],
        "indexes": [
            {
                "name": index.name,
                "kind": _INDEX_KINDS.get(index.kind, str(index.kind)),
                "columns": [schema.names[c] for c in index.columns],
            }
            for index in container.indexes()
        ],
    }
