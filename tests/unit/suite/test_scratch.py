"""Where temporary files of tests lie."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import scratch


@pytest.mark.parametrize("room", ["enough", "too little"])
def test_files_lie_in_memory_where_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: str) -> None:
    monkeypatch.setattr(scratch, "NEEDED_BYTES", 1 if room == "enough" else 1 << 62)
    assert scratch.choose_folder({}, tmp_path) == (str(tmp_path) if room == "enough" else None)


def test_a_folder_that_was_named_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "NEEDED_BYTES", 1)
    assert scratch.choose_folder({"TMPDIR": "/var/tmp"}, tmp_path) is None


def test_a_machine_without_such_memory_has_them_where_they_always_are(tmp_path: Path) -> None:
    assert scratch.choose_folder({}, tmp_path / "nowhere") is None
