"""The names of ``gymctl.config`` are imported when they are first used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import gymctl.config


def test_every_name_is_found() -> None:
    for name in gymctl.config.__all__:
        assert getattr(gymctl.config, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        gymctl.config.nonsense  # noqa: B018


def test_a_server_does_not_import_what_merges_files() -> None:
    script = (
        "import sys, gymctl.server; print(sorted(name for name in sys.modules if name.startswith('gymctl.config.')))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert "gymctl.config.model" in done.stdout
    assert "gymctl.config.load" not in done.stdout
