"""Frames captured from a real GridDB 5.9.0, and how they are read."""

from __future__ import annotations

import json
from pathlib import Path

from gridferry.griddb.wire.frame import Frame, FrameReader, Role, encode_request
from gridferry.griddb.wire.octets import Reader, Writer
from gridferry.griddb.wire.requests import REQUESTS
from gridferry.griddb.wire.statement import Statement

_FOLDER = Path(__file__).parents[3] / "golden"


def captured(file: str) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """The requests and the replies of a file."""
    frames = json.loads((_FOLDER / file).read_text())["frames"]
    requests = [frame for frame in frames if frame["direction"] == "request"]
    return requests, [frame for frame in frames if frame["direction"] == "reply"]


def named(frame: dict[str, str]) -> str:
    """A frame's name among tests."""
    return f"{frame['case']}-{frame['statement']}".replace(" ", "_")


def read(frame: dict[str, str], role: Role) -> tuple[bytes, Frame]:
    """A frame's bytes, and what they are."""
    data = bytes.fromhex(frame["hex"])
    reader = FrameReader(role)
    reader.receive(data)
    found = reader.next_frame()
    assert found is not None
    assert reader.clean
    return data, found


def require_same_request(frame: dict[str, str]) -> None:
    """Raises: AssertionError where a request does not decode, or does not encode to the same bytes again."""
    data, found = read(frame, Role.SERVER)
    statement = Statement(found.statement)
    assert statement.name == frame["statement"]
    source = Reader(found.body)
    message = REQUESTS[statement].read(source)
    source.end()
    out = Writer()
    message.write(out)
    assert b"".join(encode_request(statement, found.statement_id, out.parts, partition=found.partition)) == data
