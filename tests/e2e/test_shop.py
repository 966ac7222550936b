"""The shop of `examples/shop`, a database as applications have them: taken over from `init` on, followed through a
changing schema and tables that fail, and verified as one.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from difflib import unified_diff
from pathlib import Path

import pytest
import yaml
from tests.conftest import Database
from tests.e2e.changes import sync, without_slots
from tests.e2e.ferry import Ferry
from typer.testing import CliRunner

from gridferry.cli.main import app
from gridferry.engine.events import Event, Note
from gridferry.model.failed_tables import SomeTablesFailed
from gridferry.model.verification import Verdict

EXAMPLE = Path(__file__).parents[2] / "examples" / "shop"
# As the example's page has them.
EDITS = {"# defaults:\n#   sync: {mode: cdc}": "defaults:\n  sync: {mode: cdc}"}
CHANGES = """
ALTER TABLE "order" ADD channel text DEFAULT 'web';
ALTER TABLE stock ALTER quantity TYPE bigint;
ALTER TABLE customer RENAME name TO full_name;
ALTER TABLE order_line ADD gift boolean NOT NULL DEFAULT false;
ALTER TABLE product DROP weight_kg;
ALTER TYPE order_status ADD VALUE 'lost';
CREATE TABLE gift_card (code text PRIMARY KEY, value numeric(10,2) NOT NULL);
INSERT INTO gift_card VALUES ('first', 5);
"""
FAILING = """
TRUNCATE session;
INSERT INTO session VALUES ('after', 'x', now());
ALTER TABLE shipment ALTER parcels TYPE text;
UPDATE shipment SET parcels = 'two' WHERE tracking = 'T3';
"""


@pytest.fixture
def shop(ferry: Ferry, postgres: Database) -> Iterator[Ferry]:
    postgres.needs(13, "publication of partitioned tables")
    postgres.run((EXAMPLE / "schema.sql").read_text())
    with without_slots(postgres):
        yield ferry


def sell(postgres: Database, chance: random.Random, times: int) -> None:
    """Transactions over several tables; after each an order's total is that of its lines."""
    for _ in range(times):
        customer = chance.randrange(1, 301)
        lines = " ".join(
            f"INSERT INTO order_line (order_id, line_no, product_id, quantity, unit_price) SELECT max(id), {number},"
            f' {chance.randrange(1, 251)}, {chance.randrange(1, 5)}, {chance.randrange(100, 9999) / 100} FROM "order";'
            f"UPDATE stock SET quantity = quantity - 1 WHERE product_id = {chance.randrange(1, 251)};"
            for number in range(chance.randrange(1, 4))
        )
        more = (
            "INSERT INTO payment SELECT id, placed_at, id, 'card', total FROM \"order\" ORDER BY id DESC LIMIT 1;"
            "DELETE FROM review WHERE ctid = (SELECT min(ctid) FROM review);"
            "UPDATE \"order\" SET status = 'sent' WHERE id = (SELECT min(id) FROM \"order\" WHERE status = 'packed');"
            if chance.random() < 0.5
            else f"UPDATE customer SET tags = tags || 'seen'::text WHERE id = md5('customer {customer}')::uuid;"
        )
        postgres.run(
            'BEGIN; INSERT INTO "order" (customer_id, placed_at)'
            f" VALUES (md5('customer {customer}')::uuid, '2026-05-01');"
            f'{lines} UPDATE "order" o SET total = (SELECT sum(amount) FROM order_line l WHERE l.order_id = o.id)'
            f' WHERE o.id = (SELECT max(id) FROM "order"); {more} COMMIT'
        )


def verdict(ferry: Ferry) -> Verdict:
    with ferry.migration() as migration:
        return migration.verifications.verify().verdict


def test_a_shop_is_taken_over_by_a_few_edited_lines_and_followed(
    shop: Ferry, postgres: Database, tmp_path: Path
) -> None:
    page = (EXAMPLE / "README.md").read_text()
    file = tmp_path / "gridferry.yaml"
    said = CliRunner().invoke(app, ["init", shop.dsn, "--target", shop.url, "-o", str(file)], env=shop.env)
    assert said.exit_code == 0, said.output
    written = file.read_text()
    edited = written
    for before, after in EDITS.items():
        assert before in edited
        assert after.splitlines()[-1] in page
        edited = edited.replace(before, after)
    changed = [line for line in unified_diff(written.splitlines(), edited.splitlines()) if line.startswith("+")]
    assert len(changed) - 1 <= 5
    document = yaml.safe_load(edited)
    ferry = replace(shop, tables=tuple(document["tables"]), more={"defaults": document["defaults"]})

    assert len(ferry.load()) == 22
    chance = random.Random(7)
    sell(postgres, chance, 20)
    sync(ferry)
    assert verdict(ferry) is Verdict.EQUAL

    sell(postgres, chance, 3)
    postgres.run(CHANGES)
    sell(postgres, chance, 3)
    postgres.run(FAILING)
    sell(postgres, chance, 3)
    told: list[Event] = []
    with pytest.raises(SomeTablesFailed) as failed:
        sync(ferry, listener=told.append)
    assert {failure.table for failure in failed.value.failures} == {"public.session", "public.shipment"}
    notes = " ".join(event.message for event in told if isinstance(event, Note))
    assert "quantity was integer and is now bigint" in notes
    assert "name was renamed to full_name" in notes
    assert "public.gift_card" in notes

    with ferry.migration() as migration:
        migration.loads.load(["session", "shipment"], replace=True)
        migration.loads.load(["gift_card"])
    sell(postgres, chance, 3)
    sync(ferry)
    with ferry.migration() as migration:
        report = migration.verifications.verify()
    assert report.verdict is Verdict.EQUAL
    assert len(report.tables) == 23
    dropped = {name for t in report.tables if t.covered is not None for name in t.covered.dropped}
    assert dropped == {"weight_kg"}
