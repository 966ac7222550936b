"""Messages of a transaction that is still open: kept as they came, in memory while few, then in a temporary file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from gridferry.errors import SourceError

BLOCK_BYTES = 1 << 20


class Spill:
    """The messages of one transaction, in order; those of a subtransaction that is rolled back are cut off again.

    At most `block_bytes` of them are held in memory. The file has no name and vanishes with the process.
    """

    def __init__(self, *, block_bytes: int = BLOCK_BYTES) -> None:
        self._block_bytes = block_bytes
        self._file: IO[bytes] | None = None
        self._held: list[bytes] = []  # a length and a message, in turn
        self._held_bytes = 0
        self._starts: dict[int, int] = {}  # where each subtransaction's first message begins
        self.size_bytes = 0

    def append(self, message: bytes, *, subxid: int) -> None:
        """Keep a message. Raises: SourceError when the disk is full."""
        if subxid not in self._starts:
            self._starts[subxid] = self.size_bytes
        self._held += (len(message).to_bytes(4, "big"), message)
        self._held_bytes += 4 + len(message)
        self.size_bytes += 4 + len(message)
        if self._held_bytes >= self._block_bytes:
            self._write_held()

    def roll_back(self, subxid: int) -> None:
        """Forget a subtransaction, and those inside it: everything that came since its first message."""
        start = self._starts.get(subxid)
        if start is None:
            return  # it changed nothing that is published
        self._starts = {xid: begin for xid, begin in self._starts.items() if begin < start}
        file = self._write_held()
        with _on_disk():
            file.seek(start)
            file.truncate()
        self.size_bytes = start

    def read(self) -> Iterator[bytes]:
        """Every message that is left, in order; read in blocks of bounded size."""
        if self._file is None:
            yield from self._held[1::2]
            return
        file = self._write_held()
        with _on_disk():
            file.seek(0)
        rest = b""
        while block := self._next_block(file):
            rest += block
            at = 0
            while len(rest) - at >= 4:
                end = at + 4 + int.from_bytes(rest[at : at + 4], "big")
                if end > len(rest):
                    break
                yield rest[at + 4 : end]
                at = end
            rest = rest[at:]

    def close(self) -> None:
        """Give the space back; safe to call twice."""
        self._held.clear()
        if self._file is not None:
            with suppress(OSError):  # a full disk, met once more with what was still to be written
                self._file.close()

    def _write_held(self) -> IO[bytes]:
        with _on_disk():
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
            self._file.write(b"".join(self._held))
        self._held.clear()
        self._held_bytes = 0
        return self._file

    def _next_block(self, file: IO[bytes]) -> bytes:
        with _on_disk():
            return file.read(self._block_bytes)


@contextmanager
def _on_disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # Not gettempdir(): it fails in turn where no folder can be written.
        place = tempfile.tempdir or "a temporary file"
        raise SourceError(
            f"a large open transaction could not be kept in {place}: {error.strerror}",
            state="nothing of it was applied or confirmed",
            next_step="make room there, or set TMPDIR to a larger disk, and run the same command again",
        ) from error
