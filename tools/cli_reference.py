"""Write docs/reference/cli.md from the commands themselves; `--check` fails if it is stale."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import typer

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tools.generated import write_or_check  # noqa: E402

from gridferry.cli.main import app  # noqa: E402

PAGE = ROOT / "docs" / "reference" / "cli.md"
_SHARED = ("as_json", "quiet", "verbose", "help")
_HEAD = """# Command line

<!-- Made by tools/cli_reference.py from the commands themselves. Do not edit. -->

Results go to stdout, progress, notes and errors to stderr. Every command has these options too:

{shared}
`GRIDDB_PASSWORD` holds the target's password, `SOURCE_DSN` the source's address where the config file asks for it.
The line that begins with *Changes* says what a command writes; *state* is what gridferry keeps in GridDB for itself
([how it works](../how-it-works.md#where-things-are-kept)). `NO_COLOR` switches colours off. SIGTERM ends a command in
order, as Ctrl-C does, with exit code 143.

## Exit codes

| code | meaning |
|---|---|
| 0 | done |
| 1 | differences: `verify` found some, `repair` or `undo` left some, or `quarantine replay` could not store every row |
| 2 | usage error: options, config file, login, or a plan with problems; the same command will fail again |
| 3 | permanent failure: look at the message |
| 75 | temporary failure: the same command may succeed, such as when a server is back; `verify`: rows not synced yet |
| 130 | interrupted by Ctrl-C; a load goes on where it stopped when the same command is run again |

## Errors

An error says what happened, which state was left, and the next step. `-v` adds where it happened;
`GRIDFERRY_DEBUG=1` adds a traceback. With `--json` the document on stdout is then

```json
{{"error": {{"type": "NodeUnreachable", "message": "...", "problems": [], "state": "...", "next_step": "...",
           "notes": [], "exit_code": 75, "try_again": true}}}}
```

with `griddb_code` for what the server refused, and `table`, `column` and `row` for a value that cannot be stored.
Options that do not exist are named on stderr only. If `tql --json` fails after the first rows, the document ends there,
the error is on stderr, and the exit code is not 0.
"""


def page() -> str:
    """The page's text."""
    root = typer.main.get_command(app)
    commands = list(_commands(root, ["gridferry"]))
    shared = "".join(_line(p) for p in commands[0][1].params if p.name in _SHARED)
    parts = [_HEAD.format(shared="| option | meaning |\n|---|---|\n" + shared)]
    parts += [_section(" ".join(path), command) for path, command in commands]
    return "\n".join(parts)


def _commands(group: Any, path: list[str]) -> Iterator[tuple[list[str], Any]]:
    """Every command and its words, groups opened up."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, [*path, name])
        else:
            yield [*path, name], command


def _section(name: str, command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name not in _SHARED]
    words = [name, *(_argument(p) for p in arguments), *(["[OPTIONS]"] if options else [])]
    lines = [f"## {name}", "", "```", " ".join(words), "```", "", " ".join(command.help.split("\n\n")[0].split()), ""]
    lines += [" ".join(part.split()) + "\n" for part in command.help.split("\n\n")[1:]]
    rows = [_line(p) for p in [*arguments, *options]]
    if rows:
        lines += ["| option | meaning |", "|---|---|", "".join(rows).rstrip(), ""]
    return "\n".join(lines)


def _argument(parameter: Any) -> str:
    return parameter.metavar or parameter.name.upper()


def _line(parameter: Any) -> str:
    """A row of a table: the names, then the help with default and variable."""
    if parameter.param_type_name == "argument":
        names = f"`{_argument(parameter)}`"
    else:
        names = ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])
        if not getattr(parameter, "is_flag", False):
            names += f" {parameter.metavar}"
    text = " ".join((parameter.help or "").split())
    if parameter.default not in (None, False, "", ()) and not callable(parameter.default):
        default = parameter.default.value if isinstance(parameter.default, Enum) else parameter.default
        text += f" Default: `{default}`."
    if parameter.envvar:
        text += f" Taken from `{parameter.envvar}` where it is not given."
    names, text = (cell.replace("|", r"\|") for cell in (names, text))
    return f"| {names} | {text} |\n"


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, page(), tool="cli_reference"))
