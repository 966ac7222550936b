"""Types of columns: a literal for a random value, and how both ends show it so that equal means the same bits."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

LETTERS = "aZ0_ -.'\"\\%äß€😀\t\n/=:{}"
LAST_US = 253402300799999999
US = "(extract(epoch from {}) * 1000000)::bigint"


def real(value: float) -> bytes:
    """The bits of a float; any NaN is the same one."""
    return b"nan" if value != value else struct.pack(">f", value)


def double(value: float) -> bytes:
    """The bits of a double; any NaN is the same one."""
    return b"nan" if value != value else struct.pack(">d", value)


def same(value: Any) -> Any:
    """The value itself."""
    return value


@dataclass(frozen=True)
class Kind:
    """A column type. `value` makes a literal without its cast; `show` asks PostgreSQL for the value in a form that
    `want` turns into what `got` makes of the value that GridDB's reader gives.
    """

    sql: str
    value: Callable[[random.Random], str]
    show: str = "{}"
    want: Callable[[Any], Any] = same
    got: Callable[[Any], Any] = same

    def literal(self, r: random.Random) -> str:
        """A random value as an SQL expression."""
        text = self.value(r)
        quoted = text.replace("'", "''")
        return f"'{quoted}'::text::{self.sql}"


def _whole(bits: int) -> Callable[[random.Random], str]:
    edge = 2 ** (bits - 1)
    return lambda r: str(r.choice([-edge, edge - 1, 0, r.randrange(-edge, edge), r.randrange(-100, 100)]))


def _floating(r: random.Random) -> str:
    return r.choice(["NaN", "Infinity", "-Infinity", "-0", "0", "1e-30", repr(r.uniform(-1e9, 1e9)), repr(r.random())])


def _text(r: random.Random) -> str:
    return "".join(r.choice(LETTERS) for _ in range(r.choice([0, 1, 5, 20])))


def _stamp(r: random.Random) -> str:
    us = r.choice([0, LAST_US, r.randrange(LAST_US), 1594512094385975 + r.randrange(3000)])
    return str(datetime(1970, 1, 1) + timedelta(microseconds=us))


KINDS: dict[str, Kind] = {
    kind.sql: kind
    for kind in (
        Kind("smallint", _whole(16)),
        Kind("integer", _whole(32)),
        Kind("bigint", _whole(64)),
        Kind("boolean", lambda r: r.choice(["true", "false"])),
        Kind("real", _floating, want=real, got=real),
        Kind("double precision", _floating, want=double, got=double),
        Kind("numeric(12,0)", lambda r: str(r.randrange(-(10**12) + 1, 10**12)), "{}::bigint"),
        Kind("numeric(14,4)", lambda r: f"{r.uniform(-1e9, 1e9):.4f}", "{}::float8", double, double),
        Kind("numeric", lambda r: f"{r.randrange(10**30)}.{r.randrange(10**9)}", "{}::text"),
        Kind("text", _text),
        Kind("character varying(40)", _text),
        Kind("bytea", lambda r: "\\x" + r.randbytes(r.choice([0, 1, 40])).hex()),
        Kind("uuid", lambda r: f"{r.getrandbits(128):032x}", "{}::text"),
        Kind("jsonb", lambda r: '{"b": [1, null, "ä"], "a": ' + str(r.randrange(9)) + "}", "{}::text"),
        Kind("date", lambda r: f"{r.randrange(1970, 9999)}-02-{r.randrange(1, 29):02d}",
             "(extract(epoch from {}) * 1000)::bigint"),
        Kind("timestamp without time zone", _stamp, US),
        Kind("timestamp with time zone", lambda r: _stamp(r) + "+00", US),
        Kind("timestamp(3) without time zone", lambda r: _stamp(r)[:23], US),
    )
}  # fmt: skip


def long_text(r: random.Random) -> str:
    """A text of 2 to 12 KB as an SQL expression: PostgreSQL stores it out of line."""
    salt, pieces = r.randrange(10**6), r.randrange(70, 380)
    return f"(SELECT string_agg(md5(i::text || '{salt}'), '') FROM generate_series(1, {pieces}) AS i)"
