"""Files that hold rows, addresses or findings: for the account's own eyes, whatever the umask is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

PRIVATE = 0o600


def make_private(path: Path, *, exclusive: bool = False) -> int:
    """Open a file for writing, empty and readable by its owner alone. Returns the descriptor.

    A file that was there loses what it held, and what others were allowed; a device or a pipe is opened as it is.
    Raises: OSError; FileExistsError with `exclusive` where there is one.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_EXCL if exclusive else os.O_TRUNC)
    descriptor = os.open(path, flags, PRIVATE)
    try:
        if path.is_file():
            os.fchmod(descriptor, PRIVATE)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def private_text(path: Path, *, exclusive: bool = False) -> Iterator[IO[str]]:
    """A private file to write UTF-8 text into. Raises: as `make_private`."""
    with os.fdopen(make_private(path, exclusive=exclusive), "w", encoding="utf-8") as opened:
        yield opened
