"""Decimals stay numbers in GridDB where every one comes back, and are never changed in silence."""

from __future__ import annotations

import pytest
from tests.conftest import Database
from tests.e2e.changes import sync, without_slots
from tests.e2e.ferry import Ferry
from tests.e2e.test_atlas import differing

from gridferry.errors import FerryError

TICK = """
CREATE TABLE tick (id bigint PRIMARY KEY, price numeric(18,8), qty numeric, kwh numeric(20,4), total numeric(38,18),
                   small numeric(30,0), cents numeric(19,0), huge numeric, ref numeric, nothing numeric);
INSERT INTO tick SELECT g, 100 + g * 0.01, g, g * 0.5, g * 0.1, g, g, g + 0.12345678901234567890, 9007199254740993 + g
FROM generate_series(1, 100) g;
CREATE TABLE account (id numeric(30,0) PRIMARY KEY, v int); INSERT INTO account VALUES (9007199254740993, 1), (2, 2)
"""


def test_decimals_are_numbers_where_they_come_back_and_refused_where_they_would_not(
    ferry: Ferry, postgres: Database
) -> None:
    postgres.run(TICK)
    ferry = ferry.of(*({"table": table, "sync": {"mode": "cdc"}} for table in ("tick", "account")))
    with without_slots(postgres), ferry.migration() as migration:
        migration.loads.load()
        plan, account = migration.plan().tables
        assert {c.source: c.target.label for c in plan.columns} == {
            "id": "LONG", "price": "DOUBLE", "qty": "DOUBLE", "kwh": "DOUBLE", "total": "DOUBLE", "small": "LONG",
            "cents": "LONG", "huge": "STRING", "ref": "LONG", "nothing": "STRING",
        }  # fmt: skip
        assert account.columns[0].target.label == "LONG"
        told = {f.subject: f.message for f in plan.findings}
        assert "more digits than a DOUBLE keeps (100 rows); GridDB does not compare" in told["huge"]
        assert "a later row that has one is refused by a sync" in told["price"]
        assert list(differing(ferry, postgres, "tick")) == []
        with ferry.store() as store:
            container = store.open_container("tick")
            assert container is not None
            assert container.query("select avg(price)").value == pytest.approx(100.505)
        postgres.run("UPDATE account SET id = id + 1; UPDATE tick SET price = price / 8, total = NULL WHERE id < 9")
        sync(ferry)
        assert list(differing(ferry, postgres, "tick")) == list(differing(ferry, postgres, "account")) == []
        assert ferry.equal()
        with ferry.migration() as other:
            assert other.verifications.verify(quick=True).verdict.value == "equal"
        postgres.run("UPDATE tick SET price = 1234567890.12345679 WHERE id = 50")
        with pytest.raises(FerryError, match="price has more digits than the column's type keeps"):
            sync(ferry)
