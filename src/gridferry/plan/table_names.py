"""How a table's name is written in a config. It loads nothing: Airflow's DAG processor reads configs with it."""

from __future__ import annotations

_ODD = frozenset('."*?')


def spelled(schema: str, table: str) -> str:
    """A table's name as a config and `--table` take it: parts that are not read as they are in double quotes."""
    parts = (schema, table)
    odd = [part != part.strip() or bool(_ODD & set(part)) for part in parts]
    # Beside a part in quotes PostgreSQL's rules hold for the other, too: capitals are small letters.
    quoted = [is_odd or (any(odd) and part != part.lower()) for part, is_odd in zip(parts, odd, strict=True)]
    return ".".join('"' + p.replace('"', '""') + '"' if q else p for p, q in zip(parts, quoted, strict=True))
