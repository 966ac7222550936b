"""The origins of tables in the state container, whole and broken."""

from __future__ import annotations

from typing import Any, cast

import pytest

from gridferry.checkpoint.documents import DocumentStore
from gridferry.checkpoint.origins import OriginRecord, OriginStore
from gridferry.engine.ownership.lineage import Checked
from gridferry.errors import CheckpointError, SourceUnreachable
from gridferry.model.origin import Lineage, SourceOrigin

ORIGIN = SourceOrigin(
    "7012", 1, 5, 16390, "plant", "db:5432/plant", "10.0.0.5:5432", "2026-01-01T00:00:00.000001Z", False, "0/5000000"
)


class Documents:
    """One scope, as `DocumentStore` has it."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], dict[str, Any]] = {}

    def get(self, scope: str, item: str) -> dict[str, Any] | None:
        return self.held.get((scope, item))

    def put(self, scope: str, items: dict[str, dict[str, Any]]) -> None:
        self.held.update({(scope, item): body for item, body in items.items()})


def saved() -> tuple[OriginStore, dict[str, Any]]:
    documents = Documents()
    store = OriginStore(cast(DocumentStore, documents))
    store.save(OriginRecord("public.t", ORIGIN, taking_over=True))
    (body,) = documents.held.values()
    return store, body


def test_what_was_saved_is_read() -> None:
    store, _ = saved()
    assert store.get("public.t") == OriginRecord("public.t", ORIGIN, taking_over=True)
    assert store.get("public.other") is None


@pytest.mark.parametrize(
    "changed",
    [
        {"version": 0},
        {"version": None},
        {"taking_over": "yes"},
        {"origin": None},
        {"origin": []},
        {"origin": {}},
        *({"field": name} for name in ("system", "timeline", "table_oid", "standby", "log_end")),
        {"log": "not a position"},
        {"log": ""},
        {"more": 1},
    ],
)
def test_a_document_of_a_wrong_shape_is_refused(changed: dict[str, Any]) -> None:
    store, body = saved()
    if "field" in changed:
        body["origin"][changed["field"]] = None
    elif "log" in changed:
        body["origin"]["log_end"] = changed["log"]
    else:
        body.update(changed)
    with pytest.raises(CheckpointError, match=r"public\.t"):
        store.get("public.t")


def test_two_servers_behind_one_address_are_told() -> None:
    checked = Checked(OriginRecord("public.t", ORIGIN), ORIGIN, Lineage.SAME)
    checked.require_still(ORIGIN)
    second = SourceOrigin(**{**ORIGIN.__dict__, "started": "2026-03-03T00:00:00.000001Z"})
    with pytest.raises(SourceUnreachable, match="two servers answered") as told:
        checked.require_still(second)
    assert told.value.exit_code == 75
