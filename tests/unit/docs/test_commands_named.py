"""Every command that the pages, messages and comments name is there, and takes the options that they give it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import typer

from gridferry.cli.main import app

ROOT = Path(__file__).parents[3]
# In backticks, in a block of a page, or after "Next: " and the like in a message.
NAMED = re.compile(r"(?P<before>^|[`\"\s(])gridferry (?P<words>[a-z][a-z-]*[^`\"#;,|()]*)", re.MULTILINE)
OPTION = re.compile(r"(?:^|\s)(--[a-z][a-z-]*)")
ENDS = re.compile(r"\. |: |, | then | and ")


def sources() -> Iterator[Path]:
    yield from (ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md")
    for folder, ending in (("docs", "*.md"), ("src", "*.py"), ("examples", "*.*"), ("deploy", "*.*")):
        yield from sorted(path for path in (ROOT / folder).rglob(ending) if "__pycache__" not in path.parts)


@cache
def commands() -> dict[str, Any]:
    """Each command by its words."""
    root: Any = typer.main.get_command(app)
    found: dict[str, Any] = {}
    for name, command in root.commands.items():
        for inner, leaf in getattr(command, "commands", {"": command}).items():
            found[f"{name} {inner}".strip()] = leaf
    return found


def faults(text: str) -> list[str]:
    """What a text asks for that no command takes."""
    known = commands()
    wrong = []
    for match in NAMED.finditer(text):
        words = ENDS.split(" ".join(match["words"].split("\n")[0].split()))[0]
        name = next((name for name in (" ".join(words.split()[:2]), words.split()[0]) if name in known), "")
        if not name:
            if match["before"] == "`" and words.split()[0] != "quarantine":
                wrong.append(words)
            continue
        options = {option for parameter in known[name].params for option in parameter.opts} | {"--help"}
        wrong += [f"{name} {option}" for option in OPTION.findall(words) if option not in options]
    return wrong


def test_named_commands_are_there() -> None:
    texts = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in sources()}
    assert sum(len(NAMED.findall(text)) for text in texts.values()) > 300
    assert [f"{path}: {fault}" for path, text in texts.items() for fault in faults(text)] == []


def test_a_command_that_is_not_there_is_noticed() -> None:
    for text in ("run `gridferry mend`", "    gridferry verify --repair", "Next: gridferry verify --undo r1, or not"):
        assert len(faults(text)) == 1, text
    assert faults("`gridferry repair --wait 60`; gridferry loads rows") == []
