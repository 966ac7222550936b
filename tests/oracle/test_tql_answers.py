"""Every server answers GridDB's own client as GridDB CE 5.9.0 answered it (see tql_table.py)."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator

import pytest
from tests.oracle.judge import Judge
from tests.oracle.tql_table import COLLECTION_TQL, SERIES_TQL, ask, fill, recorded

pytestmark = pytest.mark.oracle

# "Syntax error" and "invalid token": which of them a broken query gets is an accident of the server's parser.
SYNTAX_ERRORS = frozenset({"151001", "151002"})


@pytest.fixture(scope="module")
def containers(judge: Judge) -> Iterator[dict[str, str]]:
    """The names of the two containers, by kind."""
    names = {kind: f"oracle_tql_{uuid.uuid4().hex[:8]}" for kind in ("COLLECTION", "TIME_SERIES")}
    fill(judge, names["COLLECTION"], names["TIME_SERIES"])
    yield names
    for name in names.values():
        judge.drop(name)


def _same(tql: str, answer: str, expected: str) -> bool:
    kind, *have = answer.split()
    wanted_kind, *wanted = expected.split()
    if kind != wanted_kind:
        return False
    if kind == "number":
        whole, double = float(wanted[1]).is_integer(), math.isclose(float(have[1]), float(wanted[1]), rel_tol=1e-12)
        return double and (have[0] == wanted[0] or not whole)
    if kind == "error" and wanted[0] in SYNTAX_ERRORS:
        return have[0] in SYNTAX_ERRORS
    if kind == "rows" and " or " in tql:  # GridDB joins two index scans; that order is no promise
        return sorted(have) == sorted(wanted)
    return have == wanted


@pytest.mark.parametrize(
    ("kind", "tql"),
    [*(("COLLECTION", tql) for tql in COLLECTION_TQL), *(("TIME_SERIES", tql) for tql in SERIES_TQL)],
)
def test_tql_is_answered_as_griddb_does(judge: Judge, containers: dict[str, str], kind: str, tql: str) -> None:
    answer, expected = ask(judge, containers[kind], tql), recorded()[kind, tql]
    assert _same(tql, answer, expected), f"{answer!r}; GridDB: {expected!r}"


def test_every_recorded_answer_is_asked_for() -> None:
    asked = {("COLLECTION", tql) for tql in COLLECTION_TQL} | {("TIME_SERIES", tql) for tql in SERIES_TQL}
    assert asked == set(recorded())
