"""Two small containers and the TQL questions asked of them; what GridDB answered stands in `tql_answers.txt`.

`python -m tests.oracle.tql_table` asks the server of GRIDFERRY_TEST_GRIDDB through GridDB's own client and prints that
file anew.
"""

from __future__ import annotations

import struct
from pathlib import Path

from tests.oracle.judge import Judge, JudgeError, judge_on
from tests.oracle.servers import real_server
from tests.oracle.values import Nanos, Row, float_bits

from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema, GridType

ANSWERS = Path(__file__).with_name("tql_answers.txt")
SECOND_NS = 1_000_000_000

COLLECTION = ContainerSchema(
    ContainerKind.COLLECTION,
    (
        ColumnSpec("k", GridType.LONG, nullable=False),
        ColumnSpec("b", GridType.BOOL),
        ColumnSpec("y", GridType.BYTE),
        ColumnSpec("h", GridType.SHORT),
        ColumnSpec("i", GridType.INTEGER),
        ColumnSpec("l", GridType.LONG),
        ColumnSpec("f", GridType.FLOAT),
        ColumnSpec("d", GridType.DOUBLE),
        ColumnSpec("t", GridType.TIMESTAMP_MS),
        ColumnSpec("u", GridType.TIMESTAMP_US),
        ColumnSpec("n", GridType.TIMESTAMP_NS),
        ColumnSpec("s", GridType.STRING),
        ColumnSpec("a", GridType.INTEGER, array=True),
    ),
)
SERIES = ContainerSchema(
    ContainerKind.TIME_SERIES,
    (
        ColumnSpec("ts", GridType.TIMESTAMP_MS, nullable=False),
        ColumnSpec("v", GridType.DOUBLE),
        ColumnSpec("i", GridType.INTEGER),
        ColumnSpec("s", GridType.STRING),
    ),
)


def _collection_row(k: int, text: str | None) -> Row:
    if text is None:
        return (k, *(None for _ in COLLECTION.columns[1:]))
    return (
        k,
        k % 2 == 0,
        k - 3,
        k * 100,
        k * 1000,
        2**62 + k,
        float_bits(GridType.FLOAT, k + 0.5),
        float_bits(GridType.DOUBLE, k * 1.5),
        Nanos(k * SECOND_NS + 5_000_000),
        Nanos(k * SECOND_NS + 5_000),
        Nanos(k * SECOND_NS + 7),
        text,
        [k, k + 1],
    )


WORDS = ("banana", "Apple", "apple", "äpfel", "a_b%c", "", None, "zz")
COLLECTION_ROWS = [_collection_row(k, WORDS[k]) for k in reversed(range(len(WORDS)))]
"""Put in the order 7 .. 0; row 6 is NULL but for its key."""
SERIES_ROWS: list[Row] = [
    (Nanos(k * 10 * SECOND_NS), None if k == 2 else float_bits(GridType.DOUBLE, k), k, f"s{k}") for k in range(6)
]
"""A row every ten seconds from 1970-01-01T00:00:00; the third has no v."""


def _at(second: int) -> str:
    return f"TIMESTAMP('1970-01-01T00:00:{second:02d}.000Z')"


def _aggregations() -> list[str]:
    numbers, times, others = "yhilfd", "tun", "bsa"
    asked = [
        f"select {name}({column})" for column in numbers for name in ("MIN", "MAX", "SUM", "AVG", "VARIANCE", "STDDEV")
    ]
    asked += [f"select {name}({column})" for column in times for name in ("MIN", "MAX")]
    asked += [f"select {name}({column})" for column in times + others for name in ("SUM", "AVG")]
    asked += [f"select COUNT({column})" for column in numbers + times + others]
    asked += [f"select MAX({column})" for column in others]
    return asked


COLLECTION_TQL = [
    *_aggregations(),
    "select COUNT(*)",
    "select count(*) where k > 100",
    *(f"select {name}(i) where k > 100" for name in ("MIN", "MAX", "SUM", "AVG", "VARIANCE", "STDDEV", "COUNT")),
    "select STDDEV(d) where k = 1",
    "select VARIANCE(d) where k < 3",
    "select MAX(i) where s like 'a%'",
    "select MAX(nosuch)",
    "select MAX(*)",
    "select NOSUCH(i)",
    "select *",
    "SELECT * WHERE k = 3",
    "select * where K = 3",
    "select * order by k",
    "select * order by k desc",
    "select * order by s",
    "select * order by s desc",
    "select * order by i",
    "select * order by i desc",
    "select * order by d desc, k",
    "select * order by b, k",
    "select * order by b desc, k desc",
    "select * order by t desc limit 2",
    "select * order by u limit 2",
    "select * order by n desc limit 3",
    "select * order by k limit 2 offset 3",
    "select * order by k limit 0",
    "select * order by k limit 100 offset 7",
    "select * order by nosuch",
    "select * order by a",
    "select * limit 2",
    "select * limit 2 offset 6",
    "select * offset 2",
    "select * where i = 3000",
    "select * where i == 3000",
    "select * where i <> 3000",
    "select * where i != 3000",
    "select * where i > 1.5e3",
    "select * where i >= 2000 and i <= 4000",
    "select * where i < 1000 or i > 5000",
    "select * where not (i = 1000)",
    "select * where not i = 1000",
    "select * where i > 1000 and i < 5000 or k = 0",
    "select * where k = 0 or i > 1000 and i < 5000",
    "select * where (k = 0 or i > 1000) and i < 5000",
    "select * where i = null",
    "select * where i <> null",
    "select * where i is null",
    "select * where i is not null",
    "select * where s is null",
    "select * where a is null",
    "select * where b",
    "select * where not b",
    "select * where b is null",
    "select * where i + 1 > 3000",
    "select * where i * 2 = 4000",
    "select * where i / 3 = 1000",
    "select * where i % 2000 = 0",
    "select * where -i < -3000",
    "select * where l > 4611686018427387906",
    "select * where d > 3",
    "select * where f = 1.5",
    "select * where y < 0",
    "select * where s = 'apple'",
    "select * where s <> 'apple'",
    "select * where s = ''",
    "select * where s = 'it''s'",
    "select * where s = 'äpfel'",
    "select * where s like 'a%'",
    "select * where s like 'A%'",
    "select * where s like '%p_l%'",
    "select * where s not like 'a%'",
    "select * where s like 'a#_b#%c' escape '#'",
    "select * where s < 'b'",
    "select * where UPPER(s) = 'APPLE'",
    "select * where LOWER(s) = 'apple'",
    "select * where CHAR_LENGTH(s) = 5",
    "select * where ARRAY_LENGTH(a) = 2",
    "select * where ELEMENT(0, a) = 2",
    "select * where ROUND(d) = 3",
    "select * where CEILING(d) = 2",
    "select * where FLOOR(d) = 1",
    "select * where t > TIMESTAMP('1970-01-01T00:00:03.000Z')",
    "select * where t >= TIMESTAMP('1970-01-01T00:00:03.005Z')",
    "select * where t = TIMESTAMP('1970-01-01T00:00:03.005Z')",
    "select * where t > TIMESTAMP('1970-01-01T09:00:03.000+09:00')",
    "select * where t = TO_TIMESTAMP_MS(3005)",
    "select * where TO_EPOCH_MS(t) = 3005",
    "select * where t < NOW()",
    "select * where u = TIMESTAMP_US('1970-01-01T00:00:03.000005Z')",
    "select * where u > TIMESTAMP_US('1970-01-01T00:00:03.000005Z')",
    "select * where u > TIMESTAMP('1970-01-01T00:00:03.000Z')",
    "select * where u = TIMESTAMP('1970-01-01T00:00:03.000Z')",
    "select * where n = TIMESTAMP_NS('1970-01-01T00:00:03.000000007Z')",
    "select * where n > TIMESTAMP_NS('1970-01-01T00:00:03.000000007Z')",
    "select * where n >= TIMESTAMP_NS('1970-01-01T00:00:03.000000007Z') and n < TIMESTAMP('1970-01-01T00:00:05.000Z')",
    "select * where t > u",
    "select * where TIMESTAMPADD(SECOND, t, 1) > TIMESTAMP('1970-01-01T00:00:05.000Z')",
    "select * where TIMESTAMPADD(MINUTE, t, -1) < TIMESTAMP('1970-01-01T00:00:05.000Z')",
    "select * where TIMESTAMPDIFF(SECOND, t, TIMESTAMP('1970-01-01T00:00:02.005Z')) = 1",
    "select * where TIMESTAMPDIFF(MILLISECOND, t, TIMESTAMP('1970-01-01T00:00:02.000Z')) = 5",
    "select * where t > '1970-01-01T00:00:03.000Z'",
    "select * where t > 3000",
    "select * where t > TIMESTAMP('1970-01-01')",
    "select * where s = 1",
    "select * where i = 'x'",
    "select * where nosuch = 1",
    "select * where NOSUCH(i) = 1",
    "select * where i in (1000, 2000)",
    "select * where i between 1000 and 2000",
    "select * where b = true",
    'select * where "k" = 3',
    'select * where "K" = 3',
    "select * from other",
    "select k",
    "select k, i",
    "select MAX(i), MIN(i)",
    "select distinct s",
    "select * group by s",
    "select count(*) order by k",
    "select MAX_ROWS(i)",
    "select MIN_ROWS(i)",
    "select",
    "selec *",
    "select * where",
    "select * where (i = 1",
    "select * where i = 'x",
    "select * where k = 3;",
]
SERIES_TQL = [
    "select *",
    "select * order by ts desc",
    "select * order by v desc",
    "select * limit 2",
    "select * order by ts desc limit 1",
    "select MAX(ts)",
    "select MIN(ts)",
    "select COUNT(*)",
    "select AVG(v)",
    "select SUM(i)",
    "select TIME_AVG(v)",
    f"select * where ts >= {_at(20)}",
    f"select * where ts > {_at(20)} and ts < {_at(50)}",
    f"select COUNT(*) where ts > {_at(20)}",
    f"select MAX(v) where ts < {_at(20)}",
    f"select MAX(v) where ts > {_at(59)}",
    f"select TIME_NEXT(*, {_at(15)})",
    f"select TIME_NEXT(*, {_at(20)})",
    f"select TIME_NEXT_ONLY(*, {_at(20)})",
    f"select TIME_PREV(*, {_at(25)})",
    f"select TIME_PREV_ONLY(*, {_at(20)})",
    f"select TIME_PREV_ONLY(*, {_at(0)})",
    f"select TIME_NEXT(*, {_at(15)}) limit 0",
    f"select TIME_NEXT(*, {_at(15)}) limit 5 offset 1",
    f"select TIME_INTERPOLATED(v, {_at(5)})",
    f"select TIME_INTERPOLATED(v, {_at(50)})",
    f"select TIME_INTERPOLATED(v, {_at(55)})",
    f"select TIME_INTERPOLATED(v, {_at(5)}) limit 0",
    f"select TIME_INTERPOLATED(s, {_at(5)})",
    f"select TIME_INTERPOLATED(*, {_at(5)})",
    f"select TIME_SAMPLING(*, {_at(5)}, {_at(45)}, 7, SECOND)",
    f"select TIME_SAMPLING(v, {_at(5)}, {_at(45)}, 7, SECOND)",
    f"select TIME_SAMPLING(*, {_at(42)}, {_at(59)}, 4, SECOND)",
    f"select TIME_SAMPLING(*, {_at(42)}, {_at(58)}, 4, SECOND)",
    f"select TIME_SAMPLING(*, {_at(45)}, {_at(55)}, 5, SECOND)",
    f"select TIME_SAMPLING(v, {_at(42)}, {_at(59)}, 4, SECOND)",
    f"select TIME_SAMPLING(*, {_at(42)}, {_at(59)}, 4, SECOND) where i > 1",
    f"select TIME_SAMPLING(v, {_at(5)}, {_at(45)}, 5, SECOND) where i <> 2",
    f"select TIME_SAMPLING(*, {_at(5)}, {_at(45)}, 5, SECOND) where i > 9",
    f"select TIME_SAMPLING(*, {_at(10)}, {_at(50)}, 500, MILLISECOND) limit 3",
    f"select TIME_SAMPLING(*, {_at(10)}, {_at(50)}, 5, SECOND) limit 2 offset 3",
    f"select TIME_SAMPLING(*, {_at(10)}, {_at(50)}, 10, SECOND) order by i desc",
    f"select TIME_SAMPLING(*, {_at(10)}, {_at(50)}, 5, SECOND) order by ts desc limit 2",
    f"select TIME_SAMPLING(*, {_at(10)}, {_at(50)}, 1, MINUTE)",
    f"select TIME_SAMPLING(*, {_at(50)}, {_at(10)}, 1, SECOND)",
    f"select TIME_SAMPLING(*, {_at(10)}, {_at(50)}, 0, SECOND)",
    f"select TIME_SAMPLING(*, {_at(10)}, {_at(50)}, -1, SECOND)",
    f"select TIME_SAMPLING(*, {_at(10)}, {_at(50)}, 1, MONTH)",
    f"select TIME_SAMPLING(s, {_at(10)}, {_at(50)}, 1, SECOND)",
]


def ask(judge: Judge, name: str, tql: str) -> str:
    """The answer as one line: "rows" and their keys in order, "number" as LONG and as DOUBLE, "time", or "error".

    After "error" stands its number. An aggregation without a value is "rows" and nothing more.
    """
    try:
        lines = judge.ask_tql(name, tql)
    except JudgeError as error:
        return f"error {error.code}"
    if lines and len(lines[0]) == 2:
        whole, bits = lines[0]
        return f"number {whole} {struct.unpack('>d', bytes.fromhex(bits))[0]!r}"
    if lines and len(lines[0]) == 1:
        return f"time {lines[0][0]}"
    return " ".join(["rows", *(line[0].removesuffix(".000000000") for line in lines)])


def fill(judge: Judge, collection: str, series: str) -> None:
    """Make both containers, filled."""
    judge.create(collection, COLLECTION)
    judge.put(collection, COLLECTION, COLLECTION_ROWS)
    judge.create(series, SERIES)
    judge.put(series, SERIES, SERIES_ROWS)


def recorded() -> dict[tuple[str, str], str]:
    """What GridDB answered: (kind, TQL) -> answer."""
    lines = [line for line in ANSWERS.read_text().splitlines() if not line.startswith("#")]
    return {(kind, tql): answer for kind, tql, answer in (line.split("\t") for line in lines)}


def main() -> None:
    """Print the file of answers."""
    server = real_server()
    with judge_on(server.address, server.cluster, user=server.user, password=server.password) as judge:
        try:
            fill(judge, "oracle_tql_c", "oracle_tql_s")
            print("# What GridDB answers (tql_table.py asks): container kind, TQL, answer. Origin: CE 5.9.0.")
            for kind, name, questions in (
                ("COLLECTION", "oracle_tql_c", COLLECTION_TQL),
                ("TIME_SERIES", "oracle_tql_s", SERIES_TQL),
            ):
                for tql in questions:
                    print(kind, tql, ask(judge, name, tql), sep="\t")
        finally:
            judge.drop("oracle_tql_c")
            judge.drop("oracle_tql_s")


if __name__ == "__main__":
    main()
