"""How many examples hypothesis makes for a property: a profile, chosen by GRIDFERRY_HYPOTHESIS.

`default` is what `make test` plays, `quick` a tenth for `make quick`, `thorough` ten times as many for a long night.
Most tests take the profile's number. A test whose examples cost much or little takes one of the shares below.
"""

from __future__ import annotations

import os

import hypothesis

PROFILES = {"quick": 10, "default": 100, "thorough": 1000}
VARIABLE = "GRIDFERRY_HYPOTHESIS"


def chosen_profile(environment: dict[str, str]) -> str:
    """The name of the profile that the environment asks for. Raises: ValueError where there is none of that name."""
    name = environment.get(VARIABLE) or "default"
    if name not in PROFILES:
        raise ValueError(f"{VARIABLE}={name} is no profile of examples; give one of {', '.join(PROFILES)}")
    return name


def share(percent: int, profile: str) -> int:
    """So much of a profile's number, and never fewer than two: one example shows nothing of a property."""
    return max(2, PROFILES[profile] * percent // 100)


PROFILE = chosen_profile(dict(os.environ))

for name, number in PROFILES.items():
    # Machines are shared: how long an example or its making takes is nobody's mistake.
    hypothesis.settings.register_profile(
        name, max_examples=number, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
hypothesis.settings.load_profile(PROFILE)

# For each of the many kinds that one test is parametrized with.
EACH_KIND = share(6, PROFILE)
# An example asks a server.
FEW = share(15, PROFILE)
# An example is a whole image of rows.
SOME = share(50, PROFILE)
# An example is cheap, or its space is large.
MANY = share(300, PROFILE)
