"""Traces of a stack of containers: the collector runs in one too, and ``gymctl collect`` sends the spans."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import EXAMPLE, Folder
from trace_receiver import receiving_traces

pytestmark = pytest.mark.docker

SECRET = "planted-91c4-secret"
STACK = """\
config_paths:
- responses_api_models/scripted_model/configs/scripted_model.yaml
- resources_servers/example_single_tool_call/configs/example_single_tool_call.yaml
telemetry:
  enabled: true
  otlp_endpoint: {url}
  otlp_headers: x-key={secret}
  sample_ratio: 1.0
"""
AGENT = "example_single_tool_call_simple_agent"


@pytest.fixture
def folder(tmp_path: Path, free_port: int) -> Iterator[Folder]:
    made = Folder(tmp_path, free_port)
    yield made
    made.clean()


def test_traces_of_containers(folder: Folder) -> None:
    with receiving_traces() as receiver:
        (folder.path / "stack.yaml").write_text(STACK.format(url=receiver.url, secret=SECRET))
        started = folder.up("stack.yaml")
        assert started.returncode == 0, started.stderr
        assert SECRET not in (folder.path / "compose.yaml").read_text()
        containers = folder.docker("ps", "-q", "--filter", f"label=com.docker.compose.project={folder.name}").split()
        assert len(containers) == 4 and SECRET not in folder.docker("inspect", *containers)
        done = folder.gymctl("collect", "-i", EXAMPLE / "rows.jsonl", "-o", "rollouts.jsonl", "--limit", 5)
        assert done.returncode == 0, done.stderr
    traces = receiver.traces()
    assert len(traces) == 5
    assert {request["x-key"] for request in receiver.requests} == {SECRET}
    for spans in traces.values():
        by_id = {span.span_id: span for span in spans}
        (root,) = [span for span in spans if not span.parent_id]
        assert root.name == "rollout" and len(by_id) == len(spans)
        services = {span.service.removeprefix("gymctl/") for span in spans}
        assert services == {"collector", AGENT, "policy_model", "example_single_tool_call"}
        for span in spans:
            if span is not root:
                parent = by_id[span.parent_id]
                assert parent.start_ns <= span.start_ns <= span.end_ns <= parent.end_ns
    assert SECRET not in (folder.path / "rollouts_run.json").read_text()
