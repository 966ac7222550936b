"""A page that the code makes is written, and a stale one is found."""

from __future__ import annotations

from pathlib import Path

import pytest
from tools.generated import write_or_check


def test_a_stale_page_is_found_and_mended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "made" / "cli.md"
    monkeypatch.setattr("sys.argv", ["a_tool.py", "--check"])
    assert write_or_check(page, "new", tool="a_tool") == 1
    assert "cli.md is stale: run python tools/a_tool.py" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["a_tool.py"])
    assert write_or_check(page, "new", tool="a_tool") == 0
    assert page.read_text(encoding="utf-8") == "new"
    monkeypatch.setattr("sys.argv", ["a_tool.py", "--check"])
    assert write_or_check(page, "new", tool="a_tool") == 0
    assert write_or_check(page, "newer", tool="a_tool") == 1
