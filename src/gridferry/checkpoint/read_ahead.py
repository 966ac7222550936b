"""Documents of `gridferry_state` that were read before they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_LEASES = "lease:"  # before the table in the scopes of leases


@dataclass
class ReadAhead:
    """Documents that were read: all of the scopes that begin with one of `prefixes`, and those of `keys`."""

    prefixes: tuple[str, ...]
    keys: frozenset[tuple[str, str]] = frozenset()
    _found: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    _broken: set[str] = field(default_factory=set)

    def has(self, scope: str, item: str | None = None) -> bool:
        """Whether it is known what stands there: a document or none. Without `item`: of the whole scope."""
        if scope.startswith(_LEASES) or scope in self._broken:
            return False
        return scope.startswith(self.prefixes) or (item is not None and (scope, item) in self.keys)

    def items(self, scope: str) -> Mapping[str, dict[str, Any]]:
        """What is known of a scope, by item."""
        return self._found.get(scope, {})

    def read(self, scope: str, item: str, document: dict[str, Any] | None) -> None:
        """A document was read; None: it is not readable, and who asks for it reads it again."""
        if document is None:
            self._broken.add(scope)
        else:
            self._found.setdefault(scope, {})[item] = document

    def written(self, scope: str, items: Mapping[str, dict[str, Any]]) -> None:
        """Documents were written."""
        self._found.setdefault(scope, {}).update(items)

    def deleted(self, scope: str, items: Sequence[str]) -> None:
        """Documents were deleted."""
        for item in items:
            self._found.get(scope, {}).pop(item, None)
