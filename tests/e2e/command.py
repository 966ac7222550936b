"""The command as a user meets it: exit code, what it says, and never a traceback."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.e2e.ferry import Ferry
from typer.testing import CliRunner

from gridferry.cli.main import app


@dataclass(frozen=True)
class Said:
    """How a command ended. `text` is stdout and stderr, with single blanks between the words."""

    code: int
    text: str


def command(ferry: Ferry, folder: Path, *arguments: str) -> Said:
    """Run a command with the ferry's config file, in this process."""
    file = folder / "gridferry.yaml"
    file.write_text(ferry.text)
    environment = {**ferry.env, "COLUMNS": "2000", "GRIDFERRY_DEBUG": None}
    result = CliRunner().invoke(app, [*arguments, "--config", str(file)], env=environment)
    text = " ".join((result.stdout + result.stderr).split())
    assert result.exception is None or isinstance(result.exception, SystemExit), text
    assert "Traceback" not in text
    assert "defect of gridferry" not in text
    return Said(result.exit_code, text)


def refused(ferry: Ferry, folder: Path, *arguments: str, code: int, says: str, advises: str = "") -> Said:
    """Run a command that cannot do its work, and check how it says so."""
    said = command(ferry, folder, *arguments)
    assert said.code == code, said.text
    assert says in said.text, said.text
    assert advises in said.text, said.text
    if arguments[0] != "plan":
        assert "State: " in said.text, said.text
        assert "Next: " in said.text, said.text
    return said
