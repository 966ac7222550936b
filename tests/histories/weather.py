"""A line with weather: after so many bytes the connections are cut, stand still for a moment, or come in bits."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

_BITS = 4000  # so many bytes come in bits
STALL_S = 0.4


class Weather:
    """`name`: cut, stall or split; it comes after `after` bytes of both directions. `split`: bytes of a bit."""

    def __init__(self, name: str, *, after: int, split: int = 1) -> None:
        self.name = name
        self.came = False
        self._split = split
        self._left = after
        self._bits = _BITS
        self._lock = threading.Lock()

    def pieces(self, data: bytes, *, up: bool) -> Iterator[bytes | None]:
        """What of `data` is passed on, in turn; None: the connections are cut. Both directions count alike."""
        with self._lock:
            before = min(self._left, len(data))
            self._left -= before
            came, due = self.came, self._left == 0 and before < len(data)
            self.came = came or due
            bits = min(self._bits, len(data)) if due and self.name == "split" else 0
            self._bits -= bits
        if not due:
            yield data
        elif self.name == "split":
            for start in range(0, bits, self._split):
                yield data[start : min(start + self._split, bits)]
            yield data[bits:]
        elif came:
            yield data
        else:
            yield data[:before]
            if self.name == "cut":
                yield None
                return
            time.sleep(STALL_S)
            yield data[before:]
