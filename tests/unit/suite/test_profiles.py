"""The profiles of examples, and that every test takes its number from them."""

from __future__ import annotations

import re
from pathlib import Path

import hypothesis
import pytest
from tests import profiles

TESTS = Path(__file__).parents[2]
A_NUMBER_OF_ITS_OWN = re.compile(r"max_examples\s*=\s*\d")


def test_a_profile_is_chosen_by_its_name() -> None:
    assert profiles.chosen_profile({}) == "default"
    assert profiles.chosen_profile({profiles.VARIABLE: "thorough"}) == "thorough"
    with pytest.raises(ValueError, match="quick, default, thorough"):
        profiles.chosen_profile({profiles.VARIABLE: "quik"})


def test_shares_grow_with_the_profile_and_are_never_one() -> None:
    for percent in (6, 15, 50, 300):
        shares = [profiles.share(percent, profile) for profile in profiles.PROFILES]
        assert shares == sorted(set(shares))
        assert shares[0] >= 2


def test_the_profile_is_in_force() -> None:
    assert hypothesis.settings().max_examples == profiles.PROFILES[profiles.PROFILE]
    assert hypothesis.settings().deadline is None


def test_no_test_has_a_number_of_its_own() -> None:
    own = [str(file) for file in TESTS.rglob("*.py") if A_NUMBER_OF_ITS_OWN.search(file.read_text())]
    assert own == []
