"""A process that needs no pandas does not load it.

pyarrow imports pandas, where it is installed, at the first array that it makes of Python's or numpy's values (seen with
pyarrow 26): a quarter of a second of CPU and tens of megabytes, for a check whether the values are a pandas Series.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_LEFT_OUT = "pandas"


class _NoPandas(MetaPathFinder):
    """Comes before Python's own finders. None in `sys.modules` would not do: compiled code takes it for the module."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name == _LEFT_OUT:
            raise ModuleNotFoundError(f"{name} is left out of this process", name=name)
        return None


def leave_pandas_out() -> None:
    """In this process pandas is as if it were not installed, unless it is loaded already.

    For programs of their own only: the command line, and the processes of its tests. A library must not do this to the
    program that uses it.
    """
    sys.meta_path.insert(0, _NoPandas())
