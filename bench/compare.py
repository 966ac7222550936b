"""`make bench-compare`: the figures of a run set against those of an earlier one, as ratios.

`python -m bench.compare --old FILE [--old FILE ...] [--new FILE] [--band PERCENT] [--fail-over PERCENT]`. The files
are those of `python -m bench --json FILE`. Without --new the parts of the old file are measured now, at its size.

A figure counts as changed only outside of its noise band. Of one old file that is --band for all. Of several runs of
one commit it is what they differ by among themselves, where that is more; the middle one is what is set against.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.figures import RATIO, VERSION, WIDTH, number
from rich.console import Console
from rich.table import Table

from bench import __main__ as bench

BAND = 25.0  # percent; what two runs of one commit may well differ by where other programs run beside them
KEPT = Path("bench-new.json")
_BUSY = 0.5  # of the processors in use before the run

Document = Mapping[str, Any]


class NotComparable(Exception):
    """A file is no document of the benchmark, or two of them have nothing to compare."""


@dataclass(frozen=True)
class Change:
    """One figure of both runs. `band` is its noise, as a share: 0.25 is 25 %."""

    part: str
    name: str
    unit: str
    old: float
    new: float
    gains_by_more: bool
    band: float

    @property
    def gain(self) -> float:
        """How many times as good the new one is: 2.0 is twice as fast, or half the memory."""
        return self.new / self.old if self.gains_by_more else self.old / self.new

    @property
    def verdict(self) -> str:
        """better, worse, or same: within the noise, which is as wide to both sides."""
        if self.gain > 1 + self.band:
            return "better"
        return "worse" if self.worse_by > self.band else "same"

    @property
    def worse_by(self) -> float:
        """How much the new one is worse, as a share of what is good: 0.5 is half as much again of time. Else 0."""
        return max(0.0, 1 / self.gain - 1)


@dataclass(frozen=True)
class Comparison:
    """What two runs have in common, what only one of them has, and what to know when reading it."""

    changes: tuple[Change, ...]
    only_old: tuple[str, ...]
    only_new: tuple[str, ...]
    warnings: tuple[str, ...]

    def worse_than(self, share: float) -> tuple[Change, ...]:
        """The figures that are worse by more than `share` and than their noise."""
        return tuple(c for c in self.changes if c.verdict == "worse" and c.worse_by > share)


def read(path: Path) -> Document:
    """The document in a file. Raises: NotComparable."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NotComparable(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise NotComparable(f"{path} is no JSON") from None
    if not isinstance(document, dict) or document.get("version") != VERSION or "figures" not in document:
        raise NotComparable(f"{path} is not what `python -m bench --json` writes (version {VERSION})")
    return document


def compare(olds: Sequence[Document], new: Document, *, band: float = BAND / 100) -> Comparison:
    """The new run against the middle of the old ones.

    Runs on another machine can be compared by their ratios only, as a figure by another of the same run.
    Raises: NotComparable for runs of different sizes, or without a figure in common.
    """
    sizes = {document.get("size") for document in (*olds, new)}
    if len(sizes) > 1:
        raise NotComparable(f"the runs have different sizes: {', '.join(sorted(map(str, sizes)))}")
    one_machine = len({_machine(document) for document in (*olds, new)}) == 1
    before = [_figures(document) for document in olds]
    after = _figures(new)
    common = [key for key in after if all(key in figures for figures in before)]
    changes = tuple(
        change
        for key in common
        if one_machine or after[key]["unit"] == RATIO
        if (change := _change([figures[key] for figures in before], after[key], band=band)) is not None
    )
    if not changes:
        raise NotComparable("the runs have no figure in common that can be compared")
    every = {key for figures in before for key in figures}
    return Comparison(
        changes,
        only_old=_words(every - set(common)),
        only_new=_words(after.keys() - set(common)),
        warnings=tuple(_warnings(olds, new, one_machine=one_machine)),
    )


def _figures(document: Document) -> dict[tuple[str, str], dict[str, Any]]:
    return {(f["part"], f["name"]): {**f, "unit": f["unit"] or RATIO} for f in document["figures"]}


def _change(olds: Sequence[Mapping[str, Any]], new: Mapping[str, Any], *, band: float) -> Change | None:
    """None where a value is 0: a clock that did not move has no ratio."""
    values = [float(old["value"]) for old in olds]
    if min(*values, float(new["value"])) <= 0:
        return None
    gains_by_more = new["better"] == "more" if "better" in new else _gains_by_more(new)
    middle, noise = statistics.median(values), max(values) / min(values) - 1
    return Change(
        new["part"], new["name"], new["unit"], middle, float(new["value"]), gains_by_more, max(band, noise)
    )  # fmt: skip


def _gains_by_more(figure: Mapping[str, Any]) -> bool:
    return bool(figure["more_is_better"]) or str(figure["unit"]).endswith("/s")


def _machine(document: Document) -> tuple[object, object]:
    machine = document["machine"]
    return machine["model"], machine["usable"]


def _words(keys: set[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(f"{part}: {name}" for part, name in sorted(keys))


def _warnings(olds: Sequence[Document], new: Document, *, one_machine: bool) -> list[str]:
    found = []
    if not one_machine:
        found.append("the runs are of different machines: only their ratios are compared")
    for document in (*olds, new):
        machine = document["machine"]
        load = machine["load_average"][0]
        if load > _BUSY * machine["usable"]:
            found.append(
                f"the machine was busy before the run of {document['taken_at']}: load average {load:.1f} on"
                f" {machine['usable']} processors"
            )
    if len({document["commit"] for document in olds}) > 1:
        found.append("the old runs are of different commits: what they differ by is not only noise")
    for document in olds[:1]:
        other = [
            f"{name} {document['versions'].get(name, 'none')} -> {version}"
            for name, version in new["versions"].items()
            if document["versions"].get(name) != version
        ]
        found += [f"other versions: {', '.join(other)}"] if other else []
    for failed in new["failed"]:
        found.append(f"failed in the new run: {failed}")
    return found


_STYLE = {"better": "green", "worse": "red", "same": "dim"}


def table(found: Comparison) -> Table:
    """The figures, a section a part."""
    shown = Table(width=WIDTH, title="new against old (gain: how many times as good)", title_justify="left")
    shown.add_column("", ratio=1)
    for heading in ("old", "new", "gain", "noise", ""):
        shown.add_column(heading, justify="left" if not heading else "right", no_wrap=True)
    for part in dict.fromkeys(change.part for change in found.changes):
        shown.add_section()
        shown.add_row(f"[bold]{part}[/]")
        for change in (c for c in found.changes if c.part == part):
            unit = "" if change.unit == RATIO else f" {change.unit}"
            shown.add_row(
                f"  {change.name}",
                f"{number(change.old)}{unit}",
                f"{number(change.new)}{unit}",
                f"{change.gain:.2f}",
                f"±{change.band:.0%}",
                f"[{_STYLE[change.verdict]}]{change.verdict}[/]",
            )
    return shown


def measured_again(old: Document, path: Path) -> Document:
    """The parts of an old run, measured now at its size, and kept in a file. A part that fails is in its document."""
    only = [argument for part in old["seconds"] for argument in ("--only", part)]
    path.unlink(missing_ok=True)
    try:
        bench.main([f"--{old['size']}", *only, "--json", str(path)])
    except SystemExit:
        if not path.exists():
            raise
    return read(path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare and print. Exits with 1 where --fail-over is given and a figure is worse by more; 2 for a wrong file."""
    parser = argparse.ArgumentParser(prog="bench.compare", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--old", type=Path, action="append", required=True, help="an earlier run; may be repeated")
    parser.add_argument("--new", type=Path, help=f"a later run; without it one is measured now, into {KEPT}")
    parser.add_argument("--band", type=float, default=BAND, metavar="PERCENT", help=f"noise ({BAND:.0f})")
    parser.add_argument("--fail-over", type=float, metavar="PERCENT", help="exit with 1 if a figure is worse by more")
    options = parser.parse_args(arguments)
    console = Console(width=WIDTH)
    try:
        olds = [read(path) for path in options.old]
        new = measured_again(olds[0], KEPT) if options.new is None else read(options.new)
        found = compare(olds, new, band=options.band / 100)
    except NotComparable as error:
        console.print(f"bench.compare: {error}")
        raise SystemExit(2) from None
    console.print(table(found))
    for line in _lines(found, olds, new):
        console.print(line)
    if options.fail_over is None:
        return
    worse = found.worse_than(options.fail_over / 100)
    for change in worse:
        console.print(f"worse by more than {options.fail_over:g} %: {change.part}: {change.name}")
    if worse:
        raise SystemExit(1)


def _lines(found: Comparison, olds: Sequence[Document], new: Document) -> list[str]:
    """What stands below the table."""
    verdicts = [change.verdict for change in found.changes]
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in _STYLE)
    lines = [f"{counts}; {' and '.join(old['commit'] for old in olds)} -> {new['commit']}"]
    if len(olds) == 1:
        lines.append("The noise is assumed. Give several old runs of one commit, and it is what they differ by.")
    for words, names in (("only in the old run", found.only_old), ("only in the new run", found.only_new)):
        lines += [f"{words}: {name}" for name in names]
    return [*lines, *found.warnings]


if __name__ == "__main__":
    main()
