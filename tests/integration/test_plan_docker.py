"""``gymctl plan`` lists what ``gymctl up`` then does, by the engine's own events, and nothing else."""

from __future__ import annotations

import json

import pytest
from plan_commands import Cli, expected_events
from small_stack import SmallStack

from gymctl.engines.docker.daemon import connect

pytestmark = pytest.mark.docker

STACK = """\
config_paths: [responses_api_models/scripted_model/configs/scripted_model.yaml,
  resources_servers/example_single_tool_call/configs/example_single_tool_call.yaml]
head_server: {{host: 127.0.0.1, port: {port}}}
judge_model: {{responses_api_models: {{openai_model: {{entrypoint: app.py, openai_model: x,
  openai_base_url: "http://127.0.0.1:9/v1", openai_api_key: "${{judge_api_key}}"}}}}}}
"""
TOOLS = "example_single_tool_call"
AGENT = "example_single_tool_call_simple_agent"


def write(stack: SmallStack, more: str = "", key: str = "first") -> None:
    (stack.directory / "stack.yaml").write_text(STACK.format(port=stack.port) + more)
    (stack.directory / "env.yaml").write_text(f"judge_api_key: sk-{key}-0123456789\n")


def test_plan_lists_what_up_does(stack: SmallStack) -> None:
    gymctl = Cli(stack)
    write(stack)
    before = sorted(path.name for path in stack.directory.iterdir())
    servers, plan = gymctl.plan(code=3)
    assert {server["action"] for server in servers.values()} == {"created"}
    assert sorted(path.name for path in stack.directory.iterdir()) == before
    _, happened = gymctl.up()
    assert happened == expected_events(servers)
    assert gymctl.plan(code=0)[0] == {}

    steps = f"{AGENT}: {{responses_api_agents: {{simple_agent: {{max_steps: 7}}}}}}\n"
    write(stack, steps)
    servers, plan = gymctl.plan(code=3)
    reasons = {reason["path"]: reason for reason in servers[AGENT]["reasons"]}
    reason = reasons[f"{AGENT}.responses_api_agents.simple_agent.max_steps"]
    assert (reason["new"], reason["place"].split(":")[:2]) == ("7", ["stack.yaml", "6"])
    assert servers.keys() == {"head", AGENT}, "the head shows the configuration of all"
    assert plan["summary"] == "2 replaced, 3 unchanged"
    output, happened = gymctl.up()
    assert happened == expected_events(servers)
    assert "changes: 2 replaced, 3 unchanged" in output
    assert gymctl.plan(code=0)[0] == {}


def test_plan_sees_secrets_containers_that_stopped_and_servers_that_went(stack: SmallStack) -> None:
    gymctl = Cli(stack)
    write(stack)
    gymctl.up()
    client = connect("")
    write(stack, key="second")
    client.api.stop(f"{stack.name}-{TOOLS}-1", timeout=1)
    servers, plan = gymctl.plan(code=3)
    assert {name: server["action"] for name, server in servers.items()} == {
        "judge_model": "replaced",
        TOOLS: "started",
    }
    assert "sk-" not in json.dumps(plan)
    assert servers["judge_model"]["reasons"][0]["old"].startswith("sha256:")
    _, happened = gymctl.up()
    assert happened == expected_events(servers, {TOOLS: 1})
    assert gymctl.plan(code=0)[0] == {}

    text = (stack.directory / "stack.yaml").read_text()
    (stack.directory / "stack.yaml").write_text(text[: text.index("judge_model:")])
    servers, _ = gymctl.plan(code=3)
    assert {name: server["action"] for name, server in servers.items()} == {
        "head": "replaced",
        "judge_model": "removed",
    }
    output, happened = gymctl.up()
    assert happened == expected_events(servers)
    assert "1 replaced, 1 removed" in output
    assert gymctl.plan(code=0)[0] == {}


def test_a_wrong_input_has_its_own_exit_code(stack: SmallStack) -> None:
    (stack.directory / "stack.yaml").write_text(
        "policy_model: {responses_api_models: {nothing: {entrypoint: app.py}}}\n"
    )
    assert "error" in Cli(stack)("plan", code=2).stderr
