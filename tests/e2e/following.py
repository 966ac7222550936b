"""A `sync --follow` beside a test, and waiting for what it does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from tests.e2e.changes import sync
from tests.e2e.ferry import Ferry


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


class Follow:
    """A `sync --follow` beside the test."""

    def __init__(self, ferry: Ferry) -> None:
        self._stop = threading.Event()
        self.error: BaseException | None = None
        self.events: list[Any] = []
        self._ferry = ferry
        self._thread = threading.Thread(target=self._work, daemon=True)

    def _work(self) -> None:
        try:
            sync(self._ferry, listener=self.events.append, follow=True, interval_s=0.2, until=self._stop.is_set)
        except BaseException as error:
            self.error = error

    def __enter__(self) -> Follow:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive()
