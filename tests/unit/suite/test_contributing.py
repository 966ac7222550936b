"""What meets a contributor: hooks before a commit, and forms for issues, are valid and name what there is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
HOOKS = ROOT / ".pre-commit-config.yaml"
FORMS = ROOT / ".github/ISSUE_TEMPLATE"
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


def tool(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """One of the tools in the environment of the tests."""
    program = Path(sys.executable).with_name(str(command[0]))
    return subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False)


def test_the_hooks_are_valid() -> None:
    done = tool("pre-commit", "validate-config", HOOKS)
    assert done.returncode == 0, done.stdout


def test_the_hooks_run_what_the_check_runs_with_the_versions_of_the_lock() -> None:
    (repository,) = yaml.safe_load(HOOKS.read_text(encoding="utf-8"))["repos"]
    assert repository["repo"] == "local"
    targets = [hook["entry"].removeprefix("make --silent ") for hook in repository["hooks"]]
    assert targets == ["lint", "type", "imports"]
    (checked,) = re.findall(r"^check: ([a-z -]+?)  ##", MAKEFILE, re.MULTILINE)
    assert set(targets) <= set(checked.split())
    for target in targets:
        (recipe,) = re.findall(rf"^{target}: .*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
        assert all(line.startswith("\t$(RUN) ") for line in recipe.splitlines())
    assert re.search(r"^RUN := \$\(UV\) run --frozen ", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize("form", ["bug.yml", "idea.yml"])
def test_the_forms_are_valid(form: str, tmp_path: Path) -> None:
    schema = ("--builtin-schema", "vendor.github-issue-forms")
    done = tool("check-jsonschema", *schema, FORMS / form)
    assert done.returncode == 0, done.stdout
    planted = tmp_path / form
    planted.write_text((FORMS / form).read_text(encoding="utf-8").replace("type: textarea", "type: textaria"))
    assert tool("check-jsonschema", *schema, planted).returncode == 1


def test_the_configuration_of_the_forms_is_valid() -> None:
    done = tool("check-jsonschema", "--builtin-schema", "vendor.github-issue-config", FORMS / "config.yml")
    assert done.returncode == 0, done.stdout


def test_what_the_templates_ask_for_is_there() -> None:
    pages = [*FORMS.glob("*.yml"), ROOT / ".github/PULL_REQUEST_TEMPLATE.md", ROOT / "CONTRIBUTING.md"]
    named = {target for page in pages for target in re.findall(r"`make ([a-z-]+)", page.read_text(encoding="utf-8"))}
    assert {"check", "test", "bench-compare"} <= named
    assert named - TARGETS == set()
    for page in pages[:-1]:
        for path in re.findall(r"\b(?:docs/)?[\w-]+\.md\b", page.read_text(encoding="utf-8")):
            assert (ROOT / path).is_file(), (page, path)
