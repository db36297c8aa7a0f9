"""The stacks that are compared."""

from __future__ import annotations

import socket
import sys
from contextlib import ExitStack
from pathlib import Path

import httpx
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


@pytest.mark.processes
@pytest.mark.enable_socket
def test_servers_with_tokens_answer_only_calls_with_the_header(tmp_path: Path) -> None:
    servers = rollout_servers(free_port())
    side = Side(
        name="gymctl",
        python=Path(sys.executable),
        port=free_ports_in_a_row(len(servers)) - 1,
        backend_port=0,
        folder=tmp_path,
        has_tokens=True,
    )
    with side.running(servers) as stack:
        for name, port in stack.ports.items():
            url = f"http://127.0.0.1:{port}/openapi.json"
            field, _, token = stack.header(name).partition(": ")
            assert httpx.get(url).status_code == 401
            assert httpx.get(url, headers={field: token}).status_code == 200


def free_ports_in_a_row(count: int) -> int:
    """The first of ``count`` free ports."""
    while True:
        first = free_port()
        try:
            with ExitStack() as taken:
                for port in range(first, first + count):
                    taken.enter_context(socket.create_server(("127.0.0.1", port)))
        except OSError:
            continue
        return first
