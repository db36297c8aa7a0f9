"""Traces of a local stack of real processes, as a user turns them on."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from cli_stack import Gymctl
from free_ports import free_port
from trace_receiver import ReceivedSpan, receiving_traces

pytestmark = pytest.mark.processes

SECRET = "planted-7f3a-secret"
STACK = """\
head_server: {{port: {port}}}
telemetry:
  enabled: true
  otlp_endpoint: {url}
  otlp_headers: authorization=Bearer%20{secret}
  service_name: nightly
  sample_ratio: 0.0
  slow_seconds: 2.0
policy_model:
  responses_api_models:
    fixed: {{entrypoint: app.py}}
slow_tools:
  resources_servers:
    mine: {{entrypoint: app.py, domain: agent}}
my_agent:
  responses_api_agents:
    simple_agent:
      entrypoint: app.py
      resources_server: {{type: resources_servers, name: slow_tools}}
      model_server: {{type: responses_api_models, name: policy_model}}
"""
APP = """\
import asyncio
import logging
from gymctl.server import ResourcesServer, VerifyRequest, VerifyResponse

class Mine(ResourcesServer):
    async def verify(self, body: VerifyRequest) -> VerifyResponse:
        text = body.model_dump_json()
        logging.warning("verifies")
        if "be slow" in text:
            await asyncio.sleep(2.2)
        if "be broken" in text:
            raise RuntimeError("the verifier is broken")
        return VerifyResponse.of(body, reward=1.0)
"""
MODEL = """\
from gymctl.server import ModelServer

class Fixed(ModelServer):
    async def responses(self, params, session):
        content = [{"type": "output_text", "text": "yes", "annotations": []}]
        message = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": content}
        return {"id": "r", "object": "response", "created_at": 1, "model": "m", "output": [message],
                "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "status": "completed"}
"""
QUESTIONS = ["hello", "be slow", "be broken", *(f"question {number}" for number in range(20))]


@pytest.fixture
def rows(folder: Path) -> Path:
    for place, code in (("resources_servers/mine", APP), ("responses_api_models/fixed", MODEL)):
        (folder / place).mkdir(parents=True)
        (folder / place / "app.py").write_text(code)
    lines = [json.dumps({"responses_create_params": {"input": question}}) for question in QUESTIONS]
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n")
    return folder / "rows.jsonl"


def named(spans: list[ReceivedSpan], name: str, service: str) -> ReceivedSpan:
    (span,) = [span for span in spans if (span.name, span.service) == (name, f"nightly/{service}")]
    return span


def test_traces_of_a_local_stack(gymctl: Gymctl, folder: Path, rows: Path) -> None:
    with receiving_traces() as receiver:
        (folder / "stack.yaml").write_text(STACK.format(port=free_port(), url=receiver.url, secret=SECRET))
        assert SECRET not in gymctl("config", "show", "stack.yaml").out
        assert gymctl("up", "stack.yaml", "--engine", "local").code == 0
        try:
            options = ("--agent", "my_agent", "--max-attempts", "1")
            assert gymctl("collect", "-i", rows, "-o", "out.jsonl", *options).code == 1
            logs = gymctl("logs", "slow_tools").out
            kept = receiver.traces()
            receiver.spans.clear()
            assert gymctl("collect", "-i", rows, "-o", "all.jsonl", *options, "--trace-ratio", "1.0").code == 1
        finally:
            gymctl("down")
        every = receiver.traces()
        assert {request["authorization"] for request in receiver.requests} == {f"Bearer {SECRET}"}
    tasks = {spans[0].attributes["gymctl.task"]: trace for trace, spans in kept.items()}
    assert set(tasks) == {1, 2}, "the slow one and the broken one, and no other"
    slow = kept[tasks[1]]
    verify = named(slow, "verify", "my_agent")
    assert verify.end_ns - verify.start_ns >= 2_000_000_000
    assert verify.parent_id == named(slow, "POST /run", "my_agent").span_id
    assert f" trace={tasks[1]}]" in logs
    printed = gymctl("results", "show", "out.jsonl", "1:0").out
    assert f"[trace] {tasks[1]}" in printed
    assert f"[trace] {tasks[2]}" in gymctl("results", "show", "out.jsonl", "2:0").out
    assert "[trace]" not in gymctl("results", "show", "out.jsonl", "0:0").out

    assert len(every) == len(QUESTIONS)
    by_task = {spans[0].attributes["gymctl.task"]: spans for spans in every.values()}
    spans = by_task[0]
    root = named(spans, "rollout", "collector")
    chain = [root, named(spans, "attempt", "collector"), named(spans, "POST /run", "my_agent")]
    chain += [named(spans, "model", "my_agent"), named(spans, "POST /v1/responses", "policy_model")]
    for parent, child in itertools.pairwise(chain):
        assert child.parent_id == parent.span_id
        assert parent.start_ns <= child.start_ns <= child.end_ns <= parent.end_ns
    known = {span.span_id for span in spans}
    assert len(known) == len(spans) == 9
    assert all(span.parent_id in known for span in spans if span is not root)
    broken = by_task[2]
    root = named(broken, "rollout", "collector")
    attempts = [span for span in broken if span.name == "attempt"]
    verdicts = [span for span in broken if (span.name, span.service) == ("POST /verify", "nightly/slow_tools")]
    assert root.is_error and len(attempts) == len(verdicts) > 1
    assert {span.parent_id for span in attempts} == {root.span_id}
    assert all(span.is_error for span in (*attempts, *verdicts))

    manifest = (folder / "out_run.json").read_text()
    assert SECRET not in manifest and json.loads(manifest)["configuration"]["telemetry"]["otlp_headers"] == "****"
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "stack.yaml"]
    assert len(files) > 5 and not any(SECRET in path.read_text(errors="replace") for path in files)


def test_a_ratio_without_telemetry_is_refused(gymctl: Gymctl, folder: Path, rows: Path) -> None:
    stack = STACK.format(port=free_port(), url="http://127.0.0.1:9", secret=SECRET)
    (folder / "stack.yaml").write_text(stack)
    assert gymctl("up", "stack.yaml", "++telemetry.enabled=false", "--engine", "local").code == 0
    try:
        result = gymctl("collect", "-i", rows, "-o", "out.jsonl", "--agent", "my_agent", "--trace-ratio", "0.5")
        assert result.code == 2 and "--trace-ratio has no effect: the stack sends no traces" in result.err
    finally:
        gymctl("down")
