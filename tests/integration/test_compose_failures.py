"""What goes wrong with a stack on Docker is said in a line or two, and nothing is half-written."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from small_stack import Services, SmallStack

from gymctl.engines.build.images import BuildFailed
from gymctl.engines.compose.engine import ComposeEngine
from gymctl.engines.compose.watch import ServerFailed
from gymctl.engines.protocol import ServerEvent
from gymctl.engines.runner import run
from gymctl.errors import EngineError, InputError
from gymctl.stack import ImagePlan

pytestmark = pytest.mark.docker

SERVER = "example_single_tool_call"


def exits(services: Services) -> None:
    services[SERVER]["command"] = ["python", "-c", "print('\x1b[31mno such table\x1b[0m'); raise SystemExit(3)"]


def never_healthy(services: Services) -> None:
    services[SERVER]["healthcheck"] = {
        "test": ["CMD-SHELL", "echo no answer from the table; exit 1"],
        "interval": "1s",
        "retries": 2,
        "timeout": "2s",
    }


@pytest.mark.parametrize("restart", ["no", "unless-stopped"])
def test_server_that_exits_is_named_with_code_and_last_lines(stack: SmallStack, restart: str) -> None:
    def change(services: Services) -> None:
        exits(services)
        services[SERVER]["restart"] = restart

    with pytest.raises(ServerFailed) as caught:
        stack.up(change)
    assert caught.value.server == SERVER
    assert "exited with code 3" in caught.value.reason
    assert "no such table" in caught.value.lines
    assert "gymctl down" in str(caught.value)
    assert not next(status for status in stack.engine.status() if status.name == SERVER).ok


def test_server_that_fails_can_be_put_right(stack: SmallStack) -> None:
    with pytest.raises(ServerFailed):
        stack.up(exits)
    stack.up()
    assert all(status.ok for status in stack.engine.status())


def test_server_that_never_gets_healthy_is_named_with_what_its_check_says(stack: SmallStack) -> None:
    with pytest.raises(ServerFailed, match="is unhealthy: its health check says: no answer from the table"):
        stack.up(never_healthy)


def test_server_that_takes_too_long(stack: SmallStack) -> None:
    def change(services: Services) -> None:
        services[SERVER]["command"] = ["sleep", "600"]

    with pytest.raises(ServerFailed, match=f"{SERVER} is not healthy after 8 s"):
        stack.up(change, timeout=8)


def test_server_that_cannot_be_started_gives_the_engines_reason(stack: SmallStack) -> None:
    def change(services: Services) -> None:
        services[SERVER]["devices"] = ["/dev/no-such-device:/dev/x"]

    with pytest.raises(ServerFailed, match=f"{SERVER} cannot be started: .*/dev/no-such-device"):
        stack.up(change)


def test_document_that_compose_refuses(stack: SmallStack) -> None:
    with pytest.raises(EngineError, match=r"Compose could not start the stack: .*nonsense"):
        stack.up(lambda services: services[SERVER].update(nonsense=1))


def test_image_that_cannot_be_built_is_named_and_nothing_is_written(stack: SmallStack) -> None:
    plan = replace(stack.plan(), images=(ImagePlan("gymctl-test-broken:1", None, ("no-such-package-at-all>=99",)),))
    with pytest.raises(BuildFailed) as caught:
        stack.engine.prepare(plan)
    assert caught.value.image == "gymctl-test-broken:1"
    assert "uv pip install" in caught.value.step
    assert "no-such-package-at-all" in "\n".join(caught.value.lines)
    assert [path.name for path in stack.directory.iterdir()] == ["stack.yaml"]


def test_port_of_another_process(stack: SmallStack) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", stack.port))
        taken.listen()
        with pytest.raises(EngineError, match=rf"port {stack.port} .* used by process \d+ .*\+head_server\.port=\d+"):
            stack.engine.prepare(stack.plan())


def test_port_and_name_of_another_stack(stack: SmallStack, tmp_path: Path) -> None:
    stack.up()
    other = tmp_path / "other"
    other.mkdir()
    plan = stack.plan()
    with pytest.raises(EngineError, match=f"the stack name {stack.name} is in use by {stack.directory}"):
        ComposeEngine(other).prepare(plan)
    with pytest.raises(EngineError, match=f"of the stack {stack.name} in {stack.directory}"):
        ComposeEngine(other).prepare(replace(plan, name="gymctl-test-other"))
    with pytest.raises(EngineError, match=f"already runs the stack {stack.name}"):
        stack.engine.prepare(replace(plan, name="gymctl-test-other"))


def test_file_of_someone_else_is_left_alone(stack: SmallStack) -> None:
    theirs = stack.directory / "compose.yaml"
    theirs.write_text(yaml.safe_dump({"services": {}}))
    with pytest.raises(InputError, match="was not written by gymctl"):
        stack.up()
    assert theirs.read_text() == yaml.safe_dump({"services": {}})


def test_server_removed_while_waiting_is_named(stack: SmallStack) -> None:
    def change(services: Services) -> None:
        services[SERVER]["command"] = ["sleep", "600"]

    def remove_once_others_are_healthy(event: ServerEvent) -> None:
        if event.name == "head" and event.health == "healthy":
            threading.Timer(2, run, [["docker", "rm", "-f", f"{stack.name}-{SERVER}-1"]]).start()

    with pytest.raises(ServerFailed, match=f"{SERVER} has no container"):
        stack.up(change, timeout=40, on_event=remove_once_others_are_healthy)
