"""Temporary files of a verification and a repair: a disk that does not take them is reported."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from gridferry.errors import CheckpointError


@contextmanager
def on_disk(kept: str) -> Iterator[None]:
    """Raises: CheckpointError for an OSError inside. `kept` is what is kept there, as "the differences"."""
    try:
        yield
    except OSError as error:
        # Not gettempdir(): it fails in turn where no folder can be written.
        place = tempfile.tempdir or "a temporary file"
        raise CheckpointError(
            f"{kept} could not be kept in {place}: {error.strerror or error}",
            state="nothing was changed in the target",
            next_step="make room there, or set TMPDIR to a larger disk, and run the same command again",
        ) from error
