"""Switches that make the emulator fail on purpose, so that a client's recovery can be tested."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from gridferry.embedded.refusal import Code, Refusal


@dataclass
class Faults:
    """All off unless set; they may be set and cleared while the server runs.

    Each `..._after` and `..._at` counts from the moment it is set, over all connections, and fires once.
    """

    # The connection is closed after that many more bytes were sent to clients, also in the middle of a frame.
    close_after_bytes: int | None = None
    # The connection is closed instead of answering the n-th statement from now (1 = the next), after executing it.
    close_at_statement: int | None = None
    # Only statements with this number count for `close_at_statement` and `delay_s`; None means all.
    statement_type: int | None = None
    # Every answer is held back for that long, in seconds.
    delay_s: float = 0.0
    # No answer is sent at all; the connection stays open.
    stall: bool = False
    # Every put is refused with this code.
    refuse_puts: Code | None = None
    # Nothing can be written: what a full disk does.
    disk_full: bool = False
    # A crash forgets whatever FLUSH_LOG did not flush, even if it happens to be on disk; set before opening.
    lose_unflushed: bool = False
    # Called with each statement number before it is executed.
    on_statement: Callable[[int], None] | None = field(default=None, repr=False)

    @property
    def by_statement(self) -> bool:
        """Whether something is to happen at single statements."""
        return self.on_statement is not None or self.close_at_statement is not None or self.delay_s > 0

    def cut_at(self, statement: int) -> bool:
        """Whether the connection is to end here instead of an answer. Counts."""
        if self.close_at_statement is None or not self._counts(statement):
            return False
        self.close_at_statement -= 1
        if self.close_at_statement > 0:
            return False
        self.close_at_statement = None
        return True

    def cut_within(self, size: int) -> int | None:
        """How many of `size` bytes may be sent before the connection ends; None if it does not end. Counts."""
        if self.close_after_bytes is None:
            return None
        if self.close_after_bytes >= size:
            self.close_after_bytes -= size
            return None
        left, self.close_after_bytes = self.close_after_bytes, None
        return left

    def hold(self, statement: int) -> None:
        """Hold an answer back, if it is to be."""
        if self.delay_s > 0 and self._counts(statement):
            time.sleep(self.delay_s)

    def _counts(self, statement: int) -> bool:
        return self.statement_type is None or self.statement_type == statement

    def check_put(self) -> None:
        """Raise the refusal that puts are to get, if any."""
        if self.refuse_puts is not None:
            raise Refusal(self.refuse_puts, "refused on request (fault injection)")

    def check_write(self) -> None:
        """Raise what a full disk raises, if it is to be full."""
        if self.disk_full:
            raise Refusal(Code.CM_IO_ERROR, "the disk refused: no space left on device (fault injection)")
