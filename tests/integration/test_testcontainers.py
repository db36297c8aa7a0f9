"""A rendered stack under testcontainers: a user's own tests start it as any Compose project (docs/testing.md)."""

from __future__ import annotations

import json
import urllib.request

import pytest
from small_stack import SmallStack
from testcontainers.compose import DockerCompose

pytestmark = pytest.mark.docker


def test_a_rendered_file_is_a_compose_project_like_any_other(stack: SmallStack) -> None:
    stack.prepare()
    (stack.directory / "compose.yaml").write_text(stack.render())
    with DockerCompose(
        str(stack.directory), compose_file_name="compose.yaml", pull=False, build=False, wait=True
    ) as project:
        host, port = project.get_service_host_and_port("head", stack.port)
        with urllib.request.urlopen(f"http://{host}:{port}/server_instances", timeout=5) as reply:
            instances = {item["process_name"] for item in json.load(reply)}
        assert instances == {"policy_model", "example_single_tool_call", "example_single_tool_call_simple_agent"}
        assert all(container.Health == "healthy" for container in project.get_containers())
        out, _, code = project.exec_in_container(["id", "-u"], "example_single_tool_call")
        assert (out.strip(), code) == ("10001", 0)
