"""What a Prometheus server sees of a run, read with the parser of Prometheus' own client."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

LIMIT_S = 60.0
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(url: str) -> Samples:
    """Every sample, by name and sorted labels."""
    with urlopen(url, timeout=LIMIT_S) as answer:
        return samples(answer.read().decode())


def samples(text: str) -> Samples:
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return found


def value(found: Samples, name: str, **labels: str) -> float | None:
    """One sample; None if there is none."""
    return found.get((f"gridferry_{name}", tuple(sorted(labels.items()))))


def scrape_until(url: str, seen: Callable[[Samples], bool]) -> Samples:
    """Scrape until something is seen, as a server does."""
    deadline = time.monotonic() + LIMIT_S
    while not seen(found := scrape(url)):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found
