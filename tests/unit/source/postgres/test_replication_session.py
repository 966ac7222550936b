"""What PostgreSQL answers to replication commands -> the error, its kind and the way on."""

from __future__ import annotations

import pytest

from gridferry.errors import SlotInUse, SlotLost, SourceRefused, SourceUnreachable
from gridferry.source.postgres.session.replication_session import mapped_replication, replication_failure

# SQLSTATE, message and detail as PostgreSQL 14 to 18 write them.
ANSWERS = [
    ("55006", 'replication slot "s" is active for PID 1', "", SlotInUse, "wait until"),
    ("42704", 'replication slot "s" does not exist', "", SlotLost, "load --replace"),
    ("55000", 'cannot read from logical replication slot "s"',
     "This slot has been invalidated because it exceeded the maximum reserved size.", SlotLost, "load --replace"),
    ("55000", 'can no longer get changes from replication slot "s"', "", SlotLost, "load --replace"),
    ("55000", 'can no longer access replication slot "s"', "", SlotLost, "load --replace"),
    ("58P01", "requested WAL segment 0000000100000001 has already been removed", "", SlotLost, "load --replace"),
    ("42704", 'publication "p" does not exist', "", SlotLost, "load --replace"),
    ("42710", 'replication slot "s" already exists', "", SourceRefused, "drop-slot"),
    ("55000", "logical decoding requires wal_level >= logical", "", SourceRefused, "wal_level = logical"),
    ("55000", 'logical decoding requires "wal_level" >= "logical"', "", SourceRefused, "wal_level = logical"),
    ("53400", "all replication slots are in use", "", SourceRefused, "max_replication_slots"),
    ("0A000", "logical decoding cannot be used while in recovery", "", SourceRefused, "primary"),
    ("57P01", "terminating connection due to administrator command", "", SourceUnreachable, "same command again"),
    (None, "server closed the connection unexpectedly", "", SourceUnreachable, "same command again"),
]  # fmt: skip


@pytest.mark.parametrize(("sqlstate", "text", "detail", "kind", "step"), ANSWERS)
def test_each_answer_has_its_error(sqlstate, text, detail, kind, step):
    error = replication_failure(sqlstate, text, detail=detail, doing="trying")
    assert type(error) is kind
    assert step in error.next_step
    assert text.split('"')[0].strip() in error.message


def test_a_broken_connection_is_for_later():
    with pytest.raises(SourceUnreachable, match="broke while trying: gone") as caught, mapped_replication("trying"):
        raise OSError("gone")
    assert "come again" in caught.value.state
