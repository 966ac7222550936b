"""A function that does its work, and whose calls are known afterwards."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


def noted(calls: list[Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function; the first argument of each call is added to `calls`."""

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        calls.append(arguments[0])
        return function(*arguments, **named)

    return call
