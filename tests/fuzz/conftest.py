"""Runs each fuzz test in a process of its own, where nothing else has threads.

What an input costs is measured with tracemalloc. CPython ends with a segmentation fault where another thread, such as
one of DuckDB's, takes memory while tracemalloc is stopped (python/cpython#128679), and other tests of the same process
leave servers that have such threads.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context

import pytest


@cache
def _process() -> ProcessPoolExecutor:
    # A new interpreter, not a copy of this one: a copy would have what the threads held.
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool:
    """Call the test there, and raise here what it raises."""
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    _process().submit(pyfuncitem.obj, **arguments).result()
    return True


def pytest_sessionfinish() -> None:
    """End the process."""
    if _process.cache_info().currsize:
        _process().shutdown()
