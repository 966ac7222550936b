"""What a run waits for is reported to whoever listens to it."""

from __future__ import annotations

from gridferry.engine.events import Level, Note


def note_of_lock(text: str) -> Note:
    """The warning that a lock of another client at the target is waited for."""
    return Note("GridDB", text, Level.WARNING)
