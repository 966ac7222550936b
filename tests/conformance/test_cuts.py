"""Connections that break in the middle: the error says "later", and the same call again gives the same end.

The servers tell clients the owner's own address, so the driver's connector leads every connection through the proxy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import psutil
import pytest
from tests.conformance.conftest import Place, Server
from tests.conformance.tables import batch, collection, keys, plain, rows_of, series
from tests.notes import notes
from tests.proxy import Proxy, Switches, proxy_to

from gridferry.errors import ConnectionLost, Transient
from gridferry.griddb import Container, Store, Timing, connect
from gridferry.griddb.net.transport import SocketTransport

SERIES = series("ts TIMESTAMP(3)!, v DOUBLE, s STRING")
KEYED = collection("k LONG!, s STRING")
ROWS = [(t, t / 4, "x" * (t % 50)) for t in range(2000)]
TIMING = Timing(connect_s=10.0, answer_s=20.0, failover_s=2.0)


@dataclass(frozen=True)
class Line:
    """A store whose connections all lead through a proxy."""

    store: Store
    proxy: Proxy
    switches: Switches

    def container(self, container: Container) -> Container:
        """The same container, over the line."""
        found = self.store.open_container(container.name)
        assert found is not None
        return found


@pytest.fixture
def line(server: Server) -> Iterator[Line]:
    switches = Switches()
    with proxy_to(server.address.members[0], switches) as proxy:

        def connector(host: str, port: int, timeout_s: float) -> SocketTransport:
            return SocketTransport(*proxy.address, timeout_s=timeout_s)

        with connect(server.address, timing=TIMING, connector=connector) as store:
            yield Line(store, proxy, switches)


def _load(line: Line, made: list[Container]) -> None:
    bounds = [len(ROWS) * i // len(made) for i in range(len(made) + 1)]
    with line.store.writer(message_bytes=4000, window_bytes=16_000) as writer:
        writer.put(SERIES, batch(SERIES, ROWS), [c.handle for c in made], bounds)
        writer.drain()
        assert writer.rows == len(ROWS)


@pytest.mark.parametrize("up", [0, 1, 300, 5_000, 40_000])
def test_a_bulk_put_cut_on_its_way(line: Line, place: Place, up: int) -> None:
    made = place.store.create_containers(place.names(5), SERIES)
    line.store.counts(made)
    line.switches.cut_up = up
    with pytest.raises(ConnectionLost) as caught:
        _load(line, made)
    assert isinstance(caught.value, Transient)
    assert line.switches.cuts == 1
    _load(line, made)
    assert [row for c in made for row in rows_of(c.scan())] == ROWS


@pytest.mark.parametrize("down", [0, 10, 33, 100])
def test_a_bulk_put_whose_answers_are_cut(line: Line, place: Place, down: int) -> None:
    made = place.store.create_containers(place.names(5), SERIES)
    line.store.counts(made)
    line.switches.cut_down = down
    with pytest.raises(ConnectionLost):
        _load(line, made)
    _load(line, made)
    assert [row for c in made for row in rows_of(c.scan())] == ROWS


@pytest.mark.parametrize("down", [0, 7, 40])
def test_an_upsert_repeats_itself(line: Line, place: Place, down: int) -> None:
    made = place.make(SERIES)
    container = line.container(made)
    line.switches.cut_down = down
    container.put(batch(SERIES, ROWS[:10]))
    assert line.switches.cuts == (1 if down < 34 else 0)
    assert rows_of(made.scan()) == ROWS[:10]


def test_an_insert_without_a_key_does_not_repeat_itself(line: Line, place: Place) -> None:
    schema = collection("s STRING", key=0)
    made = place.make(schema)
    container = line.container(made)
    line.switches.cut_down = 0
    with pytest.raises(ConnectionLost):
        container.put(batch(schema, [("once",)]))
    assert rows_of(made.scan()) in ([], [("once",)])


def test_reads_repeat_themselves(line: Line, place: Place) -> None:
    made = place.make(KEYED)
    rows = [(k, "x" * 100) for k in range(500)]
    made.put(batch(KEYED, rows))
    container = line.container(made)
    for cut in (0, 10, 2_000, 30_000):
        line.switches.cut_down = cut
        assert rows_of(container.scan()) == rows
        line.switches.cut_down = cut
        assert sorted(plain(KEYED, container.get(keys(KEYED, [(k,) for k in range(500)])))) == rows
    assert line.switches.cuts == 8


def test_a_paged_read_that_is_cut_is_for_its_reader_to_repeat(line: Line, place: Place) -> None:
    made = place.make(KEYED)
    made.put(batch(KEYED, [(k, "x" * 100) for k in range(500)]))
    container = line.container(made)
    pages = container.query("select *", page_rows=50).batches()
    assert len(next(pages)) == 50
    line.switches.cut_down = 8_000
    with pytest.raises(ConnectionLost):
        list(pages)
    assert len(rows_of(container.query("select *", page_rows=50))) == 500


def test_a_cut_in_a_transaction_commits_nothing_and_locks_nothing(line: Line, place: Place) -> None:
    made = place.make(KEYED)
    container = line.container(made)
    with pytest.raises(ConnectionLost), container.transaction() as tx:  # noqa: PT012 - the second put is cut
        tx.put(batch(KEYED, [(1, "lost"), (2, "lost")]))
        line.switches.cut_down = 0
        tx.put(batch(KEYED, [(3, "lost"), (4, "lost")]))
    made.put(batch(KEYED, [(1, "kept")]))
    assert rows_of(made.scan()) == [(1, "kept")]


def test_a_commit_whose_answer_is_cut_says_that_it_is_not_known(line: Line, place: Place) -> None:
    made = place.make(KEYED)
    container = line.container(made)
    with pytest.raises(ConnectionLost) as caught, container.transaction() as tx:  # noqa: PT012
        tx.put(batch(KEYED, [(1, "a")]))
        line.switches.cut_down = 0
    assert "not known" in caught.value.state
    assert rows_of(made.scan()) in ([], [(1, "a")])


def test_a_slow_line_in_small_pieces(line: Line, place: Place) -> None:
    line.switches.piece = 7
    made = line.store.create_container(place.name(), SERIES)
    made.put(batch(SERIES, ROWS[:50]))
    assert rows_of(made.query("select *", page_rows=9)) == ROWS[:50]


def test_a_node_that_hangs_up_for_a_while(line: Line, place: Place) -> None:
    made = place.make(KEYED)
    container = line.container(made)
    line.proxy.refuse = True
    line.switches.cut_up = 0
    with pytest.raises(ConnectionLost) as caught:
        container.count()
    assert "tried" in notes(caught.value)[-1]
    line.proxy.refuse = False
    assert container.count() == 0


def test_cuts_leave_no_connection_behind(line: Line, place: Place) -> None:
    made = place.make(KEYED)
    container = line.container(made)
    for cut in range(0, 60, 10):
        line.switches.cut_down = cut
        container.count()
        container.put(batch(KEYED, [(cut, "a")]))
    ours = line.store.cluster._idle
    assert sum(map(len, ours.values())) == 1
    assert line.switches.cuts >= 4
    line.store.close()
    established = [c for c in psutil.Process().net_connections("tcp") if c.status == "ESTABLISHED" and c.raddr]
    assert line.proxy.address[1] not in [c.raddr.port for c in established]
