"""The sample has the shape of the public file, and both go into a table by the same way."""

from __future__ import annotations

import re
from datetime import datetime

import numpy as np
import psycopg
import pyarrow as pa
import pytest

from gridferry.demo.sample import COLUMNS, FIRST, LAST, SITES, copy_csv_into, sensor_readings, write_readings_csv
from gridferry.errors import ConfigError, SourceError

LINE = re.compile(
    r"2020-07-1\d \d\d:\d\d:\d\d\.\d{6},[0-9a-f:]{17},0\.0\d+,\d+(\.\d)?,[tf],0\.0\d+,[tf],0\.0\d+,\d+(\.\d)?"
)
REAL_LINE = (
    "2020-07-12 00:01:34.385975,b8:27:eb:bf:9d:51,0.004955938648391245,51,f,"
    "0.00765082227055719,f,0.02041127012241292,22.7"
)
PUBLIC_LINE = (
    '"1.5945120943859746E9","b8:27:eb:bf:9d:51","0.004955938648391245","51.0","false",'
    '"0.00765082227055719","false","0.02041127012241292","22.7"'
)
REAL_ROW = (
    datetime(2020, 7, 12, 0, 1, 34, 385975), "b8:27:eb:bf:9d:51", 0.004955938648391245, 51.0, False,
    0.00765082227055719, False, 0.02041127012241292, 22.7,
)  # fmt: skip


@pytest.fixture(scope="module")
def readings() -> pa.Table:
    return sensor_readings()


def test_counts_devices_and_span(readings):
    assert readings.num_rows == 405_184
    counts = {r["values"]: r["counts"] for r in readings["device"].value_counts().to_pylist()}
    assert counts == {
        "b8:27:eb:bf:9d:51": 187_451, "00:0f:00:70:91:0a": 111_815, "1c:bf:ce:15:ec:4d": 105_918,
    }  # fmt: skip
    stamps = readings["ts"].to_numpy()
    assert stamps.min() == np.datetime64(FIRST)
    assert stamps.max() < np.datetime64(LAST)
    assert (np.diff(stamps) >= np.timedelta64(0, "us")).all()


def test_stamps_have_microseconds_and_stay_unique_in_milliseconds(readings):
    for site in SITES:
        stamps = readings.filter(pa.compute.equal(readings["device"], site.device))["ts"].to_numpy().astype(np.int64)
        assert np.unique(stamps // 1000).size == site.readings
        assert (stamps % 1000 != 0).mean() > 0.99


def test_values_lie_in_the_ranges_of_the_public_file(readings):
    ranges = {"co": (0.001, 0.015), "humidity": (1, 100), "lpg": (0.002, 0.017), "smoke": (0.006, 0.047)}
    ranges["temp"] = (0, 31)
    for name, (low, high) in ranges.items():
        values = readings[name].to_numpy()
        assert low < values.min() < values.max() < high, name
    assert all(column.null_count == 0 for column in readings.columns)
    assert [readings.schema.field(name).type for name in ("light", "motion")] == [pa.bool_(), pa.bool_()]


def test_the_seed_decides():
    assert sensor_readings(share=0.001) == sensor_readings(share=0.001)
    assert sensor_readings(share=0.001) != sensor_readings(seed=1, share=0.001)
    assert sensor_readings(share=0.0).num_rows == 3


def test_the_file_has_the_form_of_the_real_one_and_copies_exactly(tmp_path, postgres):
    path = tmp_path / "readings.csv"
    assert write_readings_csv(path, share=0.01) == 4052
    lines = path.read_text().splitlines()
    assert lines[0] == ",".join(COLUMNS)
    assert LINE.fullmatch(REAL_LINE)
    assert all(LINE.fullmatch(line) for line in lines[1:])
    assert copy_csv_into(postgres.connection, path) == 4052
    expected = [tuple(row.values()) for row in sensor_readings(share=0.01).to_pylist()]
    assert postgres.run('SELECT * FROM device ORDER BY ts, device COLLATE "C"') == expected


@pytest.mark.parametrize(
    "text",
    [
        REAL_LINE + "\n",
        ",".join(COLUMNS) + "\n" + REAL_LINE + "\n",
        PUBLIC_LINE + "\n",
        ",".join(f'"{c}"' for c in COLUMNS) + "\n" + PUBLIC_LINE + "\n",
    ],
    ids=["bare", "header", "public-bare", "public"],
)
def test_the_real_file_in_each_of_its_forms(tmp_path, postgres, text):
    path = tmp_path / "real.csv"
    path.write_text(text)
    assert copy_csv_into(postgres.connection, path, "public.readings") == 1
    assert postgres.run("SELECT * FROM readings") == [REAL_ROW]


def test_a_header_in_another_order_is_followed(tmp_path, postgres):
    path = tmp_path / "real.csv"
    header, row = list(COLUMNS), REAL_LINE.split(",")
    path.write_text(",".join([*header[1:], header[0]]) + "\n" + ",".join([*row[1:], row[0]]) + "\n")
    copy_csv_into(postgres.connection, path)
    assert postgres.run("SELECT * FROM device") == [REAL_ROW]


@pytest.mark.parametrize("content", [b"", b"a,b,c\n1,2,3\n", b"\xff\xfe\x00", b"x,y,z,1,2,3,4,5,6\n"])
def test_a_file_of_another_form_is_refused(tmp_path, postgres, content):
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        copy_csv_into(postgres.connection, path)
    assert str(path) in caught.value.message
    assert postgres.run("SELECT to_regclass('device')") == [(None,)]


def test_a_missing_file_is_refused(tmp_path, postgres):
    with pytest.raises(ConfigError, match=r"nothing\.csv could not be read"):
        copy_csv_into(postgres.connection, tmp_path / "nothing.csv")


def test_a_bad_line_leaves_no_table(tmp_path, postgres):
    path = tmp_path / "bad.csv"
    path.write_text(REAL_LINE + "\n" + REAL_LINE.replace("22.7", "warm") + "\n")
    with pytest.raises(SourceError, match="warm"):
        copy_csv_into(postgres.connection, path)
    assert postgres.run("SELECT to_regclass('device')") == [(None,)]


def test_an_existing_table_is_left_alone(tmp_path, postgres):
    path = tmp_path / "real.csv"
    path.write_text(REAL_LINE + "\n")
    postgres.run("CREATE TABLE device (mine int)")
    with pytest.raises(SourceError, match="already exists"):
        copy_csv_into(postgres.connection, path)
    with pytest.raises(psycopg.errors.UndefinedColumn):
        postgres.run("SELECT ts FROM device")
