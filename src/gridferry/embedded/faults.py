"""Switches that make the stand-in fail on purpose, so that a client's recovery can be tested."""

from __future__ import annotations

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

    def check_put(self) -> None:
        """Raise the refusal that puts are to get, if any."""
        if self.refuse_puts is not None:
            raise Refusal(self.refuse_puts, "refused on request (fault injection)")

    def check_write(self) -> None:
        """Raise what a full disk raises, if it is to be full."""
        if self.disk_full:
            raise Refusal(Code.CM_IO_ERROR, "the disk refused: no space left on device (fault injection)")
