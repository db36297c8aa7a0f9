"""The stacks that are compared."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from free_ports import free_port

from benchmarks.sides import Side, Stack, rollout_servers


def test_nemo_gym_finds_an_environment_for_each_server_and_for_the_relay_of_an_agent(tmp_path: Path) -> None:
    side = Side("nemo-gym 0.7.0", Path(sys.executable), port=21_000, backend_port=21_001, folder=tmp_path)
    side._script(rollout_servers(21_001), tmp_path / "stack.yaml")
    places = {str(link.parent.relative_to(tmp_path / "venvs")) for link in tmp_path.rglob(".venv")}
    assert places == {
        "responses_api_models/openai_model",
        "resources_servers/example_single_tool_call",
        "responses_api_agents/simple_agent",
        "environment_servers/legacy_agent",
    }


def test_a_server_that_has_ended_is_an_error() -> None:
    port = free_port()
    stack = Stack({"agent": port}, root=1, seconds=0.0)
    with pytest.raises(RuntimeError, match=f"agent has ended: no process listens on port {port}"):
        stack.processes("agent")
