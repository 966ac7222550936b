"""Which servers the tests of this folder ran against."""

from __future__ import annotations

import os

import pytest
from tests.conformance.conftest import Server
from tests.conformance.servers import NOT_SET, REAL_SERVER


@pytest.mark.skipif(not os.environ.get(REAL_SERVER), reason=NOT_SET)
def test_a_real_server_is_named() -> None:
    assert os.environ[REAL_SERVER].count("/") == 1


def test_the_server_answers(server: Server) -> None:
    with server.connect() as store:
        assert store.cluster.topology().partition_count > 0
