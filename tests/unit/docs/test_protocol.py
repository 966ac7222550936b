"""The worked examples of docs/protocol.md are what the code writes, and stand on the page as they are here."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest

from gridferry.griddb.net.refusals import _BY_CODE, _NEXT_STEPS
from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema, GridType
from gridferry.griddb.wire.encode import encode_rows
from gridferry.griddb.wire.frame import encode_request
from gridferry.griddb.wire.names import container_key, partition_of, write_key
from gridferry.griddb.wire.octets import Writer, var_size
from gridferry.griddb.wire.requests import Connect
from gridferry.griddb.wire.statement import Statement

DOCS = Path(__file__).parents[3] / "docs"
# Digits only, so that an example may be cut into groups and lines.
HEX = re.sub(r"[^0-9a-z]", "", (DOCS / "protocol.md").read_text(encoding="utf-8"))


def test_sizes() -> None:
    assert var_size(5).hex() == "0b"
    assert var_size(300).hex() in HEX


def test_the_frame_of_connect() -> None:
    body = Writer()
    Connect().write(body)
    frame = b"".join(encode_request(Statement.CONNECT, 1, body.parts))
    assert frame.hex() in HEX


def test_a_container_key() -> None:
    out = Writer()
    write_key(out, container_key("Vec1"))
    assert out.getvalue().hex() == "0f00097665633101"
    assert "0f00097665633101" in HEX


@pytest.mark.parametrize(
    ("name", "partition"), [("vec1", 73), ("vec6", 106), ("indb", 104), ("nm@grp1", 84), ("nm@77", 77)]
)
def test_partitions(name: str, partition: int) -> None:
    assert partition_of(container_key(name), 128) == partition
    assert f"{re.sub('[^0-9a-z]', '', name)}{partition}" in HEX


def test_two_rows() -> None:
    kinds = {"ts": GridType.TIMESTAMP_MS, "v": GridType.DOUBLE, "f": GridType.BOOL, "s": GridType.STRING}
    schema = ContainerSchema(
        ContainerKind.TIME_SERIES,
        tuple(ColumnSpec(name, kind, nullable=name != "ts") for name, kind in kinds.items()),
    )
    columns = [
        pa.array([1700000000000, 1700000001000], pa.timestamp("ms", "UTC")),
        pa.array([1.5, None], pa.float64()),
        pa.array([True, False]),
        pa.array(["abc", None]),
    ]
    batch = pa.record_batch(columns, schema=schema.arrow_schema)
    octets = b"".join(encode_rows(schema, batch).image()).hex()
    page = (DOCS / "protocol.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```\n(00000000.*?)```", page, re.DOTALL)
    assert "".join(line.split("     ")[0] for line in block.splitlines()).replace(" ", "") == octets


def test_every_error_that_the_driver_knows_is_on_the_page() -> None:
    section = (DOCS / "protocol.md").read_text(encoding="utf-8").split("## Errors")[1].split("\n## ")[0]
    named = {int(code) for code in re.findall(r"\b\d{4,6}\b", section)}
    assert {*_BY_CODE, *_NEXT_STEPS} - named == set()


def test_every_statement_that_the_driver_knows_is_on_the_page() -> None:
    section = (DOCS / "protocol.md").read_text(encoding="utf-8").split("## Statement types")[1].split("\n## ")[0]
    named = {int(number) for number in re.findall(r"\b[14]\d\d\b", section)}
    assert {int(statement) for statement in Statement} - named == set()
