"""Container names: wire image, rules, and the partition they live in. Source: docs/protocol.md, Container key."""

from __future__ import annotations

import hashlib
import re
import zlib
from dataclasses import dataclass

from gridferry.errors import LocalProtocolError, RemoteProtocolError
from gridferry.griddb.wire.octets import MAX_8, Reader, Writer
from gridferry.griddb.wire.statement import MAX_CONTAINER_NAME_BYTES

PUBLIC_DATABASE_ID = 0
_LEGAL = re.compile(r"[A-Za-z0-9_.\-/=]+", re.ASCII)
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)

_DATABASE, _LARGE, _NUMBER_AFFINITY, _STRING_AFFINITY, _NUMBER_SYSTEM, _STRING_SYSTEM = 1, 2, 4, 8, 16, 32


@dataclass(frozen=True)
class ContainerKey:
    """A container's name on the wire. `affinity` is the part after `@`: digits, or a group's name."""

    base: str
    affinity: str = ""
    database_id: int = PUBLIC_DATABASE_ID
    large_id: int | None = None
    system_part: str = ""

    @property
    def name(self) -> str:
        """The name as a user writes it."""
        return f"{self.base}@{self.affinity}" if self.affinity else self.base

    @property
    def folded(self) -> str:
        """The name as the server compares it."""
        return self.name.lower()


def legal_part(text: str) -> bool:
    """Whether a container or column name uses only the characters that GridDB takes."""
    return _LEGAL.fullmatch(text) is not None


def container_key(name: str, database_id: int = PUBLIC_DATABASE_ID) -> ContainerKey:
    """The key of a container called `name`. Raises: LocalProtocolError for a name that no server would take."""
    base, at, affinity = name.partition("@")
    for part in (base, affinity) if at else (base,):
        if not legal_part(part):
            raise LocalProtocolError(
                f'"{name}" cannot name a container: only ASCII letters, digits and _ . - / = can be used'
            )
    if len(base) > MAX_CONTAINER_NAME_BYTES:
        raise LocalProtocolError(f"a container name of {len(base)} bytes: {MAX_CONTAINER_NAME_BYTES} is the limit")
    return ContainerKey(base=base, affinity=affinity, database_id=database_id)


def partition_of(key: ContainerKey, partition_count: int, hash_mode: int = 0) -> int:
    """The partition that a container lives in. `hash_mode` 0 is CRC-32, 1 is MD5."""
    if _is_number(key.affinity):
        return int(key.affinity) % partition_count
    data = (key.affinity or key.base).lower().encode()
    if hash_mode == 0:
        return zlib.crc32(data) % partition_count
    if hash_mode == 1:
        return int.from_bytes(hashlib.md5(data, usedforsecurity=False).digest()[:4], "big") % partition_count
    raise RemoteProtocolError(f"container hash mode {hash_mode} is unknown")


def write_key(out: Writer, key: ContainerKey) -> None:
    """Write the key image, preceded by its size."""
    inner = Writer()
    number = _is_number(key.affinity)
    flags = _DATABASE if key.database_id != PUBLIC_DATABASE_ID else 0
    flags |= _LARGE if key.large_id is not None else 0
    flags |= (_NUMBER_AFFINITY if number else _STRING_AFFINITY) if key.affinity else 0
    flags |= _STRING_SYSTEM if key.system_part else 0
    inner.u8(flags)
    if flags & _DATABASE:
        inner.i64(key.database_id)
    inner.var_string(key.base.lower())
    if key.large_id is not None:
        inner.var_size(key.large_id)
    if flags & _NUMBER_AFFINITY:
        inner.var_size(int(key.affinity))
    if flags & _STRING_AFFINITY:
        inner.var_string(key.affinity.lower())
    if flags & _STRING_SYSTEM:
        inner.var_string(key.system_part.lower())
    inner.raw(_case_bits(key.base + ("" if number else key.affinity) + key.system_part))
    out.var_bytes(inner.getvalue())


def read_key(source: Reader) -> ContainerKey:
    """Read a key image. Raises: RemoteProtocolError if it is malformed."""
    image = source.var_bytes()
    plain = _plain_name(bytes(image))
    if plain is not None:
        return ContainerKey(plain)
    inner = Reader(image)
    flags = inner.u8()
    database_id = inner.i64() if flags & _DATABASE else PUBLIC_DATABASE_ID
    base = inner.var_string()
    large_id = inner.var_size() if flags & _LARGE else None
    affinity = ""
    number = ""
    if flags & _NUMBER_AFFINITY:
        number = str(inner.var_size())
    elif flags & _STRING_AFFINITY:
        affinity = inner.var_string()
    if flags & _NUMBER_SYSTEM:
        inner.var_size()
    system_part = inner.var_string() if flags & _STRING_SYSTEM else ""
    cased = _with_case(base + affinity + system_part, bytes(inner.rest()))
    base, rest = cased[: len(base)], cased[len(base) :]
    return ContainerKey(
        base=base,
        affinity=number or rest[: len(affinity)],
        database_id=database_id,
        large_id=large_id,
        system_part=rest[len(affinity) :],
    )


def _plain_name(image: bytes) -> str | None:
    """The name in an image that has nothing but a short name without capitals, as most have; None for any other.

    Such an image is: flags 0, a size of one byte, the name, and for each of its letters a bit, 0.
    """
    if len(image) < 3 or image[0] or not image[1] & 1:
        return None
    end = 2 + (image[1] >> 1)
    name = image[2:end]
    return name.decode() if name.isascii() and image[end:] == bytes((len(name) + 7) // 8) else None


def _is_number(affinity: str) -> bool:
    # Longer or larger numbers are groups' names, as GridDB's own client has it.
    return _NUMBER.fullmatch(affinity) is not None and int(affinity) < MAX_8


def _case_bits(text: str) -> bytes:
    data = text.encode()
    bits = bytearray((len(data) + 7) // 8)
    if data == data.lower():
        return bytes(bits)
    for index, octet in enumerate(data):
        if 0x41 <= octet <= 0x5A:
            bits[index >> 3] |= 1 << (index & 7)
    return bytes(bits)


def _with_case(text: str, bits: bytes) -> str:
    data = bytearray(text.encode())
    if len(bits) != (len(data) + 7) // 8:
        raise RemoteProtocolError("a container key has the wrong number of case bits")
    if not any(bits):
        return text
    for index, octet in enumerate(data):
        if bits[index >> 3] >> (index & 7) & 1 and 0x61 <= octet <= 0x7A:
            data[index] = octet - 0x20
    return data.decode()
