"""Arrays of PostgreSQL as arrays of GridDB: loaded, followed, compared, repaired and undone."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from tests.conftest import Database
from tests.e2e.changes import sync, without_slots
from tests.e2e.ferry import Ferry
from tests.e2e.test_atlas import differing

MOVIE = """
CREATE TABLE movie (id int PRIMARY KEY, genres text[], scores float8[], ids bigint[], flags bool[], seen timestamptz[],
                    raters uuid[] DEFAULT '{}', odd int[], long float4[]);
INSERT INTO movie VALUES
  (1, '{Drama,"Sci,Fi","a\\\\"}', '{1.5,NaN}', '{1,2}', '{t,f}', '{2024-01-01 00:00:00.123+00}',
   ARRAY['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid], '{1,NULL}', array_fill(1.5::float4, ARRAY[4001])),
  (2, '{}', NULL, '{}', '{}', NULL, '{}', '{1}', '{}'), (3, NULL, '{-0}', '{3}', NULL, '{}', NULL, '[0:1]={1,2}', NULL)
"""


def movies(ferry: Ferry) -> dict[int, dict[str, Any]]:
    return {row["id"]: row for row in ferry.rows("movie")}


def test_arrays_are_stored_as_arrays_and_stay_equal_through_sync_repair_and_undo(
    ferry: Ferry, postgres: Database
) -> None:
    postgres.run(MOVIE)
    ferry = ferry.of({"table": "movie", "on_bad_row": "quarantine", "sync": {"mode": "cdc"}})
    with without_slots(postgres), ferry.migration() as migration:
        migration.loads.load()
        (plan,) = migration.plan().tables
        assert {c.source: c.target.label for c in plan.columns} == {
            "id": "INTEGER", "genres": "STRING[]", "scores": "DOUBLE[]", "ids": "LONG[]", "flags": "BOOL[]",
            "seen": "TIMESTAMP(3)[]", "raters": "STRING[]", "odd": "STRING", "long": "STRING",
        }  # fmt: skip
        told = {f.subject: f.message for f in plan.findings}
        assert "stored as STRING and not as INTEGER[]" in told["odd"]
        assert movies(ferry)[1]["genres"] == ["Drama", "Sci,Fi", "a\\"]
        assert (movies(ferry)[2]["genres"], movies(ferry)[2]["scores"]) == ([], None), "empty is not NULL"
        assert list(differing(ferry, postgres, "movie")) == []
        postgres.run(
            "UPDATE movie SET genres = genres || '{new}' WHERE id = 2; UPDATE movie SET id = 30 WHERE id = 3;"
            " INSERT INTO movie (id, ids) VALUES (4, '{{1},{2}}'), (5, '{5}')"
        )
        (done,) = sync(ferry)
        assert done.quarantined == 1, "an array of two dimensions came later"
        assert sorted(movies(ferry)) == [1, 2, 5, 30]
        assert ferry.equal()
        before = movies(ferry)
        with ferry.store() as store:
            container = store.open_container("movie")
            assert container is not None
            (batch,) = container.query("select * where id = 1").batches()
            place = batch.schema.get_field_index("scores")
            wrong = batch.set_column(place, batch.schema.field(place), pa.array([[1.5, 2.5]], pa.list_(pa.float64())))
            container.put(wrong)
        ((first,),) = (table.first for table in migration.verifications.verify().tables)
        (found,) = first.columns
        assert (found.name, found.source, found.target) == ("scores", "[1.5, NaN]", "[1.5, 2.5]")
        (repaired,) = migration.repairs.repair().tables
        assert str(movies(ferry)) == str(before)
        migration.repairs.undo(repaired.run)
        assert movies(ferry)[1]["scores"] == [1.5, 2.5]
