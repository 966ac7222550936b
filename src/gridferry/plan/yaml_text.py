"""YAML text -> plain values, with fewer surprises than YAML 1.1: no sexagesimal numbers, dates or repeated keys."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import yaml

from gridferry.errors import ConfigError

_FLOW_PLAIN = re.compile(r"[^\W\d][\w °./-]*[\w°]|[^\W\d]")
_TAB = r"found character '\t' that cannot start any token"  # PyYAML's words
_QUOTED = re.compile(r"""'[^']*'|"[^"]*\"""")
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_TEXT_A_VALUE = 64  # characters of a text that count as much as one value more

MOST_BYTES = 1_000_000  # of a file: thousands of tables, or containers named one by one
MOST_NESTED = 32
MOST_VALUES = 100_000
MOST_DIGITS = 18


class _Mistake(yaml.MarkedYAMLError):
    """A mistake in our own words, which hold no text of the file but a key."""

    def __init__(self, words: str, mark: Any) -> None:
        super().__init__(None, None, words, mark)


class _PlainLoader(yaml.SafeLoader):
    """Only true, false, null, decimal integers and decimals are not text; a mapping's keys are always text.

    A container alias such as `12:30:45` or `007` must stay what it is, quoted or not. Nothing is built of a tag: all
    that it could make is text or is refused. Nodes are counted as they come, so that nothing large is built first.
    """

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """As PyYAML's, with a limit to the nesting."""
        peek: Callable[[], Any] = self.peek_event
        event = peek()
        tag = getattr(event, "tag", None)
        if tag not in _TAGS and not isinstance(event, yaml.AliasEvent):
            raise _Mistake("a tag, such as !!binary, means nothing here; write the value as it is", event.start_mark)
        self.depth += 1
        try:
            if self.depth > MOST_NESTED:
                raise _Mistake("it is nested too deeply to be a config", event.start_mark)
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


_MAP, _SEQ, _STR = "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:str"
_BOOL, _NULL = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:null"
_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_TAGS = (None, "!", _MAP, _SEQ, _STR, _BOOL, _NULL, _INT, _FLOAT)
_FORMS = {
    _BOOL: (re.compile(r"^(?:true|false|True|False|TRUE|FALSE)$"), "tTfF"),
    _NULL: (re.compile(r"^(?:~|null|Null|NULL|)$"), ("~", "n", "N", "")),
    _INT: (re.compile(r"^-?(?:0|[1-9][0-9]*)$"), "-0123456789"),
    _FLOAT: (re.compile(r"^-?(?:0|[1-9][0-9]*)\.[0-9]+$"), "-0123456789"),
}
_PlainLoader.yaml_implicit_resolvers = {}
for _tag, (_pattern, _first) in _FORMS.items():
    _PlainLoader.add_implicit_resolver(_tag, _pattern, list(_first))


def _measured(node: yaml.Node, known: dict[int, int], inside: set[int]) -> int:
    """How many values are in a node once its anchors are written out. Raises: _Mistake for too many, or for ever."""
    if id(node) in inside:
        raise _Mistake("an anchor is within itself", node.start_mark)
    if id(node) not in known:
        inside.add(id(node))
        children = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        size = 1
        for child in () if isinstance(node, yaml.ScalarNode) else children:
            size += _measured(child, known, inside)
        # A scalar counts by its length too: one long text may be named many times.
        size += len(node.value) // _TEXT_A_VALUE if isinstance(node, yaml.ScalarNode) else 0
        if size > MOST_VALUES:
            raise _Mistake(f"it holds more than {MOST_VALUES:,} values, with its anchors written out", node.start_mark)
        inside.discard(id(node))
        known[id(node)] = size
    return known[id(node)]


def _plain(node: yaml.Node) -> Any:
    """What a node means. Raises: _Mistake."""
    if isinstance(node, yaml.MappingNode):
        _require_tag(node, _MAP)
        return _mapping(node)
    if isinstance(node, yaml.SequenceNode):
        _require_tag(node, _SEQ)
        return [_plain(child) for child in node.value]
    text = str(node.value)
    if _NO_TEXT.search(text):
        raise _Mistake("a value holds a character that no name and no text can hold", node.start_mark)
    if node.tag == _STR:
        return text
    form = _FORMS.get(node.tag)
    if form is None or form[0].fullmatch(text) is None:
        raise _Mistake("the value is not of the kind that its tag names; leave the tag out", node.start_mark)
    if node.tag == _NULL:
        return None
    if node.tag == _BOOL:
        return text.lower() == "true"
    if len(text) > MOST_DIGITS:
        raise _Mistake(f"a number has more than {MOST_DIGITS} digits; put it in quotes if it is text", node.start_mark)
    return int(text) if node.tag == _INT else float(text)


def _mapping(node: yaml.MappingNode) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise _Mistake("a key must be plain text", key_node.start_mark)
        key = str(key_node.value)
        if _NO_TEXT.search(key):
            raise _Mistake("a key holds a character that no name can hold", key_node.start_mark)
        if key in found:
            raise _Mistake(f'the key "{_shown(key)}" is there twice', key_node.start_mark)
        if key == "<<" and key_node.style is None:
            raise _Mistake("a merge (<<) is not taken here; name the anchor in its place", key_node.start_mark)
        found[key] = _plain(value_node)
    return found


def _require_tag(node: yaml.Node, tag: str) -> None:
    if node.tag != tag:
        raise _Mistake("the value is not of the kind that its tag names; leave the tag out", node.start_mark)


def _shown(key: str) -> str:
    return key if len(key) <= 80 else f"{key[:77]}..."


def flow_text(name: str) -> str:
    """`name` as written between braces or brackets in YAML: in quotes where it would be read as something else."""
    plain = _FLOW_PLAIN.fullmatch(name) is not None and name.lower() not in ("true", "false", "null")
    return name if plain else json.dumps(name, ensure_ascii=False)


def parse_yaml(text: str, *, name: str) -> Any:
    """The document in `text`, as dicts, lists, text, numbers, booleans and None. `name` is for messages.

    Raises: ConfigError with line and column if it is not YAML, or a key is twice in one mapping. The message
    never repeats the text of the file, which may hold a secret.
    """
    if len(text) > MOST_BYTES:
        raise ConfigError(f"{name} has more than {MOST_BYTES:,} characters", next_step="is it the right file?")
    try:
        node = _PlainLoader(text).get_single_node()
        if node is None:
            return None
        _measured(node, {}, set())
        return _plain(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        # PyYAML quotes the text that it stumbled over, which may be a secret; a key of ours is none.
        words = str(error.problem) if isinstance(error, _Mistake) else _QUOTED.sub("...", str(error.problem))
        if str(error.problem) == _TAB:
            words = "a tab cannot indent in YAML, or begin a value; use blanks"
        problem = f"{name}{place}: {words}"
    except RecursionError:
        problem = f"{name}: it is nested too deeply to be a config"
    except (yaml.YAMLError, ValueError, OverflowError):  # the latter two of an escape or a directive
        problem = f"{name}: this is not YAML; it holds characters that YAML does not allow"
    raise ConfigError(problem, next_step="correct the file")
