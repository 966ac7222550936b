"""No two sessions of a process have the same id."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from gridferry.griddb.sessions import fresh_session_id


def test_ids_do_not_repeat_across_threads() -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda _: fresh_session_id(), range(4000)))
    assert len(set(ids)) == len(ids)
    assert min(ids) > 0  # 0 says "no session"
