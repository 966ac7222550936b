"""The page of commands is the one that the code makes."""

from __future__ import annotations

from tools.cli_reference import PAGE, page


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python tools/cli_reference.py"
