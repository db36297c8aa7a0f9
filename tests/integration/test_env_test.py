"""``gymctl env test`` on Docker: bundled servers with and without packages, and one of one's own that fails."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Folder

pytestmark = pytest.mark.docker


@pytest.fixture
def folder(tmp_path: Path, free_port: int) -> Iterator[Folder]:
    made = Folder(tmp_path, free_port)
    yield made
    made.clean()


@pytest.mark.parametrize("name", ["multineedle", "google_search", "comp_coding"])
def test_a_bundled_servers_tests_pass_in_its_image(folder: Folder, name: str) -> None:
    done = folder.gymctl("env", "test", name, "--", "-q")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed in " in done.stdout


def test_ones_own_tests_run_in_its_image_and_their_exit_code_is_passed_on(folder: Folder) -> None:
    folder.gymctl("env", "init", "dice")
    tests = folder.path / "resources_servers" / "dice" / "tests"
    done = folder.gymctl("env", "test", "dice")
    assert (done.returncode, "3 passed" in done.stdout) == (0, True), done.stdout + done.stderr
    (tests / "test_more.py").write_text("import os\ndef test_no():\n    assert os.getcwd() == '/opt/gymctl/x'\n")
    failed = folder.gymctl("env", "test", "dice", "--", "-q", "-k", "test_no")
    assert failed.returncode == 1
    assert "'/opt/gymctl' == '/opt/gymctl/x'" in failed.stdout
    assert sorted(path.name for path in tests.iterdir()) == ["test_app.py", "test_more.py"]
    left = ["ps", "-aq", "--filter", "label=gymctl.stack=gymctl-env-test"]
    for _ in range(50):  # Docker removes a container that has ended a moment later
        if not folder.docker(*left):
            break
        time.sleep(0.1)
    assert folder.docker(*left) == ""
