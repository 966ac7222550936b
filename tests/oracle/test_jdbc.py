"""GridDB's own JDBC driver on every server: it writes, reads, and asks about a table (see JdbcOracle.java)."""

from __future__ import annotations

import subprocess
import uuid
from pathlib import Path

import pytest
from tests.oracle.jars import find_jdbc
from tests.oracle.servers import Server

pytestmark = pytest.mark.oracle

PROGRAM = Path(__file__).with_name("JdbcOracle.java")
COLUMNS = "columns [id:LONG, b:BOOL, i:INTEGER, d:DOUBLE, t:TIMESTAMP, s:STRING, o:BLOB]"
# What it printed on GridDB CE 5.9.0.
SAID = f"""inserted 1
put 1
put 1
put 1
{COLUMNS}
row [1, true, 7, 0.5, 1704164645678, it's, 00ff]
row [2, false, -2, 0.5, 1704164645680, größe, 78]
row [3, false, -3, 0.75, 1704164645681, größe, 78]
row [4, null, null, null, null, null, null]
{COLUMNS}
row [1, true, 7, 0.5, 1704164645678, it's, 00ff]
columns [:LONG, :LONG]
row [4, 10]
batch 50
version 5.9
table true TABLE
column id LONG -5 0
column b BOOL -7 1
column i INTEGER 4 1
column d DOUBLE 8 1
column t TIMESTAMP 93 1
column s STRING 12 1
column o BLOB 2004 1
key id 1
error 240008
updated 1
deleted 1
"""


def test_jdbc_writes_reads_and_asks_about_a_table(server: Server) -> None:
    jdbc = find_jdbc()
    if not jdbc.classpath:
        pytest.skip(jdbc.why)
    login = [server.jdbc_url, server.user, server.password, f"oracle_{uuid.uuid4().hex[:12]}"]
    options = ["-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8", "-XX:TieredStopAtLevel=1"]
    done = subprocess.run(
        ["java", *options, "-cp", jdbc.classpath, str(PROGRAM), *login],
        capture_output=True,
        encoding="utf-8",
        timeout=90,
        check=False,
    )
    assert done.stdout == SAID, done.stderr
