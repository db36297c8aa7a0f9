"""Servers under names that no host may have, in containers: their services have others, which users never need."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from command_line import Folder

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cli"))

from odd_names import AGENT, LONG, SESSIONS, rewards_of, write_odd_stack

pytestmark = pytest.mark.docker


def test_a_stack_in_containers_keeps_the_names_of_its_servers(tmp_path: Path, free_port: int) -> None:
    folder = Folder(tmp_path, free_port)
    write_odd_stack(tmp_path)
    try:
        result = folder.up("stack.yaml")
        assert result.returncode == 0, result.stderr
        assert f"{AGENT}: healthy" in result.stderr
        assert folder.gymctl("scale", f"{AGENT}=2").returncode == 0
        statuses = json.loads(folder.gymctl("status", "--json").stdout)
        names = [server["name"] for server in statuses]
        assert names == ["head", "policy model/v1", LONG, AGENT, SESSIONS, "head"]
        assert {server["name"]: server["running"] for server in statuses}[AGENT] == 2
        result = folder.gymctl("collect", "--input", "rows.jsonl", "--output", "out.jsonl")
        assert result.returncode == 0, result.stderr
        assert rewards_of(tmp_path / "out.jsonl") == {AGENT: [0.0, 0.0, 1.0, 1.0, 1.0], "head": [1.0] * 5}
        lines = folder.gymctl("logs", AGENT).stdout.splitlines()
        assert lines and all(line.startswith(f"{AGENT}-") for line in lines)
    finally:
        folder.gymctl("down")
