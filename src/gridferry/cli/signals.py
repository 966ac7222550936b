"""What signals ask of a command that goes on without end: to end in order, to end at once, to read its config again."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gridferry.cli.reporting import Terminated


class Requests:
    """What was asked for so far. A signal handler writes it: so no lock, which the same thread may hold."""

    def __init__(self) -> None:
        self._stops: list[int] = []
        self._reloads: list[int] = []

    def stop(self) -> bool:
        """Whether SIGTERM or SIGINT came."""
        return bool(self._stops)

    def take_reload(self) -> bool:
        """Whether SIGHUP came since this was asked before. For one thread."""
        asked = bool(self._reloads)
        self._reloads.clear()
        return asked

    def hear_stop(self, number: int, frame: object) -> None:
        """SIGTERM or SIGINT came. Raises: Terminated, KeyboardInterrupt at the second one."""
        if self._stops:
            raise Terminated if number == signal.SIGTERM else KeyboardInterrupt
        self._stops.append(number)

    def hear_reload(self, number: int, frame: object) -> None:
        """SIGHUP came."""
        self._reloads.append(number)


@contextmanager
def listening(answer: Callable[[], str] = str) -> Iterator[Requests]:
    """Tells what SIGTERM, SIGINT and SIGHUP ask for. The first of the former asks for an end in order, the second ends
    at once.

    `answer` gives what goes to stderr when the first was heard.
    """
    requests = Requests()

    def stop(number: int, frame: object) -> None:
        requests.hear_stop(number, frame)
        # Not by print: the signal may have come in the middle of one.
        os.write(2, answer().encode())

    handlers = {signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGHUP: requests.hear_reload}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
