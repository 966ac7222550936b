"""`make audit`: bandit over the code, where each finding is explained, and pip-audit over what is installed.

An explanation is for one rule in one file and for so many findings; more of them, or fewer, fail. pip-audit asks PyPI
for known weaknesses; packages that it gets no data for are counted, and are no pass.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXPLAINED = Path(__file__).with_name("audit_explained.json")
LOOKED_AT = ("src", "deploy")
_BIN = Path(sys.executable).parent


def main() -> int:
    """Returns the exit code: 1 for a finding that is not explained, or a package with a known weakness."""
    known = json.loads(EXPLAINED.read_text())
    problems = compare(findings(), known)
    for problem in problems:
        print(f"bandit: {problem}")
    if not problems:
        print(f"bandit: {sum(entry['count'] for entry in known)} findings, each explained in tools/{EXPLAINED.name}")
    return 1 if audit_packages() or problems else 0


def findings() -> Counter[tuple[str, str]]:
    """How often each of bandit's rules finds something in each file."""
    done = subprocess.run(
        [_BIN / "bandit", "--quiet", "--format", "json", "--recursive", *LOOKED_AT],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode not in (0, 1):
        raise SystemExit(f"bandit failed: {done.stderr}")
    return Counter((found["test_id"], found["filename"]) for found in json.loads(done.stdout)["results"])


def compare(found: Mapping[tuple[str, str], int], known: list[dict[str, object]]) -> list[str]:
    """What is found and not explained, and what is explained and not found any more; a line each."""
    explained = {(str(entry["rule"]), str(entry["file"])): entry["count"] for entry in known if entry.get("why")}
    problems = []
    for place in sorted({*found, *explained}):
        have, told = found.get(place, 0), explained.get(place, 0)
        if have != told:
            rule, file = place
            problems.append(f"{rule} in {file}: {have} found, {told} explained; fix it, or say why it is no weakness")
    return problems


def audit_packages() -> int:
    """Look the locked packages up. Returns pip-audit's exit code."""
    uv = sys.argv[1] if len(sys.argv) > 1 else "uv"
    wanted = [uv, "export", "--frozen", "--quiet", "--all-extras", "--no-emit-project", "--no-annotate", "--no-hashes"]
    locked = subprocess.run(wanted, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(locked)
        file.flush()
        asked = [
            str(_BIN / "pip-audit"),
            "--disable-pip",
            "--no-deps",
            "--progress-spinner",
            "off",
            "--requirement",
            file.name,
        ]
        done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    unknown = [line for line in lines if "could not be audited" in line]
    for line in [*(line for line in lines if line not in unknown), *done.stderr.splitlines()]:
        print(f"pip-audit: {line}")
    if unknown:
        print(f"pip-audit: no data could be had for {len(unknown)} packages: these were not looked at")
    return done.returncode


if __name__ == "__main__":
    raise SystemExit(main())
