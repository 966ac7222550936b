"""The page of commands is the one that the code makes."""

from __future__ import annotations

from tools.cli_reference import PAGE, page


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python tools/cli_reference.py"


def test_the_page_speaks_of_options_not_of_python() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| ")]
    assert all(line.count("|") - line.count("\\|") == 3 for line in rows), "a cell with a bar in it ends early"
    for part in (" None |", "Form.", "Default: ``"):
        assert part not in page()
    assert "`--format` html\\|json | A page for people, or its facts for programs. Default: `html`." in page()
