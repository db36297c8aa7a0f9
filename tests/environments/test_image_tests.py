"""A server's own tests: found, run in this Python, and what image they would run in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gymctl import assets
from gymctl.environments.scaffold import create_environment
from gymctl.environments.tests import find_tests, image_for
from gymctl.errors import InputError

pytestmark = pytest.mark.processes

TOP = Path(__file__).parents[2]
BUNDLED = assets.folder("services") / "resources_servers"


@pytest.fixture
def dice(tmp_path: Path) -> Path:
    create_environment("dice", tmp_path)
    return tmp_path / "resources_servers" / "dice"


@pytest.mark.parametrize("name", ["dice", "resources_servers/dice", "./resources_servers/dice"])
def test_ones_own_server_is_found_by_name_and_by_folder(dice: Path, tmp_path: Path, name: str) -> None:
    tests = find_tests(name, tmp_path)
    assert (tests.folder, tests.kind, tests.name) == (dice, "resources_servers", "dice")
    assert tests.paths == (dice / "tests",)


def test_ones_own_server_comes_before_a_bundled_one_of_its_name(tmp_path: Path) -> None:
    assert find_tests("weather", tmp_path).folder == BUNDLED / "weather"
    create_environment("weather", tmp_path)
    assert find_tests("weather", tmp_path).folder == tmp_path / "resources_servers" / "weather"


def test_tests_beside_the_code_are_found_too(dice: Path, tmp_path: Path) -> None:
    (dice / "tests" / "test_app.py").rename(dice / "test_app.py")
    assert find_tests("dice", tmp_path).paths == (dice / "test_app.py",)


def test_every_bundled_resources_server_has_tests(tmp_path: Path) -> None:
    names = sorted(path.parent.name for path in BUNDLED.glob("*/app.py"))
    assert {"google_search", "multineedle", "weather"} <= set(names)
    assert all(find_tests(name, tmp_path).paths for name in names)


def test_what_cannot_be_tested_is_said(dice: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no server 'dise'.*; available: .*dice, .*weather"):
        find_tests("dise", tmp_path)
    (dice / "tests" / "test_app.py").unlink()
    with pytest.raises(InputError, match=r"resources_servers/dice has no tests; add some in \S+/tests/test_dice.py"):
        find_tests("dice", tmp_path)
    upstreams = tmp_path / "resources_servers" / "upstreams"
    upstreams.mkdir()
    (upstreams / "app.py").write_text("import nemo_gym\n")
    with pytest.raises(InputError, match="written for NeMo Gym; run its tests there"):
        find_tests("upstreams", tmp_path)


def test_the_image_has_what_the_server_and_its_tests_need(dice: Path, tmp_path: Path) -> None:
    shared = image_for(find_tests("dice", tmp_path))
    assert shared == image_for(find_tests("weather", tmp_path))
    (dice / "requirements.txt").write_text("numpy>=2  # numbers\n")
    (dice / "tests" / "requirements.txt").write_text("hypothesis\n")
    own = image_for(find_tests("dice", tmp_path))
    assert own.tag != shared.tag
    assert (own.requirements, own.test_requirements[1:]) == (("numpy>=2",), ("hypothesis",))
    assert own.test_requirements[0].startswith("pytest")


def run_here(folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """``gymctl env test`` in this Python, for the server ``dice`` below ``folder``."""
    command = [sys.executable, "-m", "gymctl.cli.main", "env", "test", "dice", "--engine", "local", "--", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(TOP)}
    return subprocess.run(
        command, cwd=folder, env=environment, input=stdin, capture_output=True, text=True, check=False, timeout=120
    )


def test_the_exit_code_is_pytests_and_nothing_is_left_behind(dice: Path, tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --nothing-knows-this\n")  # a project's settings around it
    before = sorted(dice.rglob("*"))
    passing = run_here(tmp_path, "-q")
    assert passing.returncode == 0
    assert passing.stdout.splitlines()[-1].startswith("3 passed in")
    assert sorted(dice.rglob("*")) == before
    (dice / "tests" / "test_more.py").write_text("def test_no():\n    assert 1 == 2\n")
    failing = run_here(tmp_path, "-q", "-k", "no")
    assert failing.returncode == 1
    assert failing.stdout.splitlines()[-1].startswith("1 failed")
    assert run_here(tmp_path, "-q", "-k", "nothing_of_the_kind").returncode == 5


def test_settings_in_the_folder_itself_count(dice: Path, tmp_path: Path) -> None:
    (dice / "pytest.ini").write_text("[pytest]\naddopts = -k wrong_guesses\n")
    done = run_here(tmp_path, "-q")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1].startswith("1 passed, 2 deselected")


def test_a_debugger_reads_what_is_typed(dice: Path, tmp_path: Path) -> None:
    code = (dice / "app.py").read_text()
    (dice / "app.py").write_text(
        code.replace('secret = session.state["number"]', 'breakpoint()\n        secret = session.state["number"]')
    )
    done = run_here(tmp_path, "-q", "-s", "-k", "right_guess", stdin="p number\nc\np number\nc\n")
    assert done.returncode == 0, done.stdout
    assert "(Pdb) 3\n" in done.stdout and "(Pdb) 7\n" in done.stdout
