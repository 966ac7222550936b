"""Files for the account's own eyes: whatever the umask is, and whatever stood there before."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from gridferry.cli.init_command import _write
from gridferry.cli.report_command import write_whole
from gridferry.compare.difference_file import open_difference_file
from gridferry.private_files import make_private, private_text


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("name", ["d.parquet", "d.jsonl", "report.html", "gridferry.yaml", "plain"])
def test_what_holds_values_is_readable_by_its_owner_alone(tmp_path: Path, name: str, there: bool) -> None:
    path = tmp_path / name
    if there:
        path.write_text("old and longer than what comes after it")
        path.chmod(0o666)
    if name.startswith("d."):
        with open_difference_file(path):
            assert mode(path) == 0o600
    elif name == "report.html":
        write_whole(path, "new")
    elif name == "gridferry.yaml":
        _write(path, "new", force=there)
    else:
        with private_text(path) as opened:
            opened.write("new")
    assert mode(path) == 0o600
    assert b"old" not in path.read_bytes()


def test_a_device_is_written_to_as_it_is() -> None:
    before = mode(Path("/dev/null"))
    os.close(make_private(Path("/dev/null")))
    write_whole(Path("/dev/null"), "x")
    assert mode(Path("/dev/null")) == before


def test_one_that_is_there_can_be_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("old")
    with pytest.raises(FileExistsError):
        make_private(path, exclusive=True)
    assert path.read_text() == "old"
