"""New tokens on a Swarm: which services get which secret, and what becomes of an update that fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small_swarm import small_swarm, stack_file

from gymctl.engines.compose.watch import ServerFailed
from gymctl.engines.runner import CommandFailed, run
from gymctl.engines.swarm.deploy import update_services
from gymctl.engines.swarm.tasks import SwarmService, find_services, parse_service
from gymctl.engines.swarm.token_secrets import changed_secrets
from gymctl.stack.swarm.secrets_and_configs import stored_name

BEFORE = {"agent": ("old", 3), "tools": ("old", 1)}


def service(name: str, **secrets: str) -> SwarmService:
    """A service as the API lists it, with the names in the Swarm of its secrets by their files."""
    listed: list[dict[str, Any]] = [
        {"File": {"Name": key, "UID": "0", "GID": "0", "Mode": 0o444}, "SecretID": f"id-{stored}", "SecretName": stored}
        for key, stored in secrets.items()
    ]
    template = {"ContainerSpec": {"Image": "image", "Secrets": listed}}
    spec = {"Name": f"demo_{name}", "Mode": {"Replicated": {"Replicas": 1}}, "TaskTemplate": template}
    return parse_service({"ID": name, "Version": {"Index": 1}, "Spec": spec}, "demo")


def stored(key: str, content: bytes) -> str:
    return stored_name("demo", key, content, slow=True)


def test_only_files_that_changed_are_replaced() -> None:
    kept, changed = "gymctl-tokens-tools", "gymctl-tokens-agent"
    services = {
        "tools": service("tools", **{kept: stored(kept, b"same"), "GYM_KEY": "demo_GYM_KEY_1"}),
        "agent": service("agent", **{changed: stored(changed, b"before")}),
        "vllm": service("vllm"),
    }
    (change,) = changed_secrets("demo", services, {kept: b"same", changed: b"after"})
    assert change.service == "agent"
    assert change.arguments == [
        "--secret-rm",
        stored(changed, b"before"),
        "--secret-add",
        f"source={stored(changed, b'after')},target={changed},uid=0,gid=0,mode=0444",
    ]


def test_a_change_that_fails_is_taken_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    swarm = small_swarm(monkeypatch, tmp_path, **BEFORE)
    file = tmp_path / "swarm.yaml"
    file.write_text(stack_file(agent=("new", 3), tools=("broken", 1)))
    command = ["docker", "stack", "deploy", "--compose-file", str(file), "demo"]
    titles = {"agent": "my agent", "tools": "tools"}
    earlier = find_services(swarm, "demo")
    with pytest.raises(ServerFailed, match="the previous version of the stack is running") as failed:
        update_services(swarm, "demo", lambda: run(command), titles, earlier, timeout=5, on_event=lambda _: None)
    assert failed.value.rolled_back
    assert swarm.runs() == BEFORE


def test_a_change_that_docker_refuses_halfway_is_taken_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    swarm = small_swarm(monkeypatch, tmp_path, **BEFORE)
    file = tmp_path / "swarm.yaml"
    file.write_text(stack_file(agent=("new", 3)))

    def start() -> None:
        run(["docker", "stack", "deploy", "--compose-file", str(file), "demo"])
        run(["docker", "service", "update", "demo_tools"])

    with pytest.raises(CommandFailed):
        earlier = find_services(swarm, "demo")
        update_services(swarm, "demo", start, dict.fromkeys(BEFORE, ""), earlier, timeout=5, on_event=lambda _: None)
    assert swarm.runs() == BEFORE
