"""Many requests at once: sent ahead over one connection a node, answers gathered in the order of the requests."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from gridferry.errors import GridDBError
from gridferry.griddb.net.cluster import NODE_TROUBLE, Cluster, Node
from gridferry.griddb.net.connection import Connection
from gridferry.griddb.wire.octets import Reader, Writer
from gridferry.griddb.wire.statement import Statement

WINDOW = 256
WINDOW_BYTES = 1 << 20  # unanswered: two ends that both only write would wait for each other


class Message(Protocol):
    """A request as far as it is sent."""

    statement: ClassVar[Statement]

    def write(self, out: Writer) -> None:
        """Write the body."""


@dataclass(frozen=True)
class Ask:
    """One request to the owner of a partition; `asked` names it in messages."""

    partition: int
    message: Message
    asked: str


def ask_all(cluster: Cluster, asks: Sequence[Ask], *, repeat: bool = True) -> list[Reader]:
    """The answers' bodies, in the order of `asks`.

    All are sent even if one is refused; then the first refusal is raised. With `repeat` all are sent again while
    nodes are in trouble, so they must be repeatable.
    Raises: StatementError and its kin; node trouble.
    """
    if not asks:
        return []
    if repeat:
        return cluster.retry(lambda: _ask_all(cluster, asks))
    return _ask_all(cluster, asks)


def _ask_all(cluster: Cluster, asks: Sequence[Ask]) -> list[Reader]:
    by_node: dict[Node, list[int]] = defaultdict(list)
    for index, ask in enumerate(asks):
        by_node[cluster.owner(ask.partition)].append(index)
    answers: list[Reader | GridDBError | None] = [None] * len(asks)
    for node, indexes in by_node.items():
        with cluster.connection(node) as connection:
            _ask_node(connection, asks, indexes, answers)
    found: list[Reader] = []
    for answer in answers:
        if isinstance(answer, GridDBError):
            raise answer
        if answer is not None:
            found.append(answer)
    return found


def _ask_node(
    connection: Connection, asks: Sequence[Ask], indexes: Sequence[int], answers: list[Reader | GridDBError | None]
) -> None:
    sent: deque[tuple[int, int]] = deque()
    sizes: deque[int] = deque()
    unanswered = 0
    for index in indexes:
        ask = asks[index]
        body = Writer()
        ask.message.write(body)
        size = body.size
        while sent and (len(sent) >= WINDOW or unanswered + size > WINDOW_BYTES):
            _gather(connection, sent, answers)
            unanswered -= sizes.popleft()
        number = connection.send_body(ask.message.statement, body, partition=ask.partition, asked=ask.asked)
        sent.append((index, number))
        sizes.append(size)
        unanswered += size
    while sent:
        _gather(connection, sent, answers)


def _gather(connection: Connection, sent: deque[tuple[int, int]], answers: list[Reader | GridDBError | None]) -> None:
    index, number = sent.popleft()
    try:
        answers[index] = connection.receive(number)
    except NODE_TROUBLE:
        raise
    except GridDBError as error:
        if connection.broken:
            raise
        answers[index] = error
