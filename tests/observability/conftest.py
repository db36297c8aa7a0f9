"""Debian's Prometheus, where it is installed."""

from __future__ import annotations

import os
import shutil

import pytest


def debian_command(name: str) -> str:
    """A command of Prometheus; the test is skipped without it, except where CI requires it."""
    folder = os.environ.get("GYMCTL_PROMETHEUS", "")
    command = shutil.which(name, path=os.pathsep.join(filter(None, (folder, os.environ.get("PATH", "")))))
    if command is None:
        if os.environ.get("GYMCTL_REQUIRE_PROMETHEUS"):
            pytest.fail(f"{name} is not installed; .ci/prometheus installs it")
        pytest.skip(f"{name} is not installed")
    return command


@pytest.fixture(scope="session")
def promtool() -> str:
    return debian_command("promtool")


@pytest.fixture(scope="session")
def prometheus() -> str:
    return debian_command("prometheus")


@pytest.fixture(scope="session")
def alertmanager() -> str:
    return debian_command("prometheus-alertmanager")
