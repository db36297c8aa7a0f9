"""``gymctl env``: a new environment, and the steps that are printed for it, as a newcomer copies them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from gymctl.cli.main import main

pytestmark = pytest.mark.processes

BIN = Path(sys.executable).parent


def gymctl(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environ, check=False, capture_output=True, text=True, timeout=120
    )


@pytest.mark.enable_socket
def test_the_printed_steps_work_when_they_are_copied(tmp_path: Path) -> None:
    printed = gymctl(tmp_path, "gymctl env init dice").stdout
    steps = [line.strip() for line in printed.splitlines() if line.startswith("  gymctl ")]
    assert [step.split()[1] for step in steps] == ["up", "collect", "down", "env"]
    with socket.create_server(("127.0.0.1", 0)) as free:
        steps[0] += f" +head_server.port={free.getsockname()[1]}"  # others may test on this machine
    try:
        for step in steps[:3]:
            done = gymctl(tmp_path, step)
            assert (done.returncode, done.stderr.count("error")) == (0, 0), f"{step}\n{done.stdout}\n{done.stderr}"
    finally:
        gymctl(tmp_path, "gymctl down")
    rewards = [orjson.loads(line)["reward"] for line in (tmp_path / "rollouts.jsonl").read_text().splitlines()]
    assert rewards == [1.0, 1.0, 1.0]
    tested = gymctl(tmp_path, f"{steps[3]} --engine local -- -q")
    assert tested.returncode == 0, tested.stderr
    assert "3 passed" in tested.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["wether"], "error: no server 'wether' here or among the bundled ones; available: "),
        (
            ["weather", "--engine", "swarm"],
            "error: invalid value for '--engine': 'swarm' is not one of",
        ),
        (["responses_api_agents/simple_agent"], "error: responses_api_agents/simple_agent has no tests; add some in"),
        ([], "error: missing argument 'NAME'"),
    ],
)
def test_wrong_input_is_told_in_a_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["gymctl", "env", "test", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_without_docker_the_other_way_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    done = gymctl(tmp_path, "gymctl env test weather")
    assert done.returncode == 1
    assert "or run without Docker: gymctl env test weather --engine local" in done.stderr
