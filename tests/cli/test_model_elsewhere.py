"""A stack whose model runs elsewhere: collected from, probed and shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_stack import GOOD, CommandResult, Gymctl
from free_ports import free_port

pytestmark = pytest.mark.processes

ROWS = Path(__file__).parents[2] / "examples" / "quickstart" / "rows.jsonl"


def start(gymctl: Gymctl, *arguments: str) -> CommandResult:
    result = gymctl("up", "stack.yaml", "--engine", "local", f"+head_server.port={free_port()}", *arguments)
    assert result.code == 0, result.err
    return result


def test_a_model_of_another_stack(
    gymctl: Gymctl, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for place in (folder, elsewhere):
        (place / "stack.yaml").write_text(GOOD)
    port = free_port()
    monkeypatch.chdir(elsewhere)
    start(gymctl, f"++policy_model.responses_api_models.scripted_model.port={port}")
    try:
        monkeypatch.chdir(folder)
        start(gymctl, f"++policy_model.at=http://127.0.0.1:{port}")
        statuses = {server["name"]: server for server in json.loads(gymctl("status", "--json").out)}
        assert set(statuses) == {"head", "policy_model", "weather", "my_agent"}
        assert statuses["policy_model"]["address"] == f"http://127.0.0.1:{port}"
        assert statuses["policy_model"]["health"] == "healthy"
        row = json.loads(ROWS.read_text().splitlines()[0]) | {"agent_ref": None}
        (folder / "rows.jsonl").write_text(json.dumps(row) + "\n")
        result = gymctl("collect", "-i", "rows.jsonl", "-o", "out.jsonl", "--agent", "my_agent")
        assert result.code == 0, result.err
        assert json.loads((folder / "out.jsonl").read_text())["reward"] == 1.0
        monkeypatch.chdir(elsewhere)
        gymctl("down")
        monkeypatch.chdir(folder)
        result = gymctl("status")
        assert result.code != 0
        assert "policy_model" in result.out and "unreachable" in result.out
    finally:
        for place in (elsewhere, folder):
            monkeypatch.chdir(place)
            gymctl("down")


def test_up_says_that_a_server_elsewhere_does_not_answer(gymctl: Gymctl, folder: Path) -> None:
    (folder / "stack.yaml").write_text(GOOD)
    url = f"http://127.0.0.1:{free_port()}"
    result = start(gymctl, f"++policy_model.at={url}")
    try:
        assert f"policy_model does not answer at {url}" in result.err
        assert "policy_model runs elsewhere" in gymctl("logs", "policy_model").err
    finally:
        gymctl("down")
