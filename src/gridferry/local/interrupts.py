"""Ctrl-C and SIGTERM, kept out of the moments that they must not part: starting a process and knowing of it, say.

Only the main thread hears signals: on any other, nothing here does anything.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def undisturbed() -> Iterator[None]:
    """No second Ctrl-C or SIGTERM interrupts what runs inside: they are ignored."""
    with _handled_by(signal.SIG_IGN):
        yield


@contextmanager
def held() -> Iterator[None]:
    """A Ctrl-C or SIGTERM that comes inside is heard at the end.

    For what takes a moment only: what is made inside is noted down before an interrupt can take it away. Not by a
    signal mask, nor by ignoring: a process started inside would inherit that, and could not be stopped.
    """
    heard: list[int] = []
    try:
        with _handled_by(lambda number, _: heard.append(number)):
            yield
    finally:
        if heard:
            signal.raise_signal(heard[0])


@contextmanager
def _handled_by(handler: Callable[[int, Any], Any] | signal.Handlers) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
