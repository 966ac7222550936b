"""pgoutput's messages -> groups of changes: real ones, made ones, broken ones."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import pgoutput_messages as m

from gridferry.errors import SourceError, StreamBroken
from gridferry.model.change import ChangeBatch, ChangeGroup, Operation, RelationChange, Truncation
from gridferry.model.position import Lsn
from gridferry.plan.plan import ReadAs, SourceColumn
from gridferry.source.postgres.log.decoder import ChangeDecoder

GOLDEN = json.loads((Path(__file__).parents[3] / "golden" / "pgoutput.json").read_text())
CAPTURES = {name: [bytes.fromhex(message) for message in messages] for name, messages in GOLDEN.items()}
WANTED = {
    ("public", "t"): tuple(SourceColumn(name, ReadAs.PLAIN) for name in ("k", "v", "big", "temp", "m", "w")),
    ("public", "u"): (SourceColumn("a", ReadAs.PLAIN), SourceColumn("b", ReadAs.PLAIN)),
}
TWO = [("k", 23, True), ("v", 25, False)]
PAIR = {("public", "t"): (SourceColumn("k", ReadAs.PLAIN), SourceColumn("v", ReadAs.PLAIN))}
T, X = 50, 900  # a table's oid, a transaction's id


def decode(messages, *, wanted=WANTED, **options) -> list[ChangeGroup]:
    groups: list[ChangeGroup] = []
    with closing(ChangeDecoder(wanted, **options)) as decoder:
        for message in messages:
            decoder.receive(message)
            if decoder.ready:
                groups += decoder.drain()
        groups += decoder.drain()
    return groups


def story(groups: list[ChangeGroup]) -> list[tuple[Any, ...]]:
    """Every change and truncation: by table, what was done, the row, the old row."""
    told: list[tuple[Any, ...]] = []
    for part in (part for group in groups for part in group.parts):
        if isinstance(part, Truncation):
            told.append(("truncate", tuple(r.name for r in part.relations), part.cascade, part.restart_identity))
        if isinstance(part, ChangeBatch):
            rows = dict(zip(part.row_changes.tolist(), part.rows.to_pylist(), strict=True))
            olds = dict(zip(part.old_changes.tolist(), part.old.to_pylist(), strict=True))
            for at, operation in enumerate(part.operations.tolist()):
                told.append((part.relation.name, Operation(operation).name, rows.get(at), olds.get(at)))
    return told


def t_row(k, v=None, big=None, temp=None, mood=None, **more):
    return {"k": k, "v": v, "big": big, "temp": temp, "m": mood, **more}


BIG = "x" * 2500
HISTORY = [
    ("t", "INSERT", t_row(1, "a", BIG, 1.5, "calm"), None),
    ("t", "INSERT", t_row(2), None),
    ("t", "UPDATE", t_row(1, "b", None, 1.5, "calm"), None),
    ("t", "UPDATE", t_row(3), {"k": 2}),
    ("t", "DELETE", None, {"k": 3}),
    ("u", "INSERT", {"a": 1, "b": "x"}, None),
    ("u", "UPDATE", {"a": 1, "b": "ä"}, {"a": 1, "b": "x"}),
    ("u", "DELETE", None, {"a": 1, "b": "ä"}),
    ("t", "INSERT", t_row(4, w=5), None),
    ("t", "INSERT", t_row(5, w=None), None),
    ("t", "INSERT", t_row(7, w=None), None),
    ("truncate", ("t", "u"), True, True),
]


@pytest.mark.parametrize("name", CAPTURES)
@pytest.mark.parametrize("group_bytes", [1, 400, 1 << 20])
def test_what_real_servers_sent(name, group_bytes):
    groups = decode(CAPTURES[name], group_bytes=group_bytes)
    assert story(groups) == HISTORY
    described = [part for group in groups for part in group.parts if isinstance(part, RelationChange)]
    assert [(d.now.name, d.before is None) for d in described] == [("t", True), ("u", True), ("t", False)]
    assert [c.name for c in described[-1].now.columns] == ["k", "v", "big", "temp", "m", "w"]
    unchanged = [p.unchanged for g in groups for p in g.parts if isinstance(p, ChangeBatch) and p.unchanged]
    assert [list(masks) for masks in unchanged] == [["big"]]
    positions = [group.position for group in groups if group.position is not None]
    assert positions == sorted(set(positions))
    assert groups[-1].complete


@pytest.mark.parametrize("name", ["PostgreSQL 16, whole", "PostgreSQL 18, streamed"])
@pytest.mark.slow
def test_cut_off_anywhere_it_says_so(name):
    """Each message of a capture, cut at each byte, after those before it."""
    messages = CAPTURES[name]
    tried = set()
    for at, message in enumerate(messages):
        if message in tried or len(message) > 400:
            continue
        tried.add(message)
        for end in range(len(message)):
            with pytest.raises(StreamBroken):
                decode([*messages[:at], message[:end], *_to_the_end(messages, at)])
        with pytest.raises(StreamBroken):
            decode([*messages[:at], message + b"\0", *_to_the_end(messages, at)])


def _to_the_end(messages, at):
    """For a message inside a block: what follows up to its commit, without which nobody looks at it."""
    depth_open = max((i for i in range(at) if messages[i][:1] == b"S"), default=-1)
    closed = max((i for i in range(at) if messages[i][:1] == b"E"), default=-1)
    if depth_open <= closed:
        return []
    xid = messages[depth_open][1:5]
    end = next((i for i in range(at, len(messages)) if messages[i][:1] == b"c" and messages[i][1:5] == xid), None)
    if end is None or any(i[:1] == b"A" for i in messages[at:end]):
        return [m.STREAM_STOP, m.STREAM_STOP]  # rolled back later: shown broken by the blocks' order instead
    return messages[at + 1 : end + 1]


@given(st.data())
def test_changed_bytes_give_changes_or_our_error(data):
    messages = list(CAPTURES[data.draw(st.sampled_from(sorted(CAPTURES)))])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(messages) - 1))
        changed = bytearray(messages[at])
        changed[data.draw(st.integers(0, min(len(changed), 120) - 1))] = data.draw(st.integers(0, 255))
        messages[at] = bytes(changed)
    try:
        decode(messages)
    except StreamBroken:
        return


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_noise_gives_our_error(noise):
    head = [m.begin(10), m.relation(T, TWO)]
    tags = b"BCORYMIUDTSEcAbPKrpx"
    messages = [bytes([tags[n[0] % len(tags)]]) + n[1:] if n else n for n in noise]
    try:
        decode([*head, *messages], wanted=PAIR)
    except StreamBroken:
        return


VALUE = st.one_of(st.none(), st.text(max_size=8).map(str.encode))
SENT = st.one_of(VALUE, st.just(m.UNCHANGED))


@st.composite
def changes(draw):
    """Messages over two tables of three text columns, keyed by the first or in full, and what they mean."""
    messages: list[bytes] = []
    meant: list[tuple[Any, ...]] = []
    for _ in range(draw(st.integers(0, 25))):
        oid, full = draw(st.sampled_from([(1, False), (2, True)]))
        key, letter = draw(st.text(max_size=4).map(str.encode)), b"O" if full else b"K"
        old = [key, draw(VALUE), draw(VALUE)] if full else [key, None, None]
        kind = draw(st.sampled_from("IUKD"))
        if kind == "I":
            new = [draw(VALUE) for _ in range(3)]
            messages.append(m.insert(oid, new))
            meant.append((oid, Operation.INSERT, new, None))
        elif kind == "U":
            new = [draw(SENT) for _ in range(3)]
            messages.append(m.update(oid, new))
            meant.append((oid, Operation.UPDATE, new, None))
        elif kind == "K":
            new = [draw(SENT) for _ in range(3)]
            messages.append(m.update(oid, new, old=old, letter=letter))
            known = [o if n is m.UNCHANGED and o is not None else n for n, o in zip(new, old, strict=True)]
            meant.append((oid, Operation.UPDATE, known, old if full else old[:1]))
        else:
            messages.append(m.delete(oid, old, letter=letter))
            meant.append((oid, Operation.DELETE, None, old if full else old[:1]))
    return messages, meant


@given(changes())
def test_any_changes_are_read_as_they_were_written(made):
    messages, meant = made
    columns = [("a", 25, True), ("b", 25, False), ("c", 25, False)]
    described = [
        m.relation(1, columns, name="one"),
        m.relation(2, [(n, o, True) for n, o, _ in columns], name="two", identity="f"),
    ]
    wanted = {("public", n): tuple(SourceColumn(c, ReadAs.PLAIN) for c in "abc") for n in ("one", "two")}
    (group,) = decode([m.begin(10), *described, *messages, m.commit(10, 11)], wanted=wanted)
    found = {}
    for batch in (p for p in group.parts if isinstance(p, ChangeBatch)):
        assert set(batch.commits.tolist()) == {10}
        news = dict(zip(batch.row_changes.tolist(), range(batch.rows.num_rows), strict=True))
        olds = dict(zip(batch.old_changes.tolist(), batch.old.to_pylist(), strict=True))
        for at, order in enumerate(batch.order.tolist()):
            new = None if at not in news else _new_row(batch, news[at])
            old = None if at not in olds else [None if v is None else v.encode() for v in olds[at].values()]
            found[order] = (batch.relation.oid, batch.operations[at], new, old)
    assert [found[order] for order in sorted(found)] == meant


def _new_row(batch: ChangeBatch, row: int) -> list[object]:
    values: list[object] = []
    for name, value in batch.rows.slice(row, 1).to_pylist()[0].items():
        if name in batch.unchanged and batch.unchanged[name][row]:
            assert value is None
            values.append(m.UNCHANGED)
        else:
            values.append(None if value is None else value.encode())
    return values


def test_commits_positions_and_order_over_many_transactions():
    head = [m.relation(T, TWO), m.relation(T + 1, TWO, name="u")]
    small = [
        message
        for i in range(10)
        for message in (m.begin(10 * i + 1), m.insert(T + i % 2, [b"%d" % i, None]), m.commit(10 * i + 1, 10 * i + 2))
    ]
    wanted = {**PAIR, ("public", "u"): PAIR["public", "t"]}
    (group,) = decode([*head, *small], wanted=wanted)
    assert (group.position, group.transactions, group.changes, group.complete) == (Lsn(92), 10, 10, True)
    one, two = (p for p in group.parts if isinstance(p, ChangeBatch))
    assert one.order.tolist() == [0, 2, 4, 6, 8]
    assert two.commits.tolist() == [11, 31, 51, 71, 91]
    assert one.operations.dtype == np.uint8


def test_a_group_ends_on_a_commit_unless_the_transaction_is_too_large():
    rows = [m.insert(T, [b"1", b"x" * 100])] * 40
    small, large = [m.begin(10), *rows[:5], m.commit(10, 11)], [m.begin(20), *rows, m.commit(20, 21)]
    groups = decode([m.relation(T, TWO), *small, *large], wanted=PAIR, group_bytes=1000)
    assert [(g.position, g.complete) for g in groups] == [
        (Lsn(11), False),  # with the large one's first rows
        *[(None, False)] * (len(groups) - 2),
        (Lsn(21), True),
    ]
    assert sum(g.changes for g in groups) == 45
    assert max(g.changes for g in groups) <= 11


def test_blocks_of_open_transactions_interleave_and_only_committed_ones_are_seen():
    def block(xid, key, *, first, subxid=None):
        inner = m.in_block(m.insert(T, [key, None]), subxid or xid)
        described = [m.in_block(m.relation(T, TWO), xid)] if first else []
        return [m.stream_start(xid, first=first), *described, inner, m.STREAM_STOP]

    messages = [
        *block(X, b"1", first=True),
        *block(X + 1, b"100", first=True),
        *block(X, b"2", first=False, subxid=X + 10),
        *block(X, b"3", first=False, subxid=X + 11),
        m.stream_abort(X, X + 10),
        m.stream_abort(X, X + 99),  # a subtransaction that changed nothing of ours
        *block(X, b"4", first=False),
        m.stream_abort(X + 1, X + 1, parallel=True),
        m.begin(5), m.relation(T, TWO), m.insert(T, [b"0", None]), m.commit(5, 6),
        m.stream_commit(X, 10, 11),
    ]  # fmt: skip
    groups = decode(messages, wanted=PAIR)
    assert [row["k"] for _, _, row, _ in story(groups)] == [0, 1, 4]
    assert [group.position for group in groups] == [Lsn(6), Lsn(11)]


def test_the_server_may_say_how_far_it_is():
    decoder = ChangeDecoder(PAIR)
    decoder.heard(Lsn(5))
    assert [(g.parts, g.position) for g in decoder.drain()] == [((), Lsn(5))]
    assert list(decoder.drain()) == []
    decoder.receive(m.begin(20))
    decoder.heard(Lsn(30))  # not past a transaction that is not complete
    assert list(decoder.drain()) == []


def test_changes_of_other_tables_and_other_columns_are_left_out():
    messages = [m.relation(T, TWO), m.relation(9, TWO, name="other"), m.begin(1), m.insert(9, [b"1", None])]
    messages += [m.insert(T, [b"1", b"x"]), m.commit(1, 2)]
    (group,) = decode(messages, wanted={("public", "t"): (SourceColumn("v", ReadAs.PLAIN),)})
    assert story([group]) == [("t", "INSERT", {"v": "x"}, None)]


BEGUN = [m.relation(T, TWO), m.begin(10)]
ROW = m.insert(T, [b"1", None])


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([ROW], "outside of any transaction"),
        ([*BEGUN, m.insert(T + 1, [b"1", None])], "did not describe"),
        ([*BEGUN, m.insert(T, [b"1"])], "number of columns"),
        ([*BEGUN, ROW.replace(b"t", b"b")], "binary form"),
        ([*BEGUN, m.insert(T, [b"one", None])], "int32"),
        ([*BEGUN, m.begin(20)], "inside another"),
        ([*BEGUN, m.commit(11, 12)], "not that of the transaction"),
        ([m.commit(11, 12)], "not that of the transaction"),
        ([*BEGUN, m.commit(10, 12), m.begin(11), m.commit(11, 12)], "comes after"),
        ([b"b" + bytes(30)], "begin prepare is two-phase commit"),
        ([b"Z"], "of an unknown kind"),
        ([b""], "is empty"),
        ([*BEGUN, m.stream_start(X, first=True)], "inside another transaction"),
        ([m.stream_start(X, first=False)], "is missing"),
        ([m.stream_start(X, first=True), m.STREAM_STOP, m.stream_start(X, first=True)], "is missing"),
        ([m.stream_start(X, first=True), m.begin(1)], "inside a block"),
        ([m.stream_commit(X, 1, 2)], "without a beginning"),
        ([m.relation(T, [("k", 23, True)] * 2)], "two columns of one name"),
        ([m.relation(T, TWO, identity="q")], "replica identity"),
        ([*BEGUN, b"T" + m.number(1, 4) + b"\0" + m.number(T + 1, 4)], "did not describe"),
        ([m.relation(T, TWO), b"T" + m.number(1, 4) + b"\0" + m.number(T, 4)], "outside of any"),
        ([*BEGUN, m.delete(T, [m.UNCHANGED, None])], "without its key column k"),
    ],
)
def test_what_does_not_belong_is_refused(messages, reason):
    with pytest.raises(StreamBroken, match=reason):
        decode(messages, wanted=PAIR)


@pytest.mark.parametrize("subxid", [X, X + 1])
def test_of_a_transaction_that_was_never_sent_a_roll_back_is_nothing(subxid):
    decoder = ChangeDecoder(PAIR)
    decoder.receive(m.stream_abort(X, subxid))
    assert decoder.open_transactions == 0
    assert list(decoder.drain()) == []


def test_a_large_transaction_is_drained_before_the_next_message():
    decoder = ChangeDecoder(PAIR)
    for message in (m.stream_start(X, first=True), m.STREAM_STOP, m.stream_commit(X, 1, 2)):
        decoder.receive(message)
    assert decoder.ready
    with pytest.raises(SourceError, match="must be drained"):
        decoder.receive(m.begin(3))
    decoder.close()
