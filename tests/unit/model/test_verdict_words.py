"""What a verification and a coverage say: no "equal" without what it holds for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gridferry.errors import NotLoaded
from gridferry.model import coverage_words
from gridferry.model.coverage import Coverage, LeftOut, Why, total
from gridferry.model.failed_tables import FailedTable
from gridferry.model.verdict_words import sentence
from gridferry.model.verification import EXIT_CODES, Depth, TableVerification, Verdict, VerifyReport

WHOLE = Coverage(8, 8)
TABLE = TableVerification(
    "public.film",
    Depth.FULL,
    "2026-01-01T00:00:00Z",
    1.0,
    "0/1",
    "2026-01-01T00:00:00Z",
    source_rows=8,
    target_rows=8,
    containers_total=1,
    covered=WHOLE,
)
PARTLY = Coverage(8, 5, lossy=("price",), left_out=(LeftOut("tags", "text[]"), LeftOut("shape", "point", reason="old")))
HELD = replace(TABLE, target_rows=1, quarantined=7, verdict=Verdict.INCOMPLETE)

AS_OF = " as of 2026-01-01 00:00:00 UTC, LSN 0/1"


def report(*tables: TableVerification) -> VerifyReport:
    return VerifyReport(tables, "2026-01-01T00:00:00Z", 1.0)


@pytest.mark.parametrize(
    ("tables", "says"),
    [
        ([TABLE], "All values are equal (8 rows in 1 container, compared in 1.0 s)"),
        (
            [replace(TABLE, covered=PARTLY)],
            (
                "All values of 6 of 8 columns are equal (8 rows in 1 container, 1 column compared after loss, "
                "compared in 1.0 s)"
            ),
        ),
        (
            [TABLE, replace(TABLE, covered=PARTLY)],
            (
                "Database equal as of 2026-01-01 00:00:00 UTC, LSN 0/1: 2 tables, 16 rows in 2 containers (all values "
                "of 14 of 16 columns, compared in 1.0 s, 1 column compared after loss)"
            ),
        ),
        (
            [replace(TABLE, covered=replace(WHOLE, where="active"))],
            "All values are equal (8 rows in 1 container, in 1 table only rows that meet `where`, compared in 1.0 s)",
        ),
        (
            [replace(TABLE, target_rows=6, superseded=2)],
            (
                "All values are equal (6 of 8 rows stored, 2 superseded by another of their key, 1 container, "
                "compared in 1.0 s)"
            ),
        ),
        (
            [HELD],
            (
                "Not all rows are stored: 1 of 8 rows stored, 7 in quarantine; of the stored rows all values are equal "
                "(1 container)"
            ),
        ),
        (
            [replace(HELD, depth=Depth.QUICK)],
            (
                "Not all rows are stored: 1 of 8 rows stored, 7 in quarantine; of the stored rows row numbers and key "
                "bounds are equal (1 container)"
            ),
        ),
        (
            [replace(TABLE, verdict=Verdict.UNSETTLED, unsettled=2, covered=PARTLY)],
            (
                "2 rows not yet synced, all others are equal (8 rows in 1 container, 6 of 8 columns compared, 1 column "
                "compared after loss)"
            ),
        ),
        (
            [replace(TABLE, verdict=Verdict.DIFFERENT, different=1, covered=PARTLY)],
            "1 row differs (8 rows in 1 container, 6 of 8 columns compared, 1 column compared after loss)",
        ),
    ],
)
def test_the_headline_says_for_what_it_holds(tables: list[TableVerification], says: str) -> None:
    assert sentence(report(*tables)) == says


@pytest.mark.parametrize(
    ("table", "verdict", "begins"),
    [
        (
            TABLE,
            Verdict.INCOMPLETE,
            "not compared whole{}: 8 rows in 1 of 3 tables; of what is stored there all values",
        ),
        (HELD, Verdict.INCOMPLETE, "not compared whole{}: 1 of 8 rows stored, 7 in quarantine in 1 of 3 tables; of"),
        (
            replace(TABLE, verdict=Verdict.DIFFERENT, different=1),
            Verdict.DIFFERENT,
            "differs{}: 1 row in 1 of 1 compared table: public.film (8 rows in 1 container)",
        ),
    ],
)
def test_nothing_is_equal_while_tables_could_not_be_compared(
    table: TableVerification, verdict: Verdict, begins: str
) -> None:
    failed = FailedTable("public.zero", NotLoaded("public.zero was not loaded"))
    found = replace(report(table), failures=(failed,), not_tried=("public.last",))
    assert found.verdict is verdict
    assert sentence(found).startswith("Database " + begins.format(AS_OF))
    assert sentence(found).endswith("; not compared: 1 failed (public.zero), 1 not tried (public.last)")


def test_a_database_is_named_by_how_many_of_its_tables_differ() -> None:
    tables = [replace(TABLE, table=f"public.t{i}", verdict=Verdict.DIFFERENT, missing=2) for i in range(7)]
    late = replace(TABLE, verdict=Verdict.UNSETTLED, unsettled=3)
    names = "public.t0, public.t1, public.t2, public.t3, public.t4 and 2 more"
    assert sentence(report(TABLE, *tables)).startswith(
        f"Database differs{AS_OF}: 14 rows in 7 of 8 tables: {names} (64"
    )
    assert sentence(report(TABLE, late)) == (
        f"Database not proven equal{AS_OF}: 3 rows in 1 of 2 tables not yet synced: public.film; all others are equal "
        "(16 rows in 2 containers)"
    )
    assert sentence(report(HELD, TABLE)) == (
        f"Database incomplete{AS_OF}: 9 of 16 rows stored, 7 in quarantine in 2 tables; of what is stored there all "
        "values are equal (2 containers)"
    )


def test_tables_that_were_not_asked_for_or_are_not_in_the_config_are_said() -> None:
    named = sentence(replace(report(TABLE), unasked=("public.other",)))
    assert named.startswith(f"Tables asked for: equal{AS_OF}: 1 table, 8 rows in 1 container (all values")
    assert named.endswith("1 other table of the config not asked for)")
    aside = sentence(replace(report(TABLE, TABLE), removed=("public.gone",), others=("public.x", "public.y")))
    assert aside.endswith("1 table removed, not compared, 2 tables of the database are not in this config)")


def test_several_states_are_not_called_one() -> None:
    later = replace(TABLE, snapshot_at="2026-01-01T00:01:00Z", snapshot_lsn="0/9")
    said = sentence(report(TABLE, later))
    assert "as of 2026-01-01 00:00:00 to 2026-01-01 00:01:00 UTC, LSN 0/1 to 0/9 (2 snapshots, not one): 2" in said


def test_rows_in_quarantine_end_with_1_unless_something_worse_happened() -> None:
    assert report(TABLE).exit_code == 0
    assert report(TABLE, HELD).exit_code == 1
    assert report(HELD, replace(TABLE, verdict=Verdict.UNSETTLED)).exit_code == 75
    assert set(EXIT_CODES) == set(Verdict)


def test_each_column_that_is_left_out_is_named_with_its_reason() -> None:
    added = replace(PARTLY, left_out=(*PARTLY.left_out, LeftOut("extra", "integer", Why.ADDED)), columns=9)
    (columns, loss) = coverage_words.remarks(added)
    assert columns == (
        "3 of 9 columns are not in GridDB: tags text[] (excluded, no reason given), shape point (excluded: old), "
        "extra integer (added to the source after the load)"
    )
    assert loss == "1 column stored with loss, compared after it: price"
    assert [c.name for c in added.unconfirmed] == ["tags", "extra"]
    assert not list(coverage_words.remarks(WHOLE))


def test_a_condition_is_named_on_one_line() -> None:
    (said,) = coverage_words.remarks(replace(WHOLE, where="active -- the live\n  AND kind = 1"))
    assert said.endswith(": active -- the live AND kind = 1")


def test_many_tables_that_are_not_in_the_config_are_counted_and_the_first_named() -> None:
    assert coverage_words.other_tables([]) == ""
    said = coverage_words.other_tables([f"public.t{i}" for i in range(25)])
    assert said.startswith("25 tables of the database are not in this config: public.t0, public.t1")
    assert said.endswith("public.t19 and 5 more")


def test_what_is_not_counted_of_one_table_is_not_counted_of_all() -> None:
    assert total([replace(WHOLE, source_rows=3), WHOLE]).source_rows is None
    assert total([replace(WHOLE, source_rows=3), replace(WHOLE, source_rows=4)]).source_rows == 7
    assert total([]).source_rows is None
