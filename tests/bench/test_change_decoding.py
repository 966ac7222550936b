"""The measurement of change decoding, at a tiny size, decodes what it says."""

from __future__ import annotations

from bench.change_decoding import measure_change_decoding


def test_every_change_is_decoded():
    figures = measure_change_decoding(changes=25, rows_per_transaction=10)
    assert (figures.changes, figures.transactions) == (25, 3)
