"""Advice that several messages give, in words that work when they are followed to the letter."""

from __future__ import annotations

import shlex


def spelled(schema: str, table: str) -> str:
    """A table's name as a config and `--table` take it: parts with a dot or a quote in them in double quotes."""
    return ".".join('"' + p.replace('"', '""') + '"' if set(p) & {".", '"'} else p for p in (schema, table))


def load_again(table: str) -> str:
    """What to do where only a new load helps, and what that drops. Args: `table`: as `spelled` or a config has it."""
    command = f"gridferry load --replace --table {shlex.quote(table)}"
    return f"load it again with `{command}`, which drops its containers and their rows"
