"""One client writes, the other reads: every value must come back equal, to the bit."""

from __future__ import annotations

import pytest
from tests.oracle.judge import Judge
from tests.oracle.samples import Sample, random_sample, samples
from tests.oracle.values import from_arrow, in_key_order, to_arrow

from gridferry.griddb import Store
from gridferry.griddb.schema import ContainerKind

pytestmark = pytest.mark.oracle

every_sample = pytest.mark.parametrize(
    "sample", [*samples(), *map(random_sample, range(12))], ids=lambda sample: sample.label
)


@every_sample
def test_we_read_what_griddbs_client_wrote(judge: Judge, store: Store, name: str, sample: Sample) -> None:
    judge.create(name, sample.schema)
    judge.put(name, sample.schema, sample.rows)

    container = store.open_container(name)
    assert container is not None
    assert container.schema == sample.schema
    read = from_arrow(sample.schema, container.query("select *").read_all())
    assert in_key_order(sample.schema, read) == in_key_order(sample.schema, sample.rows)


@every_sample
def test_griddbs_client_reads_what_we_wrote(judge: Judge, store: Store, name: str, sample: Sample) -> None:
    container = store.create_container(name, sample.schema)
    container.put(to_arrow(sample.schema, sample.rows))

    assert judge.schema(name) == sample.schema
    assert judge.count(name) == len(sample.rows)
    read = judge.read(name, sample.schema)
    assert in_key_order(sample.schema, read) == in_key_order(sample.schema, sample.rows)
    if sample.schema.kind is ContainerKind.TIME_SERIES:
        assert read == in_key_order(sample.schema, read), "a TIME_SERIES comes in key order"


@every_sample
def test_both_put_the_same_bytes(judge: Judge, store: Store, name: str, sample: Sample) -> None:
    """A row put by both, ours over theirs and theirs over ours, stays one row with the same values."""
    container = store.create_container(name, sample.schema)
    batch = to_arrow(sample.schema, sample.rows)
    for _ in range(2):
        judge.put(name, sample.schema, sample.rows)
        container.put(batch)
    times = 1 if sample.schema.key_length else 4
    assert judge.count(name) == times * len(sample.rows)
    ours = from_arrow(sample.schema, container.query("select *").read_all())
    assert in_key_order(sample.schema, ours) == in_key_order(sample.schema, list(sample.rows) * times)
    assert in_key_order(sample.schema, judge.read(name, sample.schema)) == in_key_order(sample.schema, ours)
