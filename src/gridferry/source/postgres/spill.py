"""Messages of a transaction that is still open: kept as they came, in memory while few, then in a temporary file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from gridferry.errors import SourceError

IN_MEMORY_BYTES = 1 << 20
_READ_BYTES = 1 << 20


class Spill:
    """The messages of one transaction, in order; those of a subtransaction that is rolled back are cut off again.

    The file has no name and vanishes with the process.
    """

    def __init__(self, *, in_memory_bytes: int = IN_MEMORY_BYTES) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=in_memory_bytes)  # noqa: SIM115 - closed by `close`
        self._starts: dict[int, int] = {}  # where each subtransaction's first message begins
        self.size_bytes = 0

    def append(self, message: bytes, *, subxid: int) -> None:
        """Keep a message. Raises: SourceError when the disk is full."""
        self._starts.setdefault(subxid, self.size_bytes)
        with _on_disk():
            self._file.write(len(message).to_bytes(4, "big") + message)
        self.size_bytes += 4 + len(message)

    def roll_back(self, subxid: int) -> None:
        """Forget a subtransaction, and those inside it: everything that came since its first message."""
        start = self._starts.get(subxid)
        if start is None:
            return  # it changed nothing that is published
        self._starts = {xid: begin for xid, begin in self._starts.items() if begin < start}
        with _on_disk():
            self._file.seek(start)
            self._file.truncate()
        self.size_bytes = start

    def read(self) -> Iterator[bytes]:
        """Every message that is left, in order; read in blocks of bounded size."""
        with _on_disk():
            self._file.seek(0)
        held = b""
        while block := self._block():
            held += block
            at = 0
            while len(held) - at >= 4:
                end = at + 4 + int.from_bytes(held[at : at + 4], "big")
                if end > len(held):
                    break
                yield held[at + 4 : end]
                at = end
            held = held[at:]

    def close(self) -> None:
        """Give the space back; safe to call twice."""
        with suppress(OSError):  # a full disk, met once more with what was still to be written
            self._file.close()

    def _block(self) -> bytes:
        with _on_disk():
            return self._file.read(_READ_BYTES)


@contextmanager
def _on_disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SourceError(
            f"a large open transaction could not be kept in {tempfile.gettempdir()}: {error.strerror}",
            state="nothing of it was applied or confirmed",
            next_step="make room there, or set TMPDIR to a larger disk, and run the same command again",
        ) from error
