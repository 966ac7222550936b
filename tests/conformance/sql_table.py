"""Two small tables and the SQL questions asked of them; what GridDB answered stands in `sql_answers.txt`.

`python -m tests.conformance.sql_table` asks the server of GRIDFERRY_TEST_GRIDDB and prints that file again.
"""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Any

import numpy as np

from gridferry.griddb import parse_address, sql
from gridferry.griddb.sql.session import SqlSession
from gridferry.griddb.sql.types import python_values
from gridferry.griddb.wire.sql_replies import SqlPage

ANSWERS = Path(__file__).with_name("sql_answers.txt")
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
START = 1_704_164_645  # 2024-01-02T03:04:05Z, a Tuesday
THINGS = (
    "CREATE TABLE {things} (k LONG PRIMARY KEY, b BOOL, y BYTE, h SHORT, i INTEGER, l LONG, f FLOAT, d DOUBLE,"
    " t TIMESTAMP, u TIMESTAMP(6), n TIMESTAMP(9), s STRING, o BLOB)"
)
SERIES = "CREATE TABLE {series} (ts TIMESTAMP PRIMARY KEY, dev STRING, v DOUBLE, c INTEGER NOT NULL) USING TIMESERIES"
WORDS = ("banana", "Apple", "apple", "äpfel", "a_b%c", "", None, "zz")


def _thing(k: int) -> list[Any]:
    if WORDS[k] is None:
        return [k, *[None] * 12]
    at = START + k * 3600
    return [
        k,
        k % 2 == 0,
        k - 3,
        k * 100,
        k * 1000,
        2**62 + k,
        k + 0.5,
        k * 1.5 - 3,
        np.datetime64(at * 1000 + 5, "ms"),
        np.datetime64(at * 10**6 + 678_901, "us"),
        np.datetime64(at * 10**9 + 7, "ns"),
        WORDS[k],
        bytes([k, 255 - k]),
    ]


def _reading(k: int) -> list[Any]:
    return [np.datetime64((START + k * 600) * 1000, "ms"), f"d{k % 2}", None if k == 2 else k * 0.5, k % 3]


_LINES = Path(__file__).with_name("sql_questions.txt").read_text(encoding="utf-8").splitlines()
QUESTIONS = [line.removeprefix("!") for line in _LINES if line and not line.startswith("#")]
REFUSED = frozenset(line[1:] for line in _LINES if line.startswith("!"))
"""What the emulator refuses by name."""


def fill(connection: sql.Connection, things: str, series: str) -> None:
    """Make both tables, filled."""
    connection.execute(THINGS.format(things=things))
    connection.execute(SERIES.format(series=series))
    marks = ", ".join("?" * 13)
    connection.cursor().executemany(f"INSERT INTO {things} VALUES ({marks})", [_thing(k) for k in range(8)])
    connection.cursor().executemany(f"INSERT INTO {series} VALUES (?, ?, ?, ?)", [_reading(k) for k in range(6)])


def ask(session: SqlSession, question: str, names: dict[str, str]) -> str:
    """The answer as one line: columns with their types, then the rows; "changed" and a number; or "error" and one."""
    text = question.format(**names)
    try:
        started = session.run(text)
        page = started.outcome.page
        if page is None:
            return f"changed {started.outcome.changed}"
        pages = [page]
        while pages[-1].more:
            pages.append(session.fetch(started.query_id))
    except sql.Error as error:
        return f"error {error.code}"
    answer = " ".join([_head(page), *(_row(row) for each in pages for row in python_values(each.batch()))])
    for short, name in names.items():
        answer = answer.replace(name, f"<{short}>")
    return answer


def _head(page: SqlPage) -> str:
    columns = [
        f"{c.label}:{'ANY' if c.type is None else c.type.label}{'' if c.nullable else '!'}".replace(" ", "_")
        for c in page.columns
    ]
    return ",".join(columns)


def _row(row: tuple[Any, ...]) -> str:
    return "(" + ",".join(map(_value, row)) + ")"


def _value(value: Any) -> str:
    if isinstance(value, dt.datetime):
        return f"{(value - EPOCH) // dt.timedelta(microseconds=1)}us"
    if isinstance(value, np.datetime64):
        return f"{value.astype('M8[ns]').astype(np.int64)}ns"
    if isinstance(value, bytes):
        return "x" + value.hex()
    if isinstance(value, float):
        return f"{value:.14g}"
    return ascii(value).replace(" ", "\\x20") if isinstance(value, str) else str(value)


def recorded() -> list[tuple[str, str]]:
    """What GridDB answered: question and answer, in order."""
    lines = [line for line in ANSWERS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return [(question, answer) for question, answer in (line.split("\t") for line in lines)]


def main() -> None:
    """Print the file of answers."""
    where = os.environ["GRIDFERRY_TEST_GRIDDB"]
    address = parse_address(f"griddb://admin@{where}", password=os.environ.get("GRIDDB_PASSWORD", "admin"))
    names = {"things": "sql_things", "series": "sql_series", "new": "sql_new"}
    with sql.connect(address) as connection:
        try:
            fill(connection, names["things"], names["series"])
            session = SqlSession(address)
            print("# What GridDB answers (sql_table.py asks): question, answer. Origin: CE 5.9.0.")
            for question in QUESTIONS:
                print(question, ask(session, question, names), sep="\t")
        finally:
            for name in names.values():
                connection.execute(f"DROP TABLE IF EXISTS {name}")


if __name__ == "__main__":
    main()
