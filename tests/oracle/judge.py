"""GridDB's own Java client in a process of its own, driven line by line (see GridOracle.java).

GridDB's Python client (griddb-python) is no second judge: it calls this same Java client through JPype, so it cannot
disagree with it; it is measured in `bench/official.py` only.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.oracle.jars import find_java
from tests.oracle.values import Row, Value, from_text, to_text

from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema, GridType

PROGRAM = "GridOracle"
SOURCES = [str(Path(__file__).with_name(f"{name}.java")) for name in (PROGRAM, "GridValues")]
ANSWER_LIMIT_S = 90
_TYPES = {t.label: t for t in GridType}


class JudgeError(Exception):
    """GridDB's client refused: `code` is GridDB's error number, or 0 for an error of the client or the program."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"[{code}] {message}")
        self.code = code


class Judge:
    """GridDB's client on one server. Every call returns what that client says, in canonical values."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log

    def create(self, name: str, schema: ContainerSchema) -> None:
        """Make the container; the same schema again is fine."""
        columns = [f"{c.name}:{c.label}:{'null' if c.nullable else 'notnull'}" for c in schema.columns]
        self._ask(["create", name, schema.kind.name, str(schema.key_length), *columns])

    def schema(self, name: str) -> ContainerSchema:
        """The container's schema as GridDB's client reads it."""
        [[kind, key_length, *columns]] = self._ask(["schema", name])
        return ContainerSchema(ContainerKind[kind], tuple(map(_column, columns)), int(key_length))

    def put(self, name: str, schema: ContainerSchema, rows: Sequence[Row]) -> None:
        """Put the rows, in order, as one batch."""
        self._ask(["put", name, str(len(rows))], [_texts(schema.columns, row) for row in rows])

    def multi_put(self, schema: ContainerSchema, batches: Mapping[str, Sequence[Row]]) -> None:
        """Put into several containers of one schema at once."""
        heads = [part for name, rows in batches.items() for part in (name, str(len(rows)))]
        rows = [_texts(schema.columns, row) for batch in batches.values() for row in batch]
        self._ask(["multiput", str(len(batches)), *heads], rows)

    def read(self, name: str, schema: ContainerSchema) -> list[Row]:
        """All rows, as `SELECT *` gives them."""
        return _rows(schema, self._ask(["read", name]))

    def query(self, name: str, schema: ContainerSchema, tql: str) -> list[Row]:
        """The rows of a TQL query."""
        return _rows(schema, self._ask(["tql", name, tql]))

    def ask_tql(self, name: str, tql: str) -> list[list[str]]:
        """The answer to any TQL in the judge's words: rows, or one aggregation (a timestamp, or LONG and DOUBLE)."""
        return self._ask(["tql", name, tql])

    def get(self, name: str, schema: ContainerSchema, key: Row) -> list[Row]:
        """The row of that key, or nothing."""
        return _rows(schema, self._ask(["get", name, *_texts(schema.key, key)]))

    def multi_get(self, name: str, schema: ContainerSchema, keys: Sequence[Row]) -> list[Row]:
        """The rows of those keys."""
        return _rows(schema, self._ask(["multiget", name, str(len(keys))], [_texts(schema.key, key) for key in keys]))

    def delete(self, name: str, schema: ContainerSchema, key: Row) -> bool:
        """Delete one row; whether there was one."""
        return self._ask(["delete", name, *_texts(schema.key, key)]) == [["1"]]

    def range(
        self, name: str, schema: ContainerSchema, start: Value, end: Value, *, descending: bool = False
    ) -> list[Row]:
        """The rows of a TIME_SERIES between two times, both included; None leaves an end open."""
        ends = [to_text(schema.columns[0], bound) for bound in (start, end)]
        return _rows(schema, self._ask(["range", name, *ends, "DESCENDING" if descending else "ASCENDING"]))

    def related(self, name: str, schema: ContainerSchema, at: Value, operator: str) -> list[Row]:
        """The row of a TIME_SERIES before or after a time, or nothing."""
        return _rows(schema, self._ask(["related", name, to_text(schema.columns[0], at), operator]))

    def append(self, name: str, schema: ContainerSchema, row: Row) -> bool:
        """Put a row of a TIME_SERIES at the server's time, whatever its key says; whether it replaced one."""
        return self._ask(["append", name, *_texts(schema.columns, row)]) == [["1"]]

    def interpolate(self, name: str, schema: ContainerSchema, at: Value, column: str) -> list[Row]:
        """The row of a TIME_SERIES at a time, its column on the line between the rows around it, or nothing."""
        return _rows(schema, self._ask(["interpolate", name, to_text(schema.columns[0], at), column]))

    def sample(self, name: str, schema: ContainerSchema, start: Value, end: Value, *how: str) -> list[Row]:
        """Rows of a TIME_SERIES at times from `start` to `end`; `how` is mode, interval, unit, then columns."""
        ends = [to_text(schema.columns[0], bound) for bound in (start, end)]
        return _rows(schema, self._ask(["sample", name, *ends, *how]))

    def edit(
        self, name: str, schema: ContainerSchema, tql: str, edits: Sequence[Row | str], *, commit: bool = True
    ) -> None:
        """Fetch rows for update; then for each "keep", "remove", or the row it is updated to; then commit or abort."""
        lines = [[edit] if isinstance(edit, str) else ["update", *_texts(schema.columns, edit)] for edit in edits]
        self._ask(["edit", name, "commit" if commit else "abort", tql, str(len(lines))], lines)

    def create_index(self, name: str, column: str) -> None:
        """Make an index of the default type."""
        self._ask(["index", name, column])

    def drop_index(self, name: str, column: str) -> None:
        """Drop the index of the default type."""
        self._ask(["dropindex", name, column])

    def drop_series(self, name: str) -> None:
        """Drop the TIME_SERIES, if there is one."""
        self._ask(["dropseries", name])

    def indexes(self, name: str) -> set[tuple[str, str]]:
        """Type and columns (joined by commas) of each index."""
        return {(kind, columns) for kind, columns in self._ask(["indexes", name])}

    def count(self, name: str) -> int:
        """COUNT(*)."""
        return int(self._ask(["count", name])[0][0])

    def drop(self, name: str) -> None:
        """Drop the container, if there is one."""
        self._ask(["drop", name])

    def _ask(self, request: Sequence[str], rows: Sequence[Sequence[str]] = ()) -> list[list[str]]:
        assert self._process.stdin is not None
        guard = threading.Timer(ANSWER_LIMIT_S, self._process.kill)
        guard.start()
        try:
            self._process.stdin.write("".join("\t".join(line) + "\n" for line in (request, *rows)))
            self._process.stdin.flush()
            return self._answer(request[0])
        except BrokenPipeError:
            raise self._ended(request[0]) from None
        finally:
            guard.cancel()

    def _answer(self, asked: str) -> list[list[str]]:
        assert self._process.stdout is not None
        found: list[list[str]] = []
        for line in self._process.stdout:
            word, *rest = line.rstrip("\n").split("\t")
            if word == "done":
                return found
            if word == "fail":
                raise JudgeError(int(rest[0]), bytes.fromhex(rest[1][1:]).decode())
            found.append(rest)
        raise self._ended(asked)

    def _ended(self, asked: str) -> AssertionError:
        said = self._log.read_text(errors="replace")[-2000:]
        return AssertionError(f"the judge ended at {asked!r} (limit {ANSWER_LIMIT_S} s); it said: {said}")


@contextmanager
def judge_on(address: str, cluster: str, *, user: str, password: str) -> Iterator[Judge]:
    """A judge logged in to the server at `address` (host:port), ended with the block."""
    with tempfile.TemporaryDirectory() as folder:
        log, jars = Path(folder) / "judge.log", find_java().classpath
        subprocess.run(["javac", "-nowarn", "-proc:none", "-d", folder, "-cp", jars, *SOURCES], check=True)
        command = ["java", "-cp", os.pathsep.join((folder, jars)), PROGRAM, address, cluster, user]
        with (
            log.open("w") as errors,
            subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                encoding="utf-8",
                env={**os.environ, "GRID_ORACLE_PASSWORD": password},
            ) as process,
        ):
            yield Judge(process, log)
            assert process.stdin is not None
            process.stdin.close()


def _column(text: str) -> ColumnSpec:
    name, label, null = text.split(":")
    return ColumnSpec(name, _TYPES[label.removesuffix("[]")], label.endswith("[]"), null == "null")


def _texts(columns: Sequence[ColumnSpec], row: Sequence[Value]) -> list[str]:
    return [to_text(column, value) for column, value in zip(columns, row, strict=True)]


def _rows(schema: ContainerSchema, lines: Sequence[Sequence[str]]) -> list[Row]:
    return [tuple(from_text(c, text) for c, text in zip(schema.columns, line, strict=True)) for line in lines]
