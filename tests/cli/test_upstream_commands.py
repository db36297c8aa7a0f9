"""NeMo Gym's names for commands lead to gymctl's own; the others are refused with what there is instead."""

from __future__ import annotations

import sys

import pytest

from gymctl.cli.main import app, main
from gymctl.config.upstream import COMMANDS


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["gymctl", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize("prefix", ["ng_", "nemo_gym_"])
@pytest.mark.parametrize("short", list(COMMANDS))
def test_a_command_is_the_same_under_either_name(
    short: str, prefix: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "120")  # a long name must not wrap the line of the usage
    assert run(monkeypatch, f"{prefix}{short}", "--help") == 0
    theirs = capsys.readouterr().out
    assert run(monkeypatch, *COMMANDS[short], "--help") == 0
    ours = capsys.readouterr().out
    assert theirs.splitlines()[1:] == ours.splitlines()[1:]


def test_the_names_are_not_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--help") == 0
    assert "ng_" not in capsys.readouterr().out.replace("[", "")
    assert app.info.name == "gymctl"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ng_init_resources_server", "error: gymctl has no ng_init_resources_server; use gymctl env init NAME"),
        ("ng_test_all", "error: gymctl has no ng_test_all; see gymctl --help"),
    ],
)
def test_what_there_is_not_is_refused(
    name: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, name, "+a=b", "--flag") == 2
    assert capsys.readouterr().err.startswith(message)
