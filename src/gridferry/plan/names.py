"""Container names: aliases, templates, and an escape that gives every value a legal name of its own.

GridDB takes ASCII letters, digits and `_ . - / =`, and takes capitals and small letters for the same. `=` is the escape
character here: each other byte of a value becomes `=` and two capital hex digits. NULL and the empty text have
spellings that no value can produce, because what follows their `=` is not two hex digits.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from itertools import chain, count

from gridferry.griddb.wire.names import legal_part
from gridferry.griddb.wire.statement import MAX_COLUMN_NAME_BYTES, MAX_CONTAINER_NAME_BYTES
from gridferry.plan.plan import TablePlan


def _both_cases(pairs: list[str]) -> dict[str, str]:
    """Letter and spelling in turns -> a table that has the capitals too."""
    small = {letter: spelling.strip("_") for letter, spelling in zip(pairs[::2], pairs[1::2], strict=True)}
    return {
        letter.upper(): spelling.capitalize() for letter, spelling in small.items() if len(letter.upper()) == 1
    } | small


NULL_SPELLING = "=null"
EMPTY_SPELLING = "=empty"
RESERVED_PREFIX = "gridferry_"
VALUE_FIELD = "{value}"

_SUGGESTED = 60  # bytes of a name that is made up

_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-/")
_ESCAPED = re.compile(r"=([0-9A-F]{2})")
_CYRILLIC = (
    "а a б b в v г g д d е e ё yo ж zh з z и i й y к k л l м m н n о o п p р r с s т t у u ф f х kh ц ts ч ch ш sh "
    "щ shch ъ _ ы y ь _ э e ю yu я ya і i ї yi є ye ґ g ў u ј j љ lj њ nj ћ c ђ dj џ dz"
)
_GREEK = (
    "α a β b γ g δ d ε e ζ z η i θ th ι i κ k λ l μ m ν n ξ x ο o π p ρ r σ s ς s τ t υ y φ f χ ch ψ ps ω o "
    "ά a έ e ή i ί i ό o ύ y ώ o"
)
_LATIN = "ä ae ö oe ü ue ß ss æ ae ø o å aa œ oe ð d þ th đ d ł l ı i ŋ ng ħ h µ u °  _ Ω ohm"
_LETTERS = _both_cases(f"{_CYRILLIC} {_GREEK} {_LATIN}".split())
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
    filled = _FIELD.sub(lambda match: known.get(match.group(1), match.group(0)), text)
    if template is None and filled.lower().startswith(RESERVED_PREFIX):
        # A table may be called as gridferry's own containers are. No other name is spelled so: a letter never is.
        return f"={ord(filled[0]):02X}{filled[1:]}"
    return filled


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


def free_name(plan: TablePlan, value: str | None, taken: Collection[str]) -> str:
    """A name that a container for `value` can have, where that of `container_name` cannot be used.

    Args: taken: names in small letters that it may not have.
    """
    base = container_name(plan, value)
    if name_problem(base):
        base = f"{in_ascii(plan.table) or 'table'}_{in_ascii(value or '') or 'value'}"
        base = f"of_{base}" if name_problem(base[:_SUGGESTED]) else base[:_SUGGESTED]
    base = base[: MAX_CONTAINER_NAME_BYTES - 8]
    numbered = (f"{base}_{number}" for number in count(2))
    return next(name for name in numbered if name.lower() not in taken)


def column_name_problem(name: str) -> str:
    """Why no column can be called `name`, as the end of a sentence; "" if one can."""
    if not legal_part(name):
        return "only ASCII letters, digits and _ . - / = can be used"
    if len(name) > MAX_COLUMN_NAME_BYTES:
        return f"it has {len(name)} bytes, {MAX_COLUMN_NAME_BYTES} is the limit"
    return ""


def needed_renames(columns: Sequence[tuple[str, str]]) -> dict[str, str]:
    """A name for each source column whose own cannot be used, or is another's before it where case is ignored.

    Args: columns: source column and the name that it would have, in order. The names are valid beside all others.
    """
    kept: dict[str, str] = {}
    wrong = [
        source
        for source, name in columns
        if column_name_problem(name) or kept.setdefault(name.lower(), source) != source
    ]
    return suggested_column_names(wrong, kept)


def suggested_column_names(names: Sequence[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """A legal name for each of `names`, by name: readable where letters can be written in ASCII, else numbered.

    All of them and `taken`, names that stay, can be in one container: no two are equal where case is ignored.
    """
    used = {name.lower() for name in taken}
    found: dict[str, str] = {}
    for name in dict.fromkeys(names):
        base = in_ascii(name) or "column"
        numbered = (f"{base[: MAX_COLUMN_NAME_BYTES - 8]}_{number}" for number in count(2))
        found[name] = next(
            spelled for spelled in chain([base[:MAX_COLUMN_NAME_BYTES]], numbered) if spelled.lower() not in used
        )
        used.add(found[name].lower())
    return found


def in_ascii(text: str) -> str:
    """`text` in letters that GridDB takes in names, as it would be read; "" where nothing of it can be written so."""
    spelled = "".join(_LETTERS.get(letter, letter) for letter in unicodedata.normalize("NFKC", text))
    plain = "".join(c for c in unicodedata.normalize("NFKD", spelled) if not unicodedata.combining(c))
    return re.sub(r"[^A-Za-z0-9.\-/=]+", "_", plain).strip("_")
