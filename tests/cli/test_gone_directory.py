"""A working directory that was removed under the shell's feet: one sentence, whatever the command."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_stack import Gymctl


@pytest.mark.parametrize("arguments", [["status"], ["down"], ["up", "x.yaml"], ["config", "check", "x.yaml"]])
def test_a_directory_that_is_gone_is_named(gymctl: Gymctl, folder: Path, arguments: list[str]) -> None:
    folder.rmdir()
    done = gymctl(*arguments)
    assert done.code == 1
    assert done.err.startswith("error: the working directory no longer exists; change to an existing one")
    assert len(done.err.splitlines()) == 1
