"""A set of sensor readings in the shape of the public "environmental sensor telemetry" file, and its way into a table.

The public file is not in a package registry, so a seeded generator makes one like it: the same devices, counts, span,
columns and value ranges. The real file, where someone has it, goes into the table by the same function.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
from numpy.typing import NDArray
from psycopg import sql

from gridferry.errors import ConfigError, SourceError

SEED = 20200712
COLUMNS = ("ts", "device", "co", "humidity", "light", "lpg", "motion", "smoke", "temp")
FIRST = datetime(2020, 7, 12, 0, 1, 34, 385975)
LAST = datetime(2020, 7, 19, 23, 59, 58)
_COPY_BYTES = 1 << 20
_EPOCH = re.compile(r"\d+(\.\d+)?([eE]\+?\d+)?")
_STAMP = re.compile(r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}(\.\d{1,6})?")

_CREATE = sql.SQL(
    "CREATE TABLE {} (ts timestamp NOT NULL, device varchar(30), co float8, humidity float8, light boolean,"
    " lpg float8, motion boolean, smoke float8, temp float8)"
)


@dataclass(frozen=True)
class Site:
    """One device and its place: means and spreads of what it measures, and how often light and motion are seen.

    `drift` is the size of the swing over a day, in degrees.
    """

    device: str
    readings: int
    temp: tuple[float, float]
    humidity: tuple[float, float]
    gas: tuple[float, float]  # carbon monoxide; the other gases follow from it
    light: float
    motion: float
    drift: float


SITES = (
    Site("b8:27:eb:bf:9d:51", 187_451, (22.3, 0.4), (50.8, 1.6), (0.0053, 0.0005), 0.0, 0.0012, 0.4),
    Site("00:0f:00:70:91:0a", 111_815, (19.4, 0.4), (75.4, 1.7), (0.0033, 0.0003), 0.0, 0.0009, 0.5),
    Site("1c:bf:ce:15:ec:4d", 105_918, (25.4, 1.6), (61.9, 6.0), (0.0042, 0.0005), 0.95, 0.0015, 2.0),
)


def sensor_readings(*, seed: int = SEED, share: float = 1.0) -> pa.Table:
    """405,184 readings in the order of their stamps; the same seed gives the same rows.

    `share` makes fewer of them, the same part of each device's (at least one). Stamps have microseconds, and stay
    unique for a device when cut to milliseconds.
    """
    parts = [
        _readings(site, np.random.default_rng((seed, place)), count=max(1, round(site.readings * share)))
        for place, site in enumerate(SITES)
    ]
    return pa.concat_tables(parts).combine_chunks().sort_by([("ts", "ascending"), ("device", "ascending")])


def write_readings_csv(path: Path, *, seed: int = SEED, share: float = 1.0) -> int:
    """Write `sensor_readings` as the public file has them: a header, then lines like
    `2020-07-12 00:01:34.385975,b8:27:eb:bf:9d:51,0.0049,51,f,0.0076,f,0.0204,22.7`. Returns the number of rows.
    """
    from pyarrow import csv as arrow_csv

    table = sensor_readings(seed=seed, share=share)
    for name in ("light", "motion"):
        place = table.schema.get_field_index(name)
        letters = pa.compute.if_else(table[name], "t", "f")
        table = table.set_column(place, name, letters)
    with path.open("wb") as file:
        file.write((",".join(COLUMNS) + "\n").encode())
        arrow_csv.write_csv(table, file, arrow_csv.WriteOptions(include_header=False, quoting_style="none"))
    return int(table.num_rows)


def copy_csv_into(connection: psycopg.Connection[Any], path: Path, table: str = "device") -> int:
    """Make the table and COPY the file into it, in one transaction. Returns the number of rows.

    Reads the generated file, and the public one: with or without a header, quoted or not, `ts` as a stamp or as
    seconds since 1970 (UTC; finer than a microsecond is rounded).
    Raises: ConfigError if the file has another form; SourceError if PostgreSQL refuses it.
    """
    columns, skip, is_epoch = _form(path)
    target = sql.Identifier(*table.split("."))
    try:
        with connection.transaction():
            connection.execute(_CREATE.format(target))
            if not is_epoch:
                return _copy(connection, path, target, columns=columns, header=skip)
            staging = sql.Identifier("gridferry readings")
            connection.execute(sql.SQL("CREATE TEMPORARY TABLE {} (LIKE {}) ON COMMIT DROP").format(staging, target))
            connection.execute(sql.SQL("ALTER TABLE {} ALTER COLUMN ts TYPE float8 USING NULL").format(staging))
            rows = _copy(connection, path, staging, columns=columns, header=skip)
            rest = sql.SQL(", ").join(map(sql.Identifier, COLUMNS[1:]))
            connection.execute(
                sql.SQL(
                    "INSERT INTO {target} (ts, {rest})"
                    " SELECT to_timestamp(ts) AT TIME ZONE 'UTC', {rest} FROM {staging}"
                ).format(target=target, rest=rest, staging=staging)
            )
            return rows
    except psycopg.Error as error:
        reason = error.diag.message_primary or str(error)
        raise SourceError(
            f"{path} could not be copied into {table}: {reason}",
            state="the table was not made",
            next_step="check the file, and that the table does not exist yet",
        ) from error


def _copy(
    connection: psycopg.Connection[Any],
    path: Path,
    target: sql.Identifier,
    *,
    columns: tuple[str, ...],
    header: bool,
) -> int:
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv, HEADER {})").format(
        target, sql.SQL(", ").join(map(sql.Identifier, columns)), sql.SQL("true" if header else "false")
    )
    with connection.cursor() as cursor, path.open("rb") as file:
        with cursor.copy(statement) as copy:
            while part := file.read(_COPY_BYTES):
                copy.write(part)
        return cursor.rowcount


def _form(path: Path) -> tuple[tuple[str, ...], bool, bool]:
    """The file's columns, whether a header comes first, and whether `ts` is seconds since 1970."""
    advice = f"give a CSV file with the columns {', '.join(COLUMNS)}"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = [line for line, _ in zip(csv.reader(file), range(2), strict=False)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} could not be read: {error}", next_step=advice) from error
    first = tuple(name.strip().lower() for name in lines[0]) if lines else ()
    has_header = set(first) == set(COLUMNS) and len(first) == len(COLUMNS)
    columns = first if has_header else COLUMNS
    row = lines[1] if has_header and len(lines) > 1 else (lines[0] if lines and not has_header else None)
    if row is None:
        if has_header:
            return columns, True, False
        raise ConfigError(f"{path} is empty", next_step=advice)
    stamp = row[columns.index("ts")].strip() if len(row) == len(COLUMNS) else ""
    is_epoch = _EPOCH.fullmatch(stamp) is not None
    if not is_epoch and _STAMP.fullmatch(stamp) is None:
        raise ConfigError(f"{path} does not hold sensor readings: its first row is not one", next_step=advice)
    return columns, has_header, is_epoch


def _readings(site: Site, random: np.random.Generator, *, count: int) -> pa.Table:
    """One device's readings."""
    stamps = _stamps(random, count)
    if site is SITES[0]:
        stamps[0] = np.datetime64(FIRST, "us")
    phase = 2 * np.pi * (stamps.astype(np.int64) % 86_400_000_000) / 86_400_000_000
    swing = -np.cos(phase - 0.6)  # coldest before dawn
    temp = site.temp[0] + site.drift * swing + _wander(random, count, site.temp[1])
    humidity = site.humidity[0] - 2 * site.drift * swing + _wander(random, count, site.humidity[1])
    co = np.clip(site.gas[0] + _wander(random, count, site.gas[1]), 0.0012, 0.0144)
    # The three gases are read off one sensor, by three curves over the same resistance.
    ratio = co / 0.004955938648391245
    columns = {
        "ts": pa.array(stamps),
        "device": pa.array(np.full(count, site.device)).cast(pa.string()),
        "co": pa.array(co),
        "humidity": pa.array(np.round(np.clip(humidity, 1.1, 99.9), 1)),
        "light": pa.array(random.random(count) < site.light),
        "lpg": pa.array(0.00765082227055719 * ratio**0.72),
        "motion": pa.array(random.random(count) < site.motion),
        "smoke": pa.array(0.02041127012241292 * ratio**0.77),
        "temp": pa.array(np.round(np.clip(temp, 0.0, 30.6), 1)),
    }
    return pa.table({name: columns[name] for name in COLUMNS})


def _stamps(random: np.random.Generator, count: int) -> NDArray[np.datetime64]:
    """Ascending stamps (count,) from FIRST to before LAST, each in its own slot, so never two in a millisecond."""
    span_us = int((LAST - FIRST).total_seconds() * 1_000_000)
    slot_us = span_us / count
    offsets = ((np.arange(count) + 0.7 * random.random(count)) * slot_us).astype(np.int64)
    stamps: NDArray[np.datetime64] = np.datetime64(FIRST, "us") + offsets.astype("timedelta64[us]")
    return stamps


def _wander(random: np.random.Generator, count: int, spread: float) -> NDArray[np.float64]:
    """A slow random walk held to about `spread`, and a little noise on top."""
    knots = np.linspace(0, count - 1, max(count // 600, 2))
    slow = np.interp(np.arange(count), knots, random.normal(0, spread, knots.size))
    noisy: NDArray[np.float64] = slow + random.normal(0, spread / 4, count)
    return noisy
