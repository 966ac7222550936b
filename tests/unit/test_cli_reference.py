"""The page of commands is the one that the code makes."""

from __future__ import annotations

from pathlib import Path

import pytest
from tools import cli_reference
from tools.cli_reference import PAGE, page


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python tools/cli_reference.py"


def test_a_stale_page_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = tmp_path / "cli.md"
    stale.write_text("old", encoding="utf-8")
    monkeypatch.setattr(cli_reference, "PAGE", stale)
    monkeypatch.setattr(cli_reference, "ROOT", tmp_path)
    monkeypatch.setattr("sys.argv", ["cli_reference.py", "--check"])
    assert cli_reference.main() == 1
    assert "cli.md is stale" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["cli_reference.py"])
    assert cli_reference.main() == 0
    assert stale.read_text(encoding="utf-8") == page()
