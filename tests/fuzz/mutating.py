"""Hostile bytes from honest ones: cut, flipped, doubled, joined, and with numbers that no length should be."""

from __future__ import annotations

import os
import random
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence

ROUNDS = 200  # of each target in `make test`
MOST_BYTES = 1 << 16  # of an input
MOST_MEMORY = 32 << 20  # bytes that one input of that size may cost at most
_ODD = (0, 1, *((1 << bits) - off for bits in (7, 8, 15, 16, 31, 32, 62, 63, 64) for off in (0, 1)))


def mutated(seeds: Sequence[bytes], chance: random.Random) -> bytes:
    """One input: a seed, changed once to eight times."""
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.randint(1, 8)):
        place = chance.randint(0, len(data))
        _CHANGES[chance.randrange(len(_CHANGES))](data, place, chance, seeds)
    return bytes(data[:MOST_BYTES])


def _flip(data: bytearray, place: int, chance: random.Random, _: Sequence[bytes]) -> None:
    if place < len(data):
        data[place] ^= 1 << chance.randrange(8)


def _cut(data: bytearray, place: int, chance: random.Random, _: Sequence[bytes]) -> None:
    del data[place : place + chance.choice((1, 2, 4, 8, len(data)))]


def _number(data: bytearray, place: int, chance: random.Random, _: Sequence[bytes]) -> None:
    size = chance.choice((1, 2, 4, 8))
    value = chance.choice(_ODD) % (1 << 8 * size)
    data[place : place + size] = value.to_bytes(size, chance.choice(("little", "big")))


def _repeat(data: bytearray, place: int, chance: random.Random, _: Sequence[bytes]) -> None:
    piece = data[place : place + chance.randint(1, 16)]
    data[place:place] = piece * chance.choice((1, 2, 100))


def _join(data: bytearray, place: int, chance: random.Random, seeds: Sequence[bytes]) -> None:
    other = chance.choice(seeds)
    data[place:] = other[chance.randint(0, len(other)) :]


def _noise(data: bytearray, place: int, chance: random.Random, _: Sequence[bytes]) -> None:
    data[place:place] = chance.randbytes(chance.randint(1, 12))


_CHANGES = (_flip, _cut, _number, _repeat, _join, _noise)


def rounds(seed: int) -> Iterator[random.Random]:
    """A source of chance for each round: `ROUNDS` of them, or as many as fit into GRIDFERRY_FUZZ_SECONDS."""
    seconds = float(os.environ.get("GRIDFERRY_FUZZ_SECONDS", "0"))
    began, number = time.monotonic(), 0
    # Longer runs begin elsewhere each time; which input failed is told by its bytes.
    start = random.SystemRandom().randrange(1 << 32) if seconds else seed
    while time.monotonic() - began < seconds if seconds else number < ROUNDS:
        yield random.Random(start + number)
        number += 1


def survive(decode: Callable[[bytes], object], data: bytes, *, refused: tuple[type[Exception], ...]) -> bool:
    """Decode one input within bounds of memory: True if it was taken, False if it was refused as it should be.

    Only in a process without other threads: see `conftest`.
    Raises: AssertionError with the input, for any other error and for too much memory.
    """
    if threading.active_count() > 1:
        raise RuntimeError(f"tracemalloc beside other threads: {threading.enumerate()}")
    tracemalloc.start()
    try:
        decode(data)
        taken = True
    except refused:
        taken = False
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error} for the input {data.hex()}") from error
    finally:
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert most <= MOST_MEMORY, f"{most:,} bytes of memory for the input {data.hex()}"
    return taken
