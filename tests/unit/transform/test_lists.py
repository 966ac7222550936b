"""Arrays in PostgreSQL's text form become lists, or are refused: never something else."""

from __future__ import annotations

import contextlib

import pyarrow as pa
import pytest

from gridferry.compare.value_text import texts
from gridferry.compare.values import differing
from gridferry.griddb.schema import ColumnSpec, GridType
from gridferry.plan.plan import ColumnPlan, Fidelity, Kernel, ReadAs
from gridferry.transform.kernels import flat_list
from gridferry.transform.refusals import Reason

FORMS: list[tuple[GridType, str | None, object]] = [
    (GridType.INTEGER, "{}", []),
    (GridType.INTEGER, None, None),
    (GridType.INTEGER, "{-1,2147483647}", [-1, 2147483647]),
    (GridType.INTEGER, "{NULL}", Reason.LIST),
    (GridType.INTEGER, "{1,NULL}", Reason.LIST),
    (GridType.INTEGER, "{{1},{2}}", Reason.LIST),
    (GridType.INTEGER, "[2:3]={1,2}", Reason.LIST),
    (GridType.INTEGER, "{" + ",".join(["7"] * 4000) + "}", [7] * 4000),
    (GridType.INTEGER, "{" + ",".join(["7"] * 4001) + "}", Reason.LIST),
    (GridType.BOOL, "{t,f}", [True, False]),
    (GridType.DOUBLE, "{0.1,-Infinity,5e-324}", [0.1, -float("inf"), 5e-324]),
    (
        GridType.STRING,
        r'{"a,b","say \"x\"","","\\","NULL","{}",c d,ä}',
        ["a,b", 'say "x"', "", "\\", "NULL", "{}", "c d", "ä"],
    ),
    (GridType.STRING, "{a,NULL}", Reason.LIST),
    (GridType.STRING, "{" + "x" * 31745 + "}", Reason.LENGTH),
    (GridType.TIMESTAMP_MS, '{"2024-01-01 00:00:00.123+00","1970-01-01 00:00:00+00"}', [1704067200123, 0]),
    (GridType.TIMESTAMP_MS, "{2024-01-01}", [1704067200000]),
    (GridType.TIMESTAMP_MS, '{"2024-01-01 00:00:00.123456"}', Reason.FINE_TIME),
    (GridType.TIMESTAMP_MS, "{infinity}", Reason.TIME_RANGE),
    (GridType.TIMESTAMP_MS, '{"1969-12-31 23:59:59+00"}', Reason.TIME_RANGE),
    (GridType.TIMESTAMP_MS, '{"0044-03-15 00:00:00 BC"}', Reason.TIME_RANGE),
]


def plan(kind: GridType) -> ColumnPlan:
    target = ColumnSpec("v", kind, array=True)
    return ColumnPlan("v", "array", target, ReadAs.TEXT, Kernel.LIST, Fidelity.EXACT, "")


@pytest.mark.parametrize("kind", sorted({kind for kind, _, _ in FORMS}))
def test_every_form_alone_and_among_others(kind: GridType) -> None:
    forms = [(text, wanted) for each, text, wanted in FORMS if each is kind]
    whole = pa.array(["{}", *(text for text, _ in forms)], pa.utf8()).slice(1)
    for array, wanted in [
        (whole, [w for _, w in forms]),
        *((whole.slice(n, 1), [w]) for n, (_, w) in enumerate(forms)),
    ]:
        lists, refusals = flat_list(array, plan(kind))
        why = {int(row): r.reason for r in refusals for row in r.rows}
        assert lists.type == plan(kind).target.arrow_type
        plain = lists.cast(pa.list_(pa.int64())) if kind is GridType.TIMESTAMP_MS else lists
        found = [why.get(n, value) for n, value in enumerate(plain.to_pylist())]
        assert found == wanted


def test_lists_differ_where_an_element_does_or_is_missing() -> None:
    kind = pa.list_(pa.float64())
    nan = float("nan")
    left = pa.array([[1.0, nan], None, [], [3.0], [1.0], [0.0]], kind)
    right = pa.array([[1.0, nan], [1.0], [], [4.0], [1.0, 2.0], [-0.0]], kind)
    mask = differing(left, right)
    assert mask is not None
    assert mask.tolist() == [False, True, False, True, True, True]
    assert differing(left, left) is None
    cut = differing(left.slice(2), right.slice(2))
    assert cut is not None
    assert cut.tolist() == [False, True, True, True]
    assert texts(left).to_pylist()[:3] == ["[1, NaN]", None, "[]"]
    assert texts(pa.array([["a", 'b"']])).to_pylist() == ['["a", "b\\""]']


@pytest.mark.parametrize("text", ['{"}', '{a"}', '{"a,b', "{", "x,y", '{a,"}b,c}'])
def test_what_is_no_text_of_an_array_crashes_nothing(text: str) -> None:
    with contextlib.suppress(pa.ArrowInvalid):
        for strings in ([text], ["{1}", text, "{2,3}"]):
            lists, _ = flat_list(pa.array(strings), plan(GridType.STRING))
            lists.validate(full=True)
