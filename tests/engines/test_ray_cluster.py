"""What is said of a Ray cluster that a stack cannot use; tests/integration/test_ray_docker.py asks real ones."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gymctl.engines.docker import ray_cluster
from gymctl.engines.docker.ray_cluster import check_clusters, cluster_problems
from gymctl.errors import ConfigError
from gymctl.stack import RayCheck

DOCKER = """#!/bin/sh
echo "$@" >> {calls}
test "$1" = run && sleep 30; true
"""
CHECK = RayCheck("gymctl-ray:1", ("math",), "10.0.0.9", 10001, "ray://10.0.0.9:10001")
OWN = {"ray": "2.55.1", "python": "3.12.1"}


def problems_of(probed: dict[str, Any], check: RayCheck = CHECK) -> list[str]:
    return [str(problem) for problem in cluster_problems(check, probed)]


def test_the_same_ray_and_python_are_well() -> None:
    assert problems_of({"own": OWN, "theirs": {"ray": "2.55.1", "python": "3.12.9"}}) == []


def test_another_ray_names_both_and_the_key() -> None:
    (problem,) = problems_of({"own": OWN, "theirs": {**OWN, "ray": "2.60.0"}})
    assert problem.startswith(
        "math: the cluster at ray://10.0.0.9:10001 has Ray 2.60.0, but the image gymctl-ray:1 has Ray 2.55.1"
    )
    assert "ray: {version: '2.60.0'}" in problem


def test_nemo_gyms_ray_is_its_own() -> None:
    (problem,) = problems_of({"own": OWN, "theirs": {**OWN, "ray": "2.60.0"}}, replace(CHECK, is_nemo_gym=True))
    assert "run the cluster with ray[default]==2.55.1" in problem


@pytest.mark.parametrize(
    ("python", "hint"),
    [("3.13.2", "--base-image python:3.13-slim"), ("3.9.7", "start the cluster with Python 3.12")],
)
def test_another_python_names_both_and_what_to_do(python: str, hint: str) -> None:
    (problem,) = problems_of({"own": OWN, "theirs": {**OWN, "python": python}})
    assert f"has Python {python}, but the image gymctl-ray:1 has Python 3.12.1" in problem
    assert hint in problem


def test_both_differences_are_said_at_once() -> None:
    assert len(problems_of({"own": OWN, "theirs": {"ray": "2.60.0", "python": "3.11.7"}})) == 2


def test_no_answer_names_the_address_and_the_port_for_clients() -> None:
    (problem,) = problems_of({"failed": "connect", "error": "[Errno 111] Connection refused"})
    assert (
        "math: no Ray cluster at ray://10.0.0.9:10001: [Errno 111] Connection refused (checked from a container)"
        in problem
    )
    assert "the Ray client port is 10001" in problem


def test_something_else_that_listens_is_told_apart() -> None:
    (problem,) = problems_of({"failed": "talk", "error": "\nConnectionError: timeout\nmore", "own": OWN})
    assert "does not answer like a cluster of Ray 2.55.1: ConnectionError: timeout;" in problem
    assert "6379 is for its nodes" in problem


def test_a_probe_that_never_ends_is_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = tmp_path / "calls"
    (tmp_path / "docker").write_text(DOCKER.format(calls=calls))
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(ray_cluster, "_PATIENCE_S", 0.5)
    with pytest.raises(ConfigError, match=r"none in 0\.5 s"):
        check_clusters([CHECK])
    started, removed = calls.read_text().splitlines()
    name = started.split("--name ")[1].split()[0]
    assert removed == f"rm --force {name}"
