"""Replicas in containers: sessions stay, a replica that is killed costs its own, scaling loses nothing."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import GYMCTL, Folder

from gymctl import assets

pytestmark = pytest.mark.docker

ENVIRONMENT = "example_session_state_mgmt"
TOOLS, AGENT, MODEL = f"{ENVIRONMENT}_resources_server", f"{ENVIRONMENT}_simple_agent", "policy_model"
ROWS = assets.folder("services") / "resources_servers" / ENVIRONMENT / "data" / "example.jsonl"
STACK = """\
config_paths:
- responses_api_models/scripted_model/configs/scripted_model.yaml
- resources_servers/{environment}/configs/{environment}.yaml
{tools}:
  replicas: 4
  resources_servers:
    {environment}:
      runtime: {runtime}
"""
# What a call meets whose replica is killed while it is under way, and a rollout whose replica was killed before.
OF_A_KILL = {"reset", "session_lost"}


@pytest.fixture
def folder(tmp_path: Path, free_port: int) -> Iterator[Folder]:
    made = Folder(tmp_path, free_port)
    yield made
    made.clean()


def up(folder: Folder, runtime: str) -> None:
    text = STACK.format(environment=ENVIRONMENT, tools=TOOLS, runtime=runtime)
    (folder.path / "stack.yaml").write_text(text)
    started = folder.up("stack.yaml")
    assert started.returncode == 0, started.stderr


def collected(
    folder: Folder, rollouts: int, meanwhile: Callable[[], object] = lambda: None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Collect, and once an eighth is there do something; the rows and the failures."""
    arguments = ["collect", "--input", ROWS, "--output", "out.jsonl", "--agent", AGENT, "--force"]
    arguments += ["--num-repeats", rollouts // 5, "--concurrency", 192]
    command = [*GYMCTL, *map(str, arguments)]
    output = folder.path / "out.jsonl"
    output.unlink(missing_ok=True)
    with subprocess.Popen(command, cwd=folder.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        while process.poll() is None and (not output.exists() or output.read_bytes().count(b"\n") < rollouts // 8):
            time.sleep(0.02)
        meanwhile()
        errors, _ = process.communicate(timeout=240)
    assert process.returncode == 0, errors.decode()
    return lines(output), lines(folder.path / "out_failures.jsonl")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def containers(folder: Folder, service: str) -> list[str]:
    labels = (f"com.docker.compose.project={folder.name}", f"com.docker.compose.service={service}")
    return folder.docker("ps", "-q", *(part for label in labels for part in ("--filter", f"label={label}"))).split()


def address(folder: Folder, container: str) -> str:
    return folder.docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", container).strip()


def status(folder: Folder) -> tuple[int, dict[str, dict[str, Any]]]:
    asked = folder.gymctl("status", "--json")
    return asked.returncode, {item["name"]: item for item in json.loads(asked.stdout)}


def check_rows(rows: list[dict[str, Any]], rollouts: int) -> None:
    """Every rollout once, and none judged by a replica that did not know it."""
    assert len(rows) == rollouts
    assert len({(row["_ng_task_index"], row["_ng_rollout_index"]) for row in rows}) == rollouts
    assert {row["reward"] for row in rows} == {1.0}


def replicas_killed(folder: Folder, runtime: str) -> None:
    """Four replicas: all of them work; then one is killed in the middle of a run."""
    service = TOOLS if runtime == "gymctl" else f"{TOOLS}-replica"
    up(folder, runtime)
    rows, failures = collected(folder, 1000)
    check_rows(rows, 1000)
    assert failures == []

    victim = containers(folder, service)[0]
    place = address(folder, victim)
    rows, failures = collected(folder, 2000, lambda: folder.docker("kill", victim))
    check_rows(rows, 2000)
    # 192 were under way, a quarter of them there; the first that fail are tried again on the spot, and leave no line
    assert 0 < len(failures) < 96
    lost = [item for item in failures if item["_ng_failure_class"] == "session_lost"]
    assert all(item["_gymctl_failure"]["hop"] == TOOLS for item in lost)
    assert {item["_ng_failure_class"] for item in failures} <= OF_A_KILL
    if runtime == "gymctl":
        causes = Counter(item["_gymctl_failure"]["message"].partition(": ")[2].partition(": ")[2] for item in lost)
        assert set(causes) <= {f"the replica of {TOOLS} that held this session ({place}) is gone"}
    code, servers = status(folder)
    assert code == 1
    assert (servers[service]["running"], servers[service]["replicas"]) == (3, 4)

    mended = folder.gymctl("scale", f"{TOOLS}=4")
    assert mended.returncode == 0, mended.stderr
    code, servers = status(folder)
    assert (code, servers[service]["running"]) == (0, 4)


def test_a_thousand_rollouts_over_four_replicas_of_which_one_is_killed(folder: Folder) -> None:
    replicas_killed(folder, "gymctl")


@pytest.mark.upstream
def test_a_thousand_rollouts_over_four_replicas_of_nemo_gym_behind_the_proxy(folder: Folder) -> None:
    replicas_killed(folder, "nemo-gym")


def test_scaling_with_a_collection_going_on_loses_nothing_and_touches_nobody_else(folder: Folder) -> None:
    up(folder, "gymctl")
    others = [item for name in ("head", TOOLS, MODEL) for item in containers(folder, name)]

    def scale() -> None:
        for count in (4, 1):
            scaled = folder.gymctl("scale", f"{AGENT}={count}", f"{MODEL}={3 - count // 2}")
            assert scaled.returncode == 0, scaled.stderr
            assert len(containers(folder, AGENT)) == count
            assert status(folder)[1][AGENT]["running"] == count

    rows, failures = collected(folder, 3000, scale)
    check_rows(rows, 3000)
    assert failures == []
    assert set(others) <= {item for name in ("head", TOOLS, MODEL) for item in containers(folder, name)}
    # the file says what runs: Compose by itself would start none of them anew
    for name in (AGENT, MODEL, TOOLS):
        (_, digest) = folder.docker("compose", "config", "--hash", name).split()
        label = '{{index .Config.Labels "com.docker.compose.config-hash"}}'
        assert set(folder.docker("inspect", "-f", label, *containers(folder, name)).split()) == {digest}
    down = folder.gymctl("down")
    assert down.returncode == 0
    assert not (folder.path / "compose.yaml").exists()  # it is still gymctl's own


def test_what_cannot_be_scaled_is_said(folder: Folder) -> None:
    up(folder, "gymctl")
    refused = folder.gymctl("scale", "head=2")
    assert refused.returncode == 2
    assert refused.stderr == "error: head can have only one replica; clients know it by a single address\n"
    assert folder.gymctl("scale", f"{AGENT}=two").returncode == 2
    assert "did you mean" in folder.gymctl("scale", f"{AGENT[:-1]}=2").stderr
