"""A right that is renewed by a thread as long as its block runs, and given back at the end."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from types import TracebackType

from gridferry.errors import FerryError, LeaseHeld


class Renewed(ABC):
    """A context whose `__enter__` calls `_begin_to_beat` once the right is held."""

    def __init__(self, *, beat_s: float) -> None:
        """Args: beat_s: from one renewal to the next."""
        self._beat_s = beat_s
        self._stop = threading.Event()
        self._beating: threading.Thread | None = None
        self._away = False  # the target did not take the last renewal

    @abstractmethod
    def _renew(self) -> None:
        """Write down that the holder lives. Raises: LeaseHeld if the right was lost for good; GridDBError."""

    @abstractmethod
    def _release(self) -> None:
        """Give back what is held. Raises: FerryError."""

    def _begin_to_beat(self, name: str) -> None:
        self._beating = threading.Thread(target=self._beat, name=name, daemon=True)
        self._beating.start()

    def _beat(self) -> None:
        while not self._stop.wait(self._beat_s):
            try:
                self._renew()
            except LeaseHeld:
                return
            except FerryError:
                pass  # the target may be away for a moment; `Lease.check` minds when that is too long

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._beating is not None:
            self._beating.join()
        if self._away and error is not None:
            return  # who ends because the target is away need not search for it once more
        try:
            self._release()
        except FerryError:
            # The error that ends the block matters more; an unreleased lease is taken over.
            if error is None:
                raise
