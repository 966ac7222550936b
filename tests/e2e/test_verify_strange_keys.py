"""Rows of the target whose keys are no values of the source's type at all: found like any other, beside a sync too."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from tests.conftest import Database
from tests.e2e.changes import without_slots
from tests.e2e.ferry import Ferry

from gridferry.model.verification import Verdict


@pytest.mark.parametrize(
    ("declared", "value", "strange"),
    [("uuid", "'00000000-0000-0000-0000-00000000000' || i", "no uuid"), ("smallint", "i", 70_000)],
)
def test_a_key_that_is_no_value_of_the_source_is_an_extra_row_while_a_sync_goes_on(
    ferry: Ferry, postgres: Database, declared: str, value: str, strange: Any
) -> None:
    postgres.run(f"CREATE TABLE keyed (id {declared} PRIMARY KEY, n int)")
    postgres.run(f"INSERT INTO keyed SELECT ({value})::{declared}, i FROM generate_series(1, 5) AS i")
    table = ferry.of({"table": "keyed", "sync": {"mode": "cdc"}})
    with without_slots(postgres):
        table.load()
        (name,) = table.names()
        with table.store() as store:
            container = store.open_container(name)
            assert container is not None
            container.put(pa.record_batch([[strange], [0]], schema=container.schema.arrow_schema))
        postgres.run("UPDATE keyed SET n = -n WHERE n = 3")  # something waits: candidates are looked at again
        with table.migration() as migration:
            report = migration.verifications.verify(sync=True, settle_s=60)
            assert report.verdict is Verdict.DIFFERENT
            (found,) = report.tables
            assert (found.extra, found.missing, found.different, found.unsettled) == (1, 0, 0, 0)
            assert migration.repairs.repair().verdict is Verdict.EQUAL
            assert migration.verifications.verify().verdict is Verdict.EQUAL


def test_a_key_that_the_source_s_encoding_cannot_write_is_an_extra_row_and_is_deleted(
    ferry: Ferry, postgres: Database
) -> None:
    with postgres.in_latin1() as latin:
        latin.run("CREATE TABLE keyed (id text PRIMARY KEY, n int)")
        latin.run("INSERT INTO keyed VALUES ('ä', 1), ('', 2)")
        table = replace(ferry, dsn=latin.dsn).of("keyed")
        table.load()
        with table.store() as store:
            container = store.open_container("keyed")
            assert container is not None
            strange = pa.record_batch([["日€", "ä"], [0, 7]], schema=container.schema.arrow_schema)
            container.put(strange)
        with table.migration() as migration:
            done = migration.repairs.repair()
        assert done.verdict is Verdict.EQUAL
        assert sorted(r["id"] for r in table.rows("keyed")) == ["", "ä"]
