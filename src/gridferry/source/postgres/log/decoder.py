"""The change stream as a state machine, without I/O: messages of pgoutput go in, groups of changes come out.

Changes are held as the bytes they came in, up to a bounded size, and are taken apart together. A transaction that is
streamed while it is open is kept apart until it is committed; of one that is rolled back nothing is ever seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gridferry.errors import SourceError
from gridferry.model.change import ChangedRelation, ChangeGroup, ChangePart, RelationChange, Truncation
from gridferry.model.position import Lsn
from gridferry.plan.plan import MADE, FormerColumns, ReadAs, SourceColumn
from gridferry.source.postgres.log import pgoutput
from gridferry.source.postgres.log.pgoutput import ROW_TAGS, STREAMED_TAGS, TWO_PHASE_TAGS, Begin, Commit, Tag, broken
from gridferry.source.postgres.log.spill import Spill
from gridferry.source.postgres.log.tuples import ReadColumn, RelationReader, change_batches
from gridferry.source.postgres.log.values import OIDS, decoder_for

GROUP_BYTES = 4 << 20  # a group is handed over at the first commit after this many bytes, or at twice as many
_PER_ROW = 64  # bytes that a message costs beside its own

Wanted = Mapping[tuple[str, str], tuple[SourceColumn, ...]]
OidNames = Mapping[int, tuple[str, str]]
Former = Mapping[tuple[str, str], tuple[FormerColumns, ...]]


class ChangeDecoder:
    """Decodes one connection's stream from its beginning. Belongs to one thread.

    `receive` each message in order; when `ready`, or when no further message is at hand, iterate `drain`.
    """

    def __init__(
        self,
        wanted: Wanted,
        *,
        names: OidNames | None = None,
        former: Former | None = None,
        group_bytes: int = GROUP_BYTES,
    ) -> None:
        """Args: `wanted`: by (schema, table), the columns to hand on and how they are read, as
        `TablePlan.source_columns`; other tables' changes are dropped. `names`: what wanted tables are called now, by
        oid: the log calls a table as it was called when it was changed. `former`: how wanted tables were described
        before changes of their columns that were followed already.
        """
        self._wanted = wanted
        self._names = names or {}
        self._former = dict(former or {})
        self._base_types: dict[int, int] = {}  # of domains
        self._group_bytes = group_bytes
        self.ready = False
        self._relations: dict[int, ChangedRelation] = {}
        self._readers: dict[int, RelationReader | None] = {}
        self._begun: Begin | None = None
        self._rows: list[bytes] = []
        self._marks: list[tuple[int, int]] = []  # from which row on, in a transaction committed where
        self._size = 0
        self._order = 0
        self._parts: list[ChangePart] = []
        self._position: int | None = None
        self._transactions = 0
        self._committed_at_us: int | None = None
        self._spills: dict[int, Spill] = {}  # streamed transactions that are still open
        self._block: int | None = None  # the one whose block is open
        self._replay: tuple[Spill, Commit] | None = None

    @property
    def in_transaction(self) -> bool:
        """True while a transaction's commit is still to come, of those that are not streamed while open."""
        return self._begun is not None

    @property
    def holding(self) -> bool:
        """True while there are changes, or a position, to hand over."""
        return bool(self._rows or self._parts) or self._position is not None

    @property
    def open_transactions(self) -> int:
        """How many streamed transactions are kept apart now."""
        return len(self._spills)

    def table_of(self, relation: ChangedRelation) -> tuple[str, str]:
        """Which of the wanted tables, by schema and name, a described one is; its own name where it is none."""
        name = (relation.schema, relation.name)
        today = self._names.get(relation.oid, name)
        return today if today in self._wanted else name

    def receive(self, message: bytes) -> None:
        """Take one message. Raises: StreamBroken if it is malformed or out of place; the decoder is then of no use."""
        if self._replay is not None:
            raise SourceError("a large transaction was committed and must be drained before the next message")
        if not message:
            raise broken("a message is empty")
        tag = message[0]
        if self._block is not None:
            self._receive_in_block(tag, message, self._block)
        elif tag in ROW_TAGS:
            self._row(message)
        else:
            control = self._CONTROL.get(tag)
            if control is None:
                what = "two-phase commit, which was not asked for" if tag in TWO_PHASE_TAGS else "of an unknown kind"
                raise broken(f"the message {pgoutput.tag_name(message)} is {what}")
            control(self, message)

    def heard(self, end: Lsn) -> None:
        """The server has sent everything that was committed before `end`."""
        if self._begun is None and self._replay is None:
            self._position = max(end.value, self._position or 0)

    def drain(self) -> Iterator[ChangeGroup]:
        """Everything that can be handed over, in groups of bounded size; the changes of an open transaction too, once
        they are too many to wait. To be iterated to its end. Raises: StreamBroken, SourceError.
        """
        if self._replay is not None:
            spill, commit = self._replay
            # What came before the large transaction is whole: hand it over, so that it can be confirmed.
            yield from self._take()
            self._open(Begin(commit.commit, commit.at_us, 0))
            for message in spill.read():
                self._apply(message)
                if self._size >= 2 * self._group_bytes:
                    yield from self._take()
            spill.close()
            self._replay = None
            self._close(commit)
        self.ready = False
        yield from self._take()

    def close(self) -> None:
        """Give back what open transactions hold; safe to call twice."""
        for spill in self._spills.values():
            spill.close()
        self._spills.clear()
        if self._replay is not None:
            self._replay[0].close()
            self._replay = None

    def _receive_in_block(self, tag: int, message: bytes, xid: int) -> None:
        """A message between stream start and stop; inside, it carries the id of its own (sub)transaction."""
        if tag in STREAMED_TAGS:
            if len(message) < 5:
                raise broken(f"the message {pgoutput.tag_name(message)} is cut off")
            self._spills[xid].append(message[:1] + message[5:], subxid=int.from_bytes(message[1:5], "big"))
        elif tag == Tag.STREAM_STOP and len(message) == 1:
            self._block = None
        elif tag == Tag.ORIGIN:
            pgoutput.check_origin(message)
        else:
            raise broken(f"the message {pgoutput.tag_name(message)} is inside a block of an open transaction")

    def _apply(self, message: bytes) -> None:
        """A message of a streamed transaction, once that is committed."""
        if message[0] in ROW_TAGS:
            self._row(message)
        else:
            self._CONTROL[message[0]](self, message)

    def _row(self, message: bytes) -> None:
        if self._begun is None:
            raise broken("a change is outside of any transaction")
        self._rows.append(message)
        self._size += len(message) + _PER_ROW
        if self._size >= 2 * self._group_bytes:
            self.ready = True

    def _begin(self, message: bytes) -> None:
        self._open(pgoutput.decode_begin(message))

    def _commit(self, message: bytes) -> None:
        self._close(pgoutput.decode_commit(message))

    def _open(self, begin: Begin) -> None:
        if self._begun is not None:
            raise broken("a transaction begins inside another")
        self._begun = begin
        self._marks.append((len(self._rows), begin.commit))

    def _close(self, commit: Commit) -> None:
        if self._begun is None or self._begun.commit != commit.commit:
            raise broken("a commit is not that of the transaction which is open")
        if self._position is not None and commit.end <= self._position and self._transactions:
            raise broken(f"a commit at {Lsn(commit.end)} comes after one at {Lsn(self._position)}")
        self._begun = None
        self._position = commit.end
        self._committed_at_us = commit.at_us
        self._transactions += 1
        self._size += _PER_ROW
        if self._size >= self._group_bytes:
            self.ready = True

    def _relation(self, message: bytes) -> None:
        now = self._as_today(pgoutput.decode_relation(message))
        before = self._relations.get(now.oid)
        if now == before:
            return
        self._decode_rows()  # what came so far has the old columns
        self._relations[now.oid] = now
        self._readers[now.oid] = self._reader(now)
        if self._readers[now.oid] is not None:
            self._parts.append(RelationChange(now, before))

    def _as_today(self, relation: ChangedRelation) -> ChangedRelation:
        """The description with the names of now, where it is one from before a change that was followed already."""
        table = self.table_of(relation)
        names = tuple(column.name for column in relation.columns)
        types = tuple(f"{column.type_oid}:{column.typmod}" for column in relation.columns)
        for former in self._former.get(table, ()):
            if (former.names, former.types) == (names, types):
                columns = zip(relation.columns, former.now, strict=True)
                # One that is not read any more gets a name that no column has.
                renamed = tuple(replace(column, name=now or f"\0{column.name}") for column, now in columns)
                return replace(relation, columns=renamed, former=True)
        self._former.pop(table, None)  # nothing from before comes behind it
        return relation

    def _type(self, message: bytes) -> None:
        oid, schema, name = pgoutput.decode_type(message)
        base = OIDS.get(name) if schema == "pg_catalog" else None
        if base is not None:
            self._base_types[oid] = base

    def _reader(self, relation: ChangedRelation) -> RelationReader | None:
        columns = self._wanted.get(self.table_of(relation))
        if columns is None:
            return None
        read_as = {column.name: column.read_as for column in columns}
        by_name = {}
        for place, column in enumerate(relation.columns):
            base_type = self._base_types.get(column.type_oid, column.type_oid)
            decode = decoder_for(base_type, read_as.get(column.name, ReadAs.PLAIN))
            by_name[column.name] = ReadColumn(place, column.name, decode)
        rows = tuple(by_name[column.name] for column in columns if column.name in by_name)
        return RelationReader(
            relation, rows, tuple(by_name[name] for name in relation.key), hashed=_hashed(columns, by_name)
        )

    def _truncate(self, message: bytes) -> None:
        truncate = pgoutput.decode_truncate(message)
        if self._begun is None:
            raise broken("a truncate is outside of any transaction")
        if any(oid not in self._relations for oid in truncate.relations):
            raise broken("it truncates a table that it did not describe before")
        emptied = tuple(self._relations[oid] for oid in truncate.relations if self._readers[oid] is not None)
        if emptied:
            self._decode_rows()
            self._parts.append(
                Truncation(
                    emptied,
                    cascade=truncate.cascade,
                    restart_identity=truncate.restart_identity,
                    commit=Lsn(self._begun.commit),
                )
            )

    def _stream_start(self, message: bytes) -> None:
        start = pgoutput.decode_stream_start(message)
        if self._begun is not None:
            raise broken("a block of an open transaction is inside another transaction")
        if start.first == (start.xid in self._spills):
            raise broken(f"a block of the open transaction {start.xid} is missing")
        if start.first:
            self._spills[start.xid] = Spill()
        self._block = start.xid

    def _stream_commit(self, message: bytes) -> None:
        commit = pgoutput.decode_stream_commit(message)
        self._replay = (self._finished(commit.xid), commit.commit)
        self.ready = True

    def _stream_abort(self, message: bytes) -> None:
        abort = pgoutput.decode_stream_abort(message)
        # PostgreSQL 18 sends this too of a transaction that it found rolled back before it had sent anything of it.
        if abort.xid not in self._spills:
            return
        if abort.xid == abort.subxid:
            self._finished(abort.xid).close()
        else:
            self._spills[abort.xid].roll_back(abort.subxid)

    def _finished(self, xid: int) -> Spill:
        if xid not in self._spills or self._begun is not None:
            raise broken(f"the open transaction {xid} ends without a beginning, or inside another")
        return self._spills.pop(xid)

    def _decode_rows(self) -> None:
        """Turn the rows held so far into batches, under the descriptions now in force."""
        batches = change_batches(self._rows, self._commits(), readers=self._readers, first_order=self._order)
        self._parts += batches
        self._order += len(self._rows)
        self._rows.clear()
        self._marks = [] if self._begun is None else [(0, self._begun.commit)]

    def _commits(self) -> NDArray[np.uint64]:
        """The commit position of each row held."""
        rows = np.array([row for row, _ in self._marks] + [len(self._rows)], np.int64)
        return np.repeat(np.array([lsn for _, lsn in self._marks], np.uint64), np.diff(rows))

    def _take(self) -> Iterator[ChangeGroup]:
        """The group of everything held, if there is anything."""
        self._decode_rows()
        if not self._parts and self._position is None:
            return
        group = ChangeGroup(
            tuple(self._parts),
            None if self._position is None else Lsn(self._position),
            complete=self._begun is None,
            transactions=self._transactions,
            committed_at_us=self._committed_at_us,
        )
        self._parts, self._position, self._transactions, self._committed_at_us = [], None, 0, None
        self._size = self._order = 0
        yield group

    _CONTROL: Mapping[int, Callable[[ChangeDecoder, bytes], None]] = {
        Tag.BEGIN: _begin,
        Tag.COMMIT: _commit,
        Tag.RELATION: _relation,
        Tag.TRUNCATE: _truncate,
        Tag.TYPE: _type,
        Tag.ORIGIN: lambda _, message: pgoutput.check_origin(message),
        Tag.MESSAGE: lambda _, message: pgoutput.check_message(message),
        Tag.STREAM_START: _stream_start,
        Tag.STREAM_COMMIT: _stream_commit,
        Tag.STREAM_ABORT: _stream_abort,
    }


def _hashed(columns: Sequence[SourceColumn], by_name: Mapping[str, ReadColumn]) -> tuple[int, ...] | None:
    """The places of what a generated key is made of; None without one, or where the log does not have all of it."""
    if not any(column.read_as is ReadAs.ROW_HASH for column in columns):
        return None
    wanted = [column.name for column in columns if column.read_as not in MADE]
    return tuple(by_name[name].place for name in wanted) if all(name in by_name for name in wanted) else None
