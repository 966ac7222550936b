"""Change decoding alone: messages of the sensor row, as PostgreSQL sends them, through the change decoder."""

from __future__ import annotations

import time
from dataclasses import dataclass

from bench.figures import Figure, RunFailed

from gridferry.plan.plan import ReadAs, SourceColumn
from gridferry.source.postgres.log.decoder import ChangeDecoder

AIM = 150_000
_OID = 16384
_COLUMNS = (
    ("ts", 1114, b"2020-07-12 00:01:34.385975"),
    ("device", 1043, b"b8:27:eb:bf:9d:51"),
    ("co", 701, b"0.004955938648391245"),
    ("humidity", 701, b"51"),
    ("light", 16, b"f"),
    ("lpg", 701, b"0.00765082227055719"),
    ("motion", 16, b"f"),
    ("smoke", 701, b"0.02041127012241292"),
    ("temp", 701, b"22.7"),
)


@dataclass(frozen=True)
class DecodeFigures:
    """What was decoded, in how many CPU seconds of one core."""

    changes: int
    transactions: int
    cpu_s: float

    @property
    def changes_per_s(self) -> float:
        """Changes per CPU second."""
        return self.changes / self.cpu_s


def measure_change_decoding(*, changes: int, rows_per_transaction: int) -> DecodeFigures:
    """Decode `changes` inserts, in transactions of `rows_per_transaction`, into Arrow columns; no server takes part."""
    relation, row = _relation(), _insert()
    messages = [relation]
    for first in range(0, changes, rows_per_transaction):
        place = (first + 1).to_bytes(8, "big")
        end = (first + 2).to_bytes(8, "big")
        messages.append(b"B" + place + bytes(12))
        messages += [bytes(bytearray(row)) for _ in range(min(rows_per_transaction, changes - first))]
        messages.append(b"C\0" + place + end + bytes(8))
    wanted = tuple(SourceColumn(name, ReadAs.PLAIN) for name, _, _ in _COLUMNS)
    decoder = ChangeDecoder({("public", "sensor"): wanted})
    seen = transactions = 0
    begun = time.process_time()
    for message in messages:
        decoder.receive(message)
        if decoder.ready:
            for group in decoder.drain():
                seen, transactions = seen + group.changes, transactions + group.transactions
    for group in decoder.drain():
        seen, transactions = seen + group.changes, transactions + group.transactions
    cpu_s = time.process_time() - begun
    decoder.close()
    return DecodeFigures(seen, transactions, cpu_s)


def _relation() -> bytes:
    columns = b"".join(
        b"\0" + name.encode() + b"\0" + oid.to_bytes(4, "big") + b"\xff" * 4 for name, oid, _ in _COLUMNS
    )
    return b"R" + _OID.to_bytes(4, "big") + b"public\0sensor\0d" + len(_COLUMNS).to_bytes(2, "big") + columns


def _insert() -> bytes:
    values = b"".join(b"t" + len(text).to_bytes(4, "big") + text for _, _, text in _COLUMNS)
    return b"I" + _OID.to_bytes(4, "big") + b"N" + len(_COLUMNS).to_bytes(2, "big") + values


def measure(*, changes: int) -> list[Figure]:
    """Changes a CPU second of one core, by the size of their transactions."""
    found = []
    for size in (1, 10, 1000):
        figures = measure_change_decoding(changes=changes, rows_per_transaction=size)
        if figures.changes != changes:
            raise RunFailed(f"{figures.changes} changes were decoded of {changes}")
        name = f"sensor rows, {size:,} a transaction"
        found.append(Figure("decoding", name, figures.changes_per_s, "changes/s", AIM, more_is_better=True))
    return found
