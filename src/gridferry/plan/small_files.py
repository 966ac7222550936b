"""Files that a config names, or is: read once, whole, and only where that is sure to end."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

_AT_ONCE = 1 << 16


class Unreadable(Exception):
    """Why a file was not read, as the end of a sentence: `it is a directory`."""


@dataclass(frozen=True)
class SmallFile:
    """What was read: the text, and the file's permission bits at that moment."""

    text: str
    mode: int

    @property
    def open_to_others(self) -> bool:
        """Whether other accounts than the owner's may read it."""
        return bool(self.mode & (stat.S_IRGRP | stat.S_IROTH))


def read_small(path: str | os.PathLike[str], *, most: int) -> SmallFile:
    """The UTF-8 text of a regular file of at most `most` bytes.

    A device would never end, and a fifo may never begin: both are refused before a byte is read.
    Raises: Unreadable; OSError where there is no such file or it may not be opened.
    """
    name = os.fspath(path)
    if "\0" in name:
        raise Unreadable("its name holds a NUL character")
    # Not blocking: to open a fifo for reading waits for a writer.
    descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise Unreadable(f"it is {_kind(facts.st_mode)}, not a file")
        found = bytearray()
        while part := os.read(descriptor, min(_AT_ONCE, most + 1 - len(found))):
            found += part
            if len(found) > most:
                raise Unreadable(f"it has more than {most:,} bytes")
    finally:
        os.close(descriptor)
    try:
        return SmallFile(found.decode("utf-8-sig"), stat.S_IMODE(facts.st_mode))
    except UnicodeDecodeError:
        raise Unreadable("it is not UTF-8 text") from None


def home_expanded(path: str) -> Path:
    """`path` with a leading `~` filled in. Raises: Unreadable where there is no such home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise Unreadable("the home directory it begins with is not known") from None


def reason(error: OSError) -> str:
    """What the system says of a file that cannot be opened."""
    if error.errno in (errno.ENXIO, errno.ENODEV):
        return "it is a socket or a device, not a file"
    return error.strerror or "the system does not say why"


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a directory"
    if stat.S_ISFIFO(mode):
        return "a pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"
