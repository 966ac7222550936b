from __future__ import annotations

import json
import logging
from datetime import date
from enum import Enum

import pytest
from rich.text import Text

from gridferry.cli.failures import show_failure
from gridferry.cli.output import PIPE_WIDTH, Output, plain
from gridferry.cli.reporting import reported
from gridferry.cli.tables import hanging
from gridferry.errors import StatementError


class Colour(Enum):
    RED = "red"


def test_plain_leaves_nothing_that_json_lacks() -> None:
    value = {Colour.RED: [float("nan"), float("inf"), -float("inf"), 1e308, -0.0, date(2026, 1, 2), b"\x01", None, ()]}
    text = json.dumps(plain(value), allow_nan=False)
    assert json.loads(text) == {"red": ["NaN", "Infinity", "-Infinity", 1e308, -0.0, "2026-01-02", "01", None, []]}


def test_json_mode_keeps_results_off_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(as_json=True)
    output.show("a table")
    output.document(lambda: {"a": "ä"})
    captured = capsys.readouterr()
    assert captured.out == '{\n  "a": "ä"\n}\n'
    assert captured.err == ""


def test_text_mode_prints_no_document(capsys: pytest.CaptureFixture[str]) -> None:
    Output().document(lambda: {"a": 1})
    assert capsys.readouterr().out == ""


def test_quiet_silences_notes_but_no_warning(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(quiet=True)
    output.note("a note")
    output.warn("a [warning]")
    assert capsys.readouterr().err == "warning: a [warning]\n"


def test_a_pipe_is_wide_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert Output().out.width == PIPE_WIDTH
    monkeypatch.setenv("COLUMNS", "70")
    assert Output().out.width == 70
    monkeypatch.setenv("COLUMNS", "0")  # as some terminals and job runners say that they do not know
    assert Output().out.width == PIPE_WIDTH


def test_a_line_that_hangs_keeps_its_indent_where_it_wraps(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    Output().show(hanging("  note  ", Text("one two three [four] five")))
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "  note  one two",
        "        three [four]",
        "        five",
    ]


ATTACK = "a\x1b[31mred\x1b]0;title\x07\x9b2J\x7fb"


def test_nothing_printed_commands_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output()
    output.show(ATTACK, Text(ATTACK), Text.assemble((ATTACK, "bold"), ATTACK), hanging("  - ", ATTACK))
    output.note(ATTACK)
    output.warn(ATTACK)
    error = StatementError(ATTACK, code=1, state=ATTACK, next_step=ATTACK)
    show_failure(output, error)
    captured = capsys.readouterr()
    for stream in (captured.out, captured.err):
        assert not [c for c in stream if not c.isprintable() and c != "\n"]
        assert "\\x1b[31mred" in stream


def test_json_commands_no_terminal_either(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=True).document(lambda: {"a": ATTACK})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"a": ATTACK}
    assert not [c for c in printed if not c.isprintable() and c != "\n"]


def test_a_warning_of_the_driver_is_one_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    def command(output: Output) -> None:
        logging.getLogger("gridferry.griddb.net.cluster").warning("the node %s offers no TLS", "h:1")

    reported(command)(as_json=False, quiet=False, verbose=False)
    assert capsys.readouterr().err == "warning: the node h:1 offers no TLS\n"
