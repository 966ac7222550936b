"""The PostgreSQL classes have what the contract asks for, under the same names and parameters."""

from __future__ import annotations

import inspect

import pytest

from gridferry.source import contract
from gridferry.source.postgres.log.stream import ChangeStream
from gridferry.source.postgres.one_snapshot import PostgresReader, PostgresSnapshot
from gridferry.source.postgres.source import PostgresSource


@pytest.mark.parametrize(
    ("protocol", "kind"),
    [
        (contract.ReadsCatalog, PostgresSource), (contract.ReadsCatalog, PostgresSnapshot),
        (contract.ReadsSnapshot, PostgresSnapshot), (contract.ReadsRows, PostgresReader),
        (contract.ReadsChanges, ChangeStream),
    ],
)  # fmt: skip
def test_every_call_of_the_contract_is_there(protocol, kind):
    calls = {name: member for name, member in vars(protocol).items() if inspect.isfunction(member) and name[0] != "_"}
    assert calls
    for name, member in calls.items():
        wanted = list(inspect.signature(member).parameters)
        offered = list(inspect.signature(getattr(kind, name)).parameters)
        assert offered[: len(wanted)] == wanted, name
