"""Parents and children in one config: their rows would be stored twice, which the plan says."""

from __future__ import annotations

from gridferry.model.table import Relation, Table
from gridferry.plan.table_overlap import overlap_findings


def table(name: str, *relations: str) -> Table:
    return Table("public", name, "r", (), relations=tuple(Relation("public", each, 1, 1) for each in relations))


def test_children_beside_their_parent_are_named_once() -> None:
    log = table("log", "log", "log_2023", "log_2024")
    children = [table("log_2024", "log_2024"), table("log_2023", "log_2023")]
    (finding,) = overlap_findings([*children, log, table("other", "other")])
    assert finding.message == (
        "public.log_2023, public.log_2024: their rows come with public.log too, and would be in GridDB twice"
    )
    assert finding.advice == "take them out of the config, or public.log"


def test_a_partition_of_a_partition_is_found_and_so_are_very_many() -> None:
    top = table("m", *(f"m_{n}" for n in range(9)))
    middle = table("m_low", *(f"m_{n}" for n in range(4)))
    (finding,) = overlap_findings([middle, top])
    assert "public.m_low: its rows come with public.m too" in finding.message
    (many,) = overlap_findings([top, *(table(f"m_{n}", f"m_{n}") for n in range(9))])
    assert "public.m_4 and 4 more: their rows" in many.message


def test_children_without_their_parent_and_plain_tables_are_fine() -> None:
    assert not list(overlap_findings([table("a", "a"), table("log_2023", "log_2023"), table("v")]))
