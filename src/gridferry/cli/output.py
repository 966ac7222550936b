"""Where a command's words go: results to stdout as text or one JSON document, everything else to stderr."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from enum import Enum
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from gridferry.cli.log_lines import LogLines, Severity
from gridferry.cli.tables import visible

# A pipe has no width: enough for every table of ours, so that nothing is cut off on its way into another program.
PIPE_WIDTH = 160

# Control characters that JSON lets stand as they are, and some terminals obey.
_C1 = {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)}


class Output:
    """The two streams of one command.

    With `as_json` stdout carries exactly one document (`document`), and `show` says nothing. `quiet` silences notes
    and progress, never results or failures; `verbose` adds the notes of a failure. `interrupted` is the sentence for
    Ctrl-C. With `lines` all that would go to stderr is a line of a log.
    """

    def __init__(self, *, as_json: bool = False, quiet: bool = False, verbose: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.verbose = verbose
        self.interrupted = "Interrupted."
        self.left = ""  # how the tables of a command that was interrupted stand
        self.lines: LogLines | None = None
        self.streaming = False  # a document is half written: nothing else may go to stdout
        self.out = _console(sys.stdout)
        self.err = _console(sys.stderr)

    def show(self, *renderables: RenderableType) -> None:
        """Print a result for people; nothing in JSON mode."""
        if not self.as_json:
            for renderable in renderables:
                self.out.print(renderable)

    def show_text(self, text: str) -> None:
        """Print the text of a file as it is, not wrapped; nothing in JSON mode."""
        if not self.as_json:
            sys.stdout.write(text)
            sys.stdout.flush()

    def note(self, text: str | Text, *, style: str = "dim") -> None:
        """Print a line about the work, not its result."""
        if self.lines is not None:
            self.lines.say("note", message=str(text).strip())
        elif not self.quiet:
            self.err.print(text if isinstance(text, Text) else Text(text, style=style))

    def warn(self, text: str) -> None:
        """Print a warning, also when quiet."""
        if self.lines is not None:
            self.lines.say("note", level=Severity.WARNING, message=text)
            return
        self.err.print(Text.assemble(("warning: ", "yellow"), text))

    def document(self, made: Callable[[], Any]) -> None:
        """Print the JSON document that `made` returns; in JSON mode only, since a large one takes time to make."""
        if self.as_json:
            sys.stdout.write(json.dumps(plain(made()), ensure_ascii=False, indent=2).translate(_C1) + "\n")
            sys.stdout.flush()

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """A spinner on a terminal while something takes a moment."""
        if self.quiet or self.lines is not None or not self.err.is_terminal:
            yield
            return
        with self.err.status(Text(text, style="dim"), spinner="dots"):
            yield


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: dataclasses as objects, enums by value, times as ISO 8601, bytes as hex."""
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, dict):
        return {str(plain(k)): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    return scalar(value)


def scalar(value: Any) -> Any:
    """One value as JSON can hold it. NaN and the infinities, which JSON does not have, become text."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    return value


class _Console(Console):
    """A console that does not take a closed pipe for a result: rich's own ends with 1, which says "differences".

    Nothing that it prints commands a terminal but its own styles: names, values and messages of servers may hold
    sequences that colour, overwrite, or answer in the user's name.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """What `renderable` becomes, control characters in its text spelled out."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable() or segment.text == "\n":
                yield segment
            else:
                yield Segment("\n".join(map(visible, segment.text.split("\n"))), segment.style)

    def on_broken_pipe(self) -> None:
        """Called while the BrokenPipeError is handled: hand it on."""
        raise


def _console(stream: IO[str]) -> Console:
    terminal = stream.isatty()
    told = os.environ.get("COLUMNS", "")
    width = None
    if not told.isdigit() or int(told) == 0:  # 0 is no width, though Rich takes it for one
        width = PIPE_WIDTH if not terminal else os.get_terminal_size(stream.fileno()).columns if told else None
    return _Console(file=stream, width=width, highlight=False, soft_wrap=False)
