"""The base of closed sets of words that people read, and that documents and metrics hold."""

from __future__ import annotations

from enum import Enum


class Word(str, Enum):
    """One word of a closed set. In an f-string it is its value, in every version of Python."""

    def __str__(self) -> str:
        return str(self.value)
