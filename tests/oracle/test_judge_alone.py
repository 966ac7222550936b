"""GridDB's client reads what GridDB's client wrote: proves the judge and its text form, before it judges us."""

from __future__ import annotations

import pytest
from tests.oracle.judge import Judge, JudgeError
from tests.oracle.samples import Sample, random_sample, samples
from tests.oracle.values import in_key_order

pytestmark = pytest.mark.oracle


@pytest.mark.parametrize("sample", [*samples(), random_sample(1)], ids=lambda sample: sample.label)
def test_the_judge_reads_its_own_rows(judge: Judge, name: str, sample: Sample) -> None:
    judge.create(name, sample.schema)
    judge.put(name, sample.schema, sample.rows)
    assert judge.schema(name) == sample.schema
    assert judge.count(name) == len(sample.rows)
    assert in_key_order(sample.schema, judge.read(name, sample.schema)) == in_key_order(sample.schema, sample.rows)


def test_the_judge_tells_a_refusal_apart(judge: Judge, name: str) -> None:
    sample = samples()[0]
    judge.create(name, sample.schema)
    with pytest.raises(JudgeError) as refused:
        judge.query(name, sample.schema, "SELEC *")
    assert refused.value.code == 151001
