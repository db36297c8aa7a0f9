"""The names of ``gymctl`` and of its packages are imported when they are first used."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import gymctl
import gymctl.config
import gymctl.results
import gymctl.server


@pytest.mark.parametrize("package", [gymctl, gymctl.config, gymctl.results, gymctl.server])
def test_every_name_is_found(package: ModuleType) -> None:
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        package.nonsense  # noqa: B018


def test_importing_gymctl_imports_nothing_heavy() -> None:
    script = "import sys; before = set(sys.modules); import gymctl; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert set(done.stdout.split()) <= {"gymctl", "gymctl.lazy", "__future__"}


@pytest.mark.parametrize("package", [gymctl, gymctl.config, gymctl.results, gymctl.server])
def test_names_and_their_modules_are_the_same_for_a_type_checker(package: ModuleType) -> None:
    """The ``TYPE_CHECKING`` imports of a package, and what is imported on demand."""
    tree = ast.parse(Path(package.__file__ or "").read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module != "gymctl.lazy"]
    names = {alias.name: node.module for node in imports for alias in node.names}
    public = set(package.__all__) - {"__version__"}
    assert public <= set(names)
    for name in public:
        module = importlib.import_module(str(names[name]))
        assert getattr(module, name) is getattr(package, name)


def test_a_server_imports_what_its_kind_needs() -> None:
    script = "import sys; from gymctl.server import ResourcesServer, tool; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    imported = set(done.stdout.split())
    assert "gymctl.server.resources" in imported
    assert not imported & {"gymctl.server.agent", "gymctl.server.models.server"}
    assert not imported & {"gymctl.config.model", "gymctl.config.load"}
    assert not imported & {"aiohttp", "fastapi", "omegaconf"}
