"""Container names: aliases, templates, and an escape that gives every value a legal name of its own.

GridDB takes ASCII letters, digits and `_ . - / =`, and does not tell capitals from small letters. `=` is the escape
character here: each other byte of a value becomes `=` and two capital hex digits. NULL and the empty text have
spellings that no value can produce, because what follows their `=` is not two hex digits.
"""

from __future__ import annotations

import re

from gridferry.griddb.wire.names import legal_part
from gridferry.griddb.wire.statement import MAX_COLUMN_NAME_BYTES, MAX_CONTAINER_NAME_BYTES
from gridferry.plan.plan import TablePlan

NULL_SPELLING = "=null"
EMPTY_SPELLING = "=empty"
RESERVED_PREFIX = "gridferry_"
VALUE_FIELD = "{value}"

_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-/")
_ESCAPED = re.compile(r"=([0-9A-F]{2})")
_FIELD = re.compile(r"\{([^{}]*)\}")


def escape(value: str | None) -> str:
    """The spelling of `value` (None for NULL) in a container name; always legal, `value_of` reads it back."""
    if value is None:
        return NULL_SPELLING
    if value == "":
        return EMPTY_SPELLING
    return "".join(chr(octet) if octet in _PLAIN else f"={octet:02X}" for octet in value.encode())


def value_of(spelling: str) -> str | None:
    """The value that `escape` spelled so. Raises: ValueError if it never would."""
    if spelling == NULL_SPELLING:
        return None
    if spelling == EMPTY_SPELLING:
        return ""
    octets = _ESCAPED.sub(lambda match: chr(int(match.group(1), 16)), spelling).encode("latin-1")
    value = octets.decode()
    if escape(value) != spelling:
        raise ValueError(f'"{spelling}" is not the spelling of a value')
    return value


def naming_template(template: str | None, *, schema: str, table: str, split_by: str | None) -> str:
    """The template with all filled in but the value: text and, where the table is split, `{value}`.

    Without a template of the user's the name is the table's, led by the schema's unless that is public.
    """
    base = "{table}" if schema == "public" else "{schema}_{table}"
    text = template or (f"{base}_{VALUE_FIELD}" if split_by is not None else base)
    known = {"table": escape(table), "schema": escape(schema), "value": VALUE_FIELD}
    if split_by is not None:
        known.setdefault(split_by, VALUE_FIELD)
    return _FIELD.sub(lambda match: known.get(match.group(1), match.group(0)), text)


def container_name(plan: TablePlan, value: str | None = None) -> str:
    """The container for rows whose split column is `value` (as text; None for NULL, or where there is no split).

    Also for values that appeared after the plan was made: ask `name_problem` and compare with the names already
    given out, ignoring case, before it is used.
    """
    if value is not None and value in plan.aliases:
        return plan.aliases[value]
    return plan.naming.replace(VALUE_FIELD, escape(value))


def name_problem(name: str) -> str:
    """Why no container of gridferry's can be called `name`, as the end of a sentence; "" if one can."""
    if not legal_part(name):
        return "only ASCII letters, digits and _ . - / = can be used"
    if len(name) > MAX_CONTAINER_NAME_BYTES:
        return f"it has {len(name)} bytes, {MAX_CONTAINER_NAME_BYTES} is the limit"
    if name.lower().startswith(RESERVED_PREFIX):
        return f"names that begin with {RESERVED_PREFIX} are kept for gridferry's own containers"
    return ""


def column_name_problem(name: str) -> str:
    """Why no column can be called `name`, as the end of a sentence; "" if one can."""
    if not legal_part(name):
        return "only ASCII letters, digits and _ . - / = can be used"
    if len(name) > MAX_COLUMN_NAME_BYTES:
        return f"it has {len(name)} bytes, {MAX_COLUMN_NAME_BYTES} is the limit"
    return ""


def legal_column_name(name: str) -> str:
    """A legal name that looks like `name`, for advice."""
    return re.sub(r"[^A-Za-z0-9_.\-/=]+", "_", name)[:MAX_COLUMN_NAME_BYTES] or "column"
