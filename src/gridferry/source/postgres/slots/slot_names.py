"""Names of the slot and publications of a sync, from which the sync's own name can be read back.

A slot's name has lower-case letters, digits and `_` only, at most 63 of them (PostgreSQL, ReplicationSlotValidateName).
Lower-case letters and digits stand for themselves; every other byte of the name in UTF-8 is `_` and two hex digits.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gridferry.errors import ConfigError

PREFIX = "gridferry_"
LONGEST = 63
_SUFFIXES = ("_full", "_inserts")  # neither begins like an escape: `fu` and `in` are no hex digits
_ESCAPE = re.compile(r"_([0-9a-f]{2})")
_ESCAPED = re.compile(r"(?:[a-z0-9]|_[0-9a-f]{2})+")


def slot_name(sync: str) -> str:
    """The slot of the sync called `sync`. Raises: ConfigError if that is empty or too long."""
    escaped = "".join(
        chr(byte) if chr(byte).isascii() and (chr(byte).islower() or chr(byte).isdigit()) else f"_{byte:02x}"
        for byte in sync.encode()
    )
    room = LONGEST - len(PREFIX) - max(map(len, _SUFFIXES))
    if not 0 < len(escaped) <= room:
        raise ConfigError(
            f"the sync name {sync!r} makes {len(escaped)} letters of a name in PostgreSQL, not 1 to {room}",
            next_step="give a shorter name; letters a to z and digits count once, all others three times",
        )
    return PREFIX + escaped


def read_publications(slot: str, given: Sequence[str]) -> tuple[str, ...]:
    """The publications that the slot is read with: those that somebody else made, else its own."""
    return tuple(given) or publication_names(slot)


def publication_names(slot: str) -> tuple[str, str]:
    """The publication of tables whose changes are followed in full, and that of inserts and truncates only."""
    full, inserts = _SUFFIXES
    return slot + full, slot + inserts


def sync_of(name: str) -> str | None:
    """The sync that a slot or publication belongs to, or None if it is not one of gridferry's."""
    if not name.startswith(PREFIX):
        return None
    escaped = name[len(PREFIX) :]
    for suffix in _SUFFIXES:
        escaped = escaped.removesuffix(suffix)
    if not _ESCAPED.fullmatch(escaped):
        return None
    try:
        return _ESCAPE.sub(lambda m: chr(int(m.group(1), 16)), escaped).encode("latin-1").decode()
    except UnicodeDecodeError:
        return None
