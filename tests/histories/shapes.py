"""The tables of a history: columns, keys, replica identity, and how gridferry is told to follow them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from tests.histories.values import KINDS, long_text

EPOCH = "timestamp '2024-05-01'"
DEVICES = ("d0", "d1", "b8:27:eb:bf:9d:51", "", "Ä/ö %", "d5", "D0 ", "=20", "d8", "d9")
# Kinds of keys: the SQL type of each key column with the expression for the number {} of a row.
KEYS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "number": (("k", "integer", "({})"),),
    "long": (("k", "bigint", "({} * 100000000000)"),),
    "text": (("k", "text", "('k''ü ' || {})"),),
    "pair": (("k", "integer", "({} % 3)"), ("kk", "text", "('x' || {})")),
    "microseconds": (("k", "timestamp", f"({EPOCH} + ({{}} / 3) * interval '1 s' + ({{}} % 3) * interval '1 us')"),),
    "milliseconds": (("k", "timestamp(3)", f"({EPOCH} + {{}} * interval '1 ms')"),),
    "series": (("k", "timestamp", f"({EPOCH} + {{}} * interval '1 s 20 us' + interval '7 us')"),),
}
COLUMNS = tuple(KINDS)


@dataclass(frozen=True)
class Shape:
    """A table. `columns` are (name, type) beside key and split; `big` is a text column stored out of line, or "".

    `identity`: default (primary key), full, index, nothing. `growing` is the column that mode watermark goes by.
    """

    name: str
    mode: str
    split: bool
    key: str
    identity: str
    columns: tuple[tuple[str, str], ...]
    big: str = ""
    growing: str = ""
    lookback: str = "15m"
    precision: str = "auto"

    @property
    def key_names(self) -> tuple[str, ...]:
        """The key columns."""
        return tuple(name for name, _, _ in KEYS[self.key])

    @property
    def inserts_only(self) -> bool:
        """Whether nothing but inserts can be followed."""
        return self.identity == "nothing" or self.mode == "watermark"

    @property
    def unique(self) -> bool:
        """Whether a constraint keeps the key unique."""
        return self.identity != "nothing"

    @property
    def statements(self) -> tuple[str, ...]:
        """How it is made."""
        columns = ["device text NOT NULL"] * self.split
        columns += [f"{name} {kind} NOT NULL" for name, kind, _ in KEYS[self.key]]
        if self.growing == "at":
            columns.append("at timestamp")
        if self.growing == "seq":
            columns.append("seq bigint NOT NULL")
        columns += [f"{name} {kind}" for name, kind in self.columns]
        columns += [f"{self.big} text"] * bool(self.big)
        keys = ", ".join(["device"] * self.split + list(self.key_names))
        if self.identity == "default":
            columns.append(f"PRIMARY KEY ({keys})")
        made = [f"CREATE TABLE {self.name} ({', '.join(columns)})"]
        if self.identity in ("full", "index"):
            made.append(f"CREATE UNIQUE INDEX {self.name}_key ON {self.name} ({keys})")
        if self.identity == "full":
            made.append(f"ALTER TABLE {self.name} REPLICA IDENTITY FULL")
        if self.identity == "index":
            made.append(f"ALTER TABLE {self.name} REPLICA IDENTITY USING INDEX {self.name}_key")
        if self.big:
            made.append(f"ALTER TABLE {self.name} ALTER COLUMN {self.big} SET STORAGE EXTERNAL")
        if self.growing:
            made.append(f"CREATE INDEX ON {self.name} ({self.growing})")
        return tuple(made)

    @property
    def options(self) -> dict[str, Any]:
        """The table in gridferry's config."""
        keys = list(self.key_names)
        sync: dict[str, Any] = {"mode": self.mode}
        if self.mode == "cdc":
            sync["on_truncate"] = "apply"
        else:
            sync["column"] = self.growing
            sync |= {"lookback_values": 100} if self.growing == "seq" else {"lookback": self.lookback}
        options: dict[str, Any] = {"table": self.name, "key": keys, "sync": sync}
        if self.split:
            options["split_by"] = "device"
        if self.key == "microseconds":
            options["kind"] = "collection"
        if self.key == "series":
            options |= {"kind": "timeseries", "precision": self.precision}
        return options

    def key_values(self, number: object) -> list[str]:
        """The expressions of a key, by the number of its row."""
        return [expression.replace("{}", str(number)) for _, _, expression in KEYS[self.key]]

    def where(self, device: int, number: int) -> str:
        """The condition that finds one row."""
        parts = [f"{n} = {v}" for n, v in zip(self.key_names, self.key_values(number), strict=True)]
        return " AND ".join([f"device = {quoted(device)}"] * self.split + parts)

    def row(self, r: random.Random, *, device: int, number: object, growing: str = "") -> str:
        """INSERT's values for one row: SQL expressions in the order of `names`."""
        values = [quoted(device)] * self.split + self.key_values(number)
        values += [growing] * bool(self.growing and self.growing != "k")
        values += [value_of(r, kind) for _, kind in self.columns]
        if self.big:
            values.append(self.big_value(r) if isinstance(number, int) else "repeat(md5(g::text), 80)")
        return ", ".join(values)

    @property
    def names(self) -> str:
        """The columns that `row` gives values of."""
        names = ["device"] * self.split + list(self.key_names)
        names += [self.growing] * bool(self.growing and self.growing != "k")
        return ", ".join([*names, *(n for n, _ in self.columns), *([self.big] if self.big else [])])

    def big_value(self, r: random.Random) -> str:
        """A value of the big column: long most of the time."""
        return long_text(r) if r.random() < 0.7 else r.choice(["NULL", "''", "'short'"])


def quoted(device: int) -> str:
    """The literal of a device."""
    return "'" + DEVICES[device].replace("'", "''") + "'"


def value_of(r: random.Random, kind: str) -> str:
    """A random value, or NULL."""
    return "NULL" if r.random() < 0.15 else KINDS[kind].literal(r)


def random_shape(r: random.Random, *, name: str, mode: str) -> Shape:
    """A table for a mode."""
    wide = r.random() < 0.3
    kinds = r.sample(COLUMNS, r.randrange(8, 13) if wide else r.randrange(1, 4))
    columns = (("n", "bigint"), *((f"c{i}", kind) for i, kind in enumerate(kinds)))
    split = r.random() < 0.6
    if mode == "watermark":
        key = r.choice(["number", "text", "pair", "microseconds", "series"])
        growing = "k" if key in ("microseconds", "series") else r.choice(["at", "seq"])
        return Shape(name, mode, split, key, r.choice(["default", "nothing"]), columns, growing=growing)
    identity = r.choice(["default", "default", "default", "full", "full", "index", "nothing"])
    keys = ["number", "number", "long", "text", "pair", "microseconds", "milliseconds"]
    key = r.choice(["number", "microseconds", "series"] if identity == "nothing" else keys)
    return Shape(name, mode, split, key, identity, columns, big="note" if r.random() < 0.6 else "")
