"""Servers under names that no host may have: collected from, listed and read as they are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_stack import Gymctl
from free_ports import free_port
from odd_names import AGENT, LONG, SESSIONS, rewards_of, write_odd_stack

pytestmark = pytest.mark.processes


def test_a_local_stack_keeps_the_names_of_its_servers(gymctl: Gymctl, folder: Path) -> None:
    count = write_odd_stack(folder)
    assert gymctl("config", "check", "stack.yaml").code == 0
    assert gymctl("render", "stack.yaml").code == 0
    result = gymctl("up", "--engine", "local", "stack.yaml", f"+head_server.port={free_port()}")
    assert result.code == 0, result.err
    try:
        names = [server["name"] for server in json.loads(gymctl("status", "--json").out)]
        assert names == ["head", "policy model/v1", LONG, AGENT, SESSIONS, "head"]
        result = gymctl("collect", "--input", "rows.jsonl", "--output", "out.jsonl")
        assert result.code == 0, result.err
        rewards = rewards_of(folder / "out.jsonl")
        assert sum(map(len, rewards.values())) == count
        assert rewards == {AGENT: [0.0, 0.0, 1.0, 1.0, 1.0], "head": [1.0] * 5}
        lines = gymctl("logs", AGENT).out.splitlines()
        assert lines and all(line.startswith(f"{AGENT} | ") for line in lines)
    finally:
        gymctl("down")
