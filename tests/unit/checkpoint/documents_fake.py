"""A state container in memory: documents, put modes and transactions, as far as the checkpoint uses them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from gridferry.checkpoint.documents import DocumentStore
from gridferry.errors import FerryError, RowExists
from gridferry.griddb import PutMode

Key = tuple[str, str]


class FakeResult:
    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self._rows = rows

    def read_all(self) -> pa.Table:
        columns = {name: [r[name] for r in self._rows] for name in ("scope", "item")}
        return pa.table({**columns, "body": pa.array([r["body"] for r in self._rows], pa.binary())})


class FakeContainer:
    """Also its own transaction: one at a time."""

    def __init__(self) -> None:
        self.rows: dict[Key, bytes] = {}
        self.broken: FerryError | None = None
        self.tried = threading.Event()  # set by every call
        self._lock = threading.RLock()

    def put(self, batch: pa.RecordBatch, *, mode: PutMode = PutMode.UPSERT) -> None:
        self._check()
        with self._lock:
            for row in batch.to_pylist():
                key = (row["scope"], row["item"])
                if mode is PutMode.INSERT and key in self.rows:
                    raise RowExists("it is there")
                self.rows[key] = row["body"]

    def delete(self, keys: pa.RecordBatch) -> int:
        self._check()
        return sum(self.rows.pop((r["scope"], r["item"]), None) is not None for r in keys.to_pylist())

    def in_transaction(self, work: Callable[[FakeContainer], Any]) -> Any:
        with self.transaction() as tx:
            return work(tx)

    def transaction(self) -> FakeContainer:
        self._check()
        return self

    def __enter__(self) -> FakeContainer:
        self._lock.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def query(self, tql: str, *, for_update: bool = False) -> FakeResult:
        assert for_update
        _, like, pattern = tql.partition(" like ")
        return FakeResult(
            [
                {"scope": scope, "item": item, "body": body}
                for (scope, item), body in self.rows.items()
                if (scope.startswith(pattern.strip("'%")) if like else f"'{scope}'" in tql and f"'{item}'" in tql)
            ]
        )

    def _check(self) -> None:
        self.tried.set()
        if self.broken is not None:
            raise self.broken


class FakeDocuments(DocumentStore):
    """`DocumentStore` without a store."""

    def __init__(self) -> None:
        self.state = FakeContainer()
        self.on_write: Callable[[], None] = lambda: None

    def full(self, scope: str) -> str:
        return scope

    def container(self) -> Any:
        return self.state

    def get(self, scope: str, item: str) -> dict[str, Any] | None:
        body = self.state.rows.get((scope, item))
        return None if body is None else json.loads(body)

    def items(self, scope: str) -> dict[str, dict[str, Any]]:
        return {item: json.loads(body) for (s, item), body in self.state.rows.items() if s == scope}

    def scopes(self, prefix: str, *, broken: list[str] | None = None) -> dict[str, dict[str, dict[str, Any]]]:
        return {s: self.items(s) for s, _ in self.state.rows if s.startswith(prefix)}

    def put(self, scope: str, items: Mapping[str, dict[str, Any]]) -> None:
        self.on_write()
        self.state.rows.update({(scope, item): json.dumps(body).encode() for item, body in items.items()})

    def get_each(self, scopes: Sequence[str], item: str, *, skip_broken: bool = False) -> dict[str, dict[str, Any]]:
        found = {scope: self.get(scope, item) for scope in scopes}
        return {scope: document for scope, document in found.items() if document is not None}

    def put_each(self, documents: Mapping[str, dict[str, Any]], item: str) -> None:
        for scope, document in documents.items():
            self.put(scope, {item: document})

    def insert_each(self, documents: Mapping[str, dict[str, Any]], item: str) -> bool:
        return all(self.insert(scope, item, document) for scope, document in documents.items())

    def insert(self, scope: str, item: str, document: dict[str, Any]) -> bool:
        if (scope, item) in self.state.rows:
            return False
        self.put(scope, {item: document})
        return True

    def delete(self, scope: str, items: Sequence[str]) -> None:
        for item in items:
            self.state.rows.pop((scope, item), None)

    def delete_scope(self, scope: str) -> None:
        self.delete(scope, [item for s, item in list(self.state.rows) if s == scope])
