"""YAML text -> plain values, with fewer surprises than YAML 1.1: no sexagesimal numbers, dates or repeated keys."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from gridferry.errors import ConfigError

_FLOW_PLAIN = re.compile(r"[^\W\d][\w °./-]*[\w°]|[^\W\d]")
_TAB = r"found character '\t' that cannot start any token"  # PyYAML's words
_QUOTED = re.compile(r"""'[^']*'|"[^"]*\"""")


class _PlainLoader(yaml.SafeLoader):
    """Only true, false, null, decimal integers and decimals are not text; a mapping's keys are always text.

    A container alias such as `12:30:45` or `007` must stay what it is, quoted or not.
    """


_PlainLoader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("tag:yaml.org,2002:bool", r"^(?:true|false|True|False|TRUE|FALSE)$", "tTfF"),
    ("tag:yaml.org,2002:null", r"^(?:~|null|Null|NULL|)$", ("~", "n", "N", "")),
    ("tag:yaml.org,2002:int", r"^-?(?:0|[1-9][0-9]*)$", "-0123456789"),
    ("tag:yaml.org,2002:float", r"^-?(?:0|[1-9][0-9]*)\.[0-9]+$", "-0123456789"),
):
    _PlainLoader.add_implicit_resolver(_tag, re.compile(_pattern), list(_first))


class _BadKey(yaml.constructor.ConstructorError):
    """A mistake in a key, in our own words."""


def _mapping(loader: _PlainLoader, node: yaml.MappingNode) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise _BadKey(None, None, "a key must be plain text", key_node.start_mark)
        key = str(key_node.value)
        if key in found:
            raise _BadKey(None, None, f'the key "{key}" stands twice', key_node.start_mark)
        found[key] = loader.construct_object(value_node, deep=True)
    return found


_PlainLoader.add_constructor("tag:yaml.org,2002:map", _mapping)


def flow_text(name: str) -> str:
    """`name` as it stands between braces or brackets in YAML: in quotes where it would be read as something else."""
    plain = _FLOW_PLAIN.fullmatch(name) is not None and name.lower() not in ("true", "false", "null")
    return name if plain else json.dumps(name, ensure_ascii=False)


def parse_yaml(text: str, *, name: str) -> Any:
    """The document in `text`, as dicts, lists, text, numbers, booleans and None. `name` is for messages.

    Raises: ConfigError with line and column if it is not YAML, or a key stands twice in one mapping. The message
    never repeats the text of the file, which may hold a secret.
    """
    try:
        return yaml.load(text, _PlainLoader)  # noqa: S506 - a SafeLoader, narrowed
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        # PyYAML quotes the text that it stumbled over, which may be a secret; a key of ours is none.
        words = str(error.problem) if isinstance(error, _BadKey) else _QUOTED.sub("...", str(error.problem))
        if str(error.problem) == _TAB:
            words = "a tab cannot indent in YAML, or begin a value; use blanks"
        problem = f"{name}{place}: {words}"
    except RecursionError:
        problem = f"{name}: it is nested too deeply to be a config"
    except yaml.YAMLError:
        problem = f"{name}: this is not YAML; it holds characters that cannot stand in it"
    raise ConfigError(problem, next_step="correct the file")
