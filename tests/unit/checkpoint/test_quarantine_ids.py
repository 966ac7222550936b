"""Names and bytes of quarantined rows: the same row the same, equal rows beside each other not."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa

from gridferry.checkpoint.quarantine import row_bytes, row_id


def row(n: int | None, text: str = "x") -> pa.RecordBatch:
    return pa.record_batch({"n": pa.array([n], pa.int64()), "t": pa.array([text])})


def ids(rows: list[pa.RecordBatch], chunk: str = "000000001") -> list[str]:
    seen: Counter[str] = Counter()
    return [row_id(chunk, r, seen) for r in rows]


def test_reading_a_chunk_again_gives_the_same_names() -> None:
    rows = [row(1), row(2), row(1), row(None)]
    assert ids(rows) == ids([row(1), row(2), row(1), row(None)])


def test_equal_rows_of_a_chunk_and_of_two_chunks_have_names_of_their_own() -> None:
    names = ids([row(1), row(1), row(1)]) + ids([row(1)], "000000002")
    assert len(set(names)) == 4


def test_the_name_does_not_depend_on_the_order_of_different_rows() -> None:
    assert sorted(ids([row(1), row(2), row(3)])) == sorted(ids([row(3), row(1), row(2)]))


def test_a_row_keeps_its_schema_and_its_value_in_bytes() -> None:
    batch = pa.concat_batches([row(1), row(None, "ä")]).slice(1, 1)
    with pa.ipc.open_stream(row_bytes(batch)) as reader:
        assert reader.read_all().to_batches()[0] == batch
