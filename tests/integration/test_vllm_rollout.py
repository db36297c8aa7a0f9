"""Rollouts through an agent, ``vllm_model`` and a real vLLM on the CPU, beside what that vLLM says when asked directly.

One stack for all: two instances of a tiny model with real tokens and real log-probs, started by ``gymctl up``.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from command_line import Folder
from vllm_cpu import EXAMPLE, IMAGE, Direct, missing, overrides, rows_at_temperature_0, run, tiny_model

from gymctl.config.vllm.families import FAMILIES

pytestmark = [pytest.mark.docker, pytest.mark.slow]

TOKEN = "hf_not-a-token-of-the-hub"
AGENT = "example_single_tool_call_simple_agent"
# The same prompt in another batch: float32 sums in another order
SAME_WITHIN = 1e-4

Items = list[dict[str, Any]]
Rollouts = list[dict[str, Any]]


class RunningVllm(NamedTuple):
    """The folder of the running stack, and its two instances of vLLM."""

    folder: Folder
    instances: list[Direct]


def free_ports(count: int) -> int:
    """The first of ``count`` ports in a row that nobody has."""
    for first in range(21000 + os.getpid() % 4000, 30000, count):
        with socket.socket() as one, socket.socket() as other:
            try:
                one.bind(("127.0.0.1", first))
                other.bind(("127.0.0.1", first + 1))
            except OSError:
                continue
            return first
    raise AssertionError("no free ports")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningVllm]:
    """The folder of the running stack, and its two instances of vLLM."""
    if reason := missing():
        pytest.skip(reason)
    first = free_ports(3)
    folder = Folder(tmp_path_factory.mktemp("vllm"), first + 2, patience=600)
    (folder.path / "stack.yaml").write_text(EXAMPLE.read_text())
    (folder.path / "env.yaml").write_text(f"hf_token: {TOKEN}\n")
    try:
        done = folder.up("stack.yaml", *overrides(tiny_model(), first))
        assert done.returncode == 0, done.stdout + done.stderr
        yield RunningVllm(folder, [Direct(first), Direct(first + 1)])
    finally:
        folder.clean()


@pytest.fixture(scope="module")
def rollouts(stack: RunningVllm) -> Rollouts:
    """One rollout of each bundled row, in their order."""
    folder, _ = stack
    lines = "".join(json.dumps(row) + "\n" for row in rows_at_temperature_0())
    (folder.path / "rows.jsonl").write_text(lines)
    done = folder.gymctl("collect", "-i", "rows.jsonl", "-o", "out.jsonl", "--agent", AGENT, "--order", "input")
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in (folder.path / "out.jsonl").read_text().splitlines()]


def chat(items: Items) -> Iterator[dict[str, Any]]:
    """Items of the Responses API as messages, by hand: the reference for what the model server made of them."""
    for item in items:
        if item.get("type") == "function_call":
            function = {"name": item["name"], "arguments": item["arguments"]}
            call = {"id": item["call_id"], "type": "function", "function": function}
            yield {"role": "assistant", "content": "", "tool_calls": [call]}
        elif item.get("type") == "function_call_output":
            yield {"role": "tool", "tool_call_id": item["call_id"], "content": item["output"]}
        elif item["role"] == "assistant":
            yield {"role": "assistant", "content": "".join(part["text"] for part in item["content"])}
        else:
            yield {"role": item["role"], "content": item["content"]}


def steps(rollout: dict[str, Any]) -> Iterator[tuple[Items, Items, dict[str, Any]]]:
    """Every call of the model in a rollout: what it was told, the tools, and the item that holds its tokens."""
    params = rollout["responses_create_params"]
    tools = [
        {"type": "function", "function": {key: tool[key] for key in ("name", "description", "parameters")}}
        for tool in params["tools"]
    ]
    output = rollout["response"]["output"]
    for index, item in enumerate(output):
        if "generation_token_ids" in item:
            yield list(chat([*params["input"], *output[:index]])), tools, item


def test_the_rollouts_call_the_tool_and_end(rollouts: Rollouts) -> None:
    kinds = [[item["type"] for item in rollout["response"]["output"]] for rollout in rollouts]
    assert kinds == [["function_call", "function_call_output", "message"]] * 4 + [["message"]]
    answers = [rollout["response"]["output"][-1]["content"][0]["text"] for rollout in rollouts]
    assert answers[0] == "It is mild and dry in Lisbon today."
    assert [rollout["reward"] for rollout in rollouts] == [1.0] * 5


def test_token_ids_and_log_probs_are_those_that_the_server_gives_directly(
    stack: RunningVllm, rollouts: Rollouts
) -> None:
    _, instances = stack
    compared = 0
    for rollout in rollouts:
        for messages, tools, item in steps(rollout):
            for vllm in instances:
                assert item["prompt_token_ids"] == vllm.prompt_ids(messages, tools)
                ids, log_probs = vllm.answer(messages, tools)
                assert item["generation_token_ids"] == ids
                assert item["generation_log_probs"] == pytest.approx(log_probs, abs=SAME_WITHIN)
                compared += 1
    assert compared == 2 * (2 * 4 + 1)


def test_token_ids_are_those_of_the_text(stack: RunningVllm, rollouts: Rollouts) -> None:
    _, (vllm, _) = stack
    call, _, message = rollouts[0]["response"]["output"]
    assert vllm.text(call["generation_token_ids"]) == (
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Lisbon"}}\n</tool_call><|im_end|>'
    )
    assert vllm.text(message["generation_token_ids"]) == "It is mild and dry in Lisbon today.<|im_end|>"


def test_a_later_prompt_begins_with_all_that_came_before(rollouts: Rollouts) -> None:
    """What a trainer relies on: the tokens of one trajectory, each turn after the other."""
    first, _, last = rollouts[0]["response"]["output"]
    before = [*first["prompt_token_ids"], *first["generation_token_ids"]]
    assert last["prompt_token_ids"][: len(before)] == before


def test_both_instances_work(stack: RunningVllm, rollouts: Rollouts) -> None:
    folder, instances = stack
    before = [vllm.calls() for vllm in instances]
    done = folder.gymctl(
        *("collect", "-i", "rows.jsonl", "-o", "more.jsonl", "--agent", AGENT, "--num-repeats", 4, "--json")
    )
    assert done.returncode == 0, done.stderr
    ended = [vllm.calls() - was for vllm, was in zip(instances, before, strict=True)]
    assert sum(ended) == 4 * (2 * 4 + 1)
    assert all(calls >= 8 for calls in ended), ended


def test_a_prompt_that_is_too_long_is_no_answer(stack: RunningVllm) -> None:
    folder, _ = stack
    row = rows_at_temperature_0()[0]
    row["responses_create_params"]["input"][-1]["content"] += " and then?" * 1000
    (folder.path / "long.jsonl").write_text(json.dumps(row))
    done = folder.gymctl("collect", "-i", "long.jsonl", "-o", "long-out.jsonl", "--agent", AGENT)
    assert done.returncode == 0, done.stderr
    response = json.loads((folder.path / "long-out.jsonl").read_text())["response"]
    assert response["status"] == "incomplete"
    assert response["incomplete_details"]["reason"] == "max_output_tokens"
    assert "maximum context length is 1024 tokens" in response["incomplete_details"]["message"]


def test_the_token_of_the_hub_is_in_a_file_and_nowhere_else(stack: RunningVllm) -> None:
    folder, _ = stack
    assert TOKEN not in (folder.path / "compose.yaml").read_text()
    containers = folder.docker("ps", "-q", "--filter", f"label=com.docker.compose.project={folder.name}").split()
    assert TOKEN not in folder.docker("inspect", *containers)
    ask = "from huggingface_hub import get_token; print(get_token())"
    assert folder.docker("compose", "exec", "vllm-1", "python", "-c", ask).strip() == TOKEN
    assert (
        "not found"
        in subprocess.run(
            ["docker", "compose", "exec", "policy_model", "sh", "-c", "ls /run/secrets || echo not found"],
            cwd=folder.path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )


def test_every_parser_named_for_a_family_is_one_that_vllm_has() -> None:
    if reason := missing():
        pytest.skip(reason)
    script = (
        "from vllm.tool_parsers import _TOOL_PARSERS_TO_REGISTER as tools\n"
        "from vllm.reasoning import _REASONING_PARSERS_TO_REGISTER as reasoning\n"
        "import json; print(json.dumps([sorted(tools), sorted(reasoning)]))"
    )
    known = run("docker", "run", "--rm", "--entrypoint", "python", IMAGE, "-c", script).splitlines()[-1]
    tools, reasoning = map(set, json.loads(known))
    assert {name for family in FAMILIES for name in family.tools} <= tools
    assert {family.reasoning for family in FAMILIES if family.reasoning} <= reasoning
