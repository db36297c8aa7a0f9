"""A user's own code type-checks with ``mypy --strict`` against the installed wheel."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.enable_socket]

TOP = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```python\n(.*?)^```", (TOP / "docs" / "python.md").read_text(), re.MULTILINE | re.DOTALL)


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*map(str, command)], cwd=cwd, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with gymctl's wheel, and what it needs from this one's packages."""
    import typer

    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    installed = folder / "venv" / "bin" / "python"
    run(installed, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, TOP, cwd=folder)
    run(installed, "-m", "pip", "install", "-q", "--no-deps", *folder.glob("gymctl-*.whl"), cwd=folder)
    packages = next((folder / "venv" / "lib").glob("python3.*/site-packages"))
    (packages / "dependencies.pth").write_text(f"{Path(typer.__file__).parents[1]}\n")
    where = run(installed, "-c", "import gymctl; print(gymctl.__file__)", cwd=folder).stdout
    assert str(packages) in where
    return installed


def check(python: Path, folder: Path, *files: Path) -> None:
    run(sys.executable, "-m", "mypy", "--strict", "--python-executable", python, *files, cwd=folder)


def test_an_environment_of_a_users_own(python: Path, tmp_path: Path) -> None:
    run(python, "-m", "gymctl.cli.main", "env", "init", "number_game", cwd=tmp_path)
    check(python, tmp_path, tmp_path / "resources_servers" / "number_game" / "app.py")


@pytest.mark.parametrize("block", BLOCKS, ids=range(1, len(BLOCKS) + 1))
def test_a_script(python: Path, tmp_path: Path, block: str) -> None:
    (tmp_path / "script.py").write_text(block)
    check(python, tmp_path, tmp_path / "script.py")


def test_a_wrong_call_is_found(python: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text('from gymctl import collect\n\ncollect("rows.jsonl", "out.jsonl", num_repeats="two")\n')
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python), str(script)]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert 'incompatible type "str"' in done.stdout
