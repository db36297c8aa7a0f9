"""The names of ``gymctl.config`` and ``gymctl.server`` are imported when they are first used."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest

import gymctl.config
import gymctl.server


@pytest.mark.parametrize("package", [gymctl.config, gymctl.server])
def test_every_name_is_found(package: ModuleType) -> None:
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        package.nonsense  # noqa: B018


def test_a_server_imports_what_its_kind_needs() -> None:
    script = "import sys; from gymctl.server import ResourcesServer, tool; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    imported = set(done.stdout.split())
    assert "gymctl.server.resources" in imported
    assert not imported & {"gymctl.server.agent", "gymctl.server.models.server"}
    assert not imported & {"gymctl.config.model", "gymctl.config.load"}
    assert not imported & {"aiohttp", "fastapi", "omegaconf"}
