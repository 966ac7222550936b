"""`sync --follow` where nobody watches a terminal: a line for each thing that happens, as text or as a JSON object.

Lines go to stderr. What each holds is written in docs/sync.md; names that stand there stay.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from enum import Enum
from typing import Any

from gridferry.cli.tables import visible


class LogFormat(str, Enum):
    """How lines are written."""

    TEXT = "text"
    JSON = "json"


class Severity(str, Enum):
    """How much a line matters."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogLines:
    """Writes lines. Safe for use by several threads; each line goes out whole, and at once.

    With `quiet` only warnings and errors are written.
    """

    def __init__(
        self,
        form: LogFormat,
        *,
        quiet: bool = False,
        write: Callable[[str], object] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._form = form
        self._quiet = quiet
        self._write = write or _to_stderr
        self._clock = clock
        self._lock = threading.Lock()

    def say(self, event: str, *, level: Severity = Severity.INFO, table: str = "", **fields: Any) -> None:
        """Write one line. Text has `message` and `next_step` alone, as words; else the fields with something in."""
        if not self._quiet or level is not Severity.INFO:
            line = self.line(event, level=level, table=table, **fields)
            with self._lock:
                self._write(line)

    def line(self, event: str, *, level: Severity = Severity.INFO, table: str = "", **fields: Any) -> str:
        """The same line, with its end, for who writes it."""
        at = datetime.fromtimestamp(self._clock(), timezone.utc).isoformat(timespec="milliseconds")
        stamp = at.replace("+00:00", "Z")
        if self._form is LogFormat.JSON:
            document = {"time": stamp, "level": level.value, "event": event, "table": table, **fields}
            return json.dumps(document) + "\n"
        message, step = fields.pop("message", ""), fields.pop("next_step", "")
        words = [stamp, f"{level.value:<7}", *([f"{table}:"] if table else [])]
        if message:  # for people: the kind of an error is in JSON
            words += [*message.split(), *(["Next:", *step.split()] if step else [])]
        else:
            words += [event, *(f"{name}={_value(value)}" for name, value in fields.items() if value not in (None, ""))]
        return visible(" ".join(words)) + "\n"


def _value(value: Any) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if any(c in text for c in ' "=') else text


def _to_stderr(line: str) -> None:
    sys.stderr.write(line)
    sys.stderr.flush()


@contextmanager
def every(seconds: float, call: Callable[[], None], *, name: str) -> Iterator[None]:
    """Call something again and again in a thread of its own, until the block ends."""
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(seconds):
            call()

    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
