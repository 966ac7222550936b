"""stdin, stdout and stderr as a command may find them: closed, on a full disk, or unable to show a character."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from gridferry.errors import FerryError, Terminal


class ResultLost(Terminal, FerryError):
    """stdout does not take a command's result."""


def use_standard_streams() -> None:
    """Make the three streams ones that can be written, whatever the command was started with.

    A closed one becomes the null device: else the next file or connection would get its number. A character that a
    stream lacks becomes a `?`.
    """
    # In the order of their numbers, since each gets the lowest one that is free.
    sys.stdin = sys.stdin or Path(os.devnull).open()  # noqa: SIM115 - for the rest of the process
    sys.stdout = _replaced(sys.stdout, _Results)
    sys.stderr = _replaced(sys.stderr, _Remarks)


def drop_what_follows(stream: TextIO) -> None:
    """Let the null device take what is written to a stream from now on, and what it still holds."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


class _Results(io.TextIOWrapper):
    """stdout. Raises: ResultLost where nothing can be written; BrokenPipeError where nobody reads any more."""

    def write(self, text: str) -> int:
        with self._told():
            return super().write(text)

    def flush(self) -> None:
        with self._told():
            super().flush()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            raise ResultLost(
                f"stdout cannot be written: {error.strerror}",
                state="the work was done up to here; its result was not shown whole",
                next_step="make room, or direct the output elsewhere, and run the same command again",
            ) from error


class _Remarks(io.TextIOWrapper):
    """stderr. What it cannot write is lost: there is no place left to say so, and the work matters more."""

    def write(self, text: str) -> int:
        with self._dropped():
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with self._dropped():
            super().flush()

    @contextlib.contextmanager
    def _dropped(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError:
            drop_what_follows(self)


def _replaced(stream: TextIO | None, kind: type[io.TextIOWrapper]) -> TextIO:
    if stream is None:
        return Path(os.devnull).open("w")  # for the rest of the process
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    encoding, by_line, through = stream.encoding, stream.line_buffering, stream.write_through
    return kind(stream.detach(), encoding=encoding, errors="replace", line_buffering=by_line, write_through=through)
