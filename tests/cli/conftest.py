"""The command line as a user meets it, in an empty folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from cli_stack import CommandResult, Gymctl

from gymctl.cli.main import main


@pytest.fixture
def gymctl(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Gymctl:
    """Run the command line in this process, in the current directory."""

    def run(*arguments: object) -> CommandResult:
        monkeypatch.setattr(sys, "argv", ["gymctl", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        return CommandResult(int(ended.value.code or 0), output.out, output.err)

    return run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory with the name ``trial``."""
    made = tmp_path / "trial"
    made.mkdir()
    monkeypatch.chdir(made)
    return made
