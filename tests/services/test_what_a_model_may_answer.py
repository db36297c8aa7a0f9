"""Every line of the tables of answers in docs/collect.md, through a model server, an agent and an environment."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from model_endpoint import Answer as Handler
from model_endpoint import Endpoint, serving
from service_stack import environment, open_stack, service

from gymctl.rollouts.failures import Failure
from gymctl.rollouts.result_line import result_line
from gymctl.server import Call, HopFailed, Reply

pytestmark = pytest.mark.enable_socket

PAGE = Path(__file__).parents[2] / "docs" / "collect.md"
LINE = re.compile(r"^\| `(\d{3}) ?(.*?)` \| (`?[\w ]+`?) \| (yes|no|\u2013) \|$", re.MULTILINE)
AGENT = "example_single_tool_call_simple_agent"
VLLM = {"base_url": "", "api_key": "k", "model": "m", "max_retries": 0}
OPENAI = {"openai_base_url": "", "openai_api_key": "k", "openai_model": "m", "max_retries": 0}
SERVERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "vllm_model": ("Replies of Chat Completions", "base_url", VLLM),
    "azure_openai_model": ("Replies of Chat Completions", "openai_base_url", OPENAI),
    "openai_model": ("Replies of the Responses API", "openai_base_url", OPENAI),
    "vllm_model, native": ("Replies of the Responses API", "base_url", {**VLLM, "is_responses_native": True}),
}


def lines(title: str) -> list[tuple[str, str, str, str]]:
    """Status, body, what it counts as and whether it is tried again, of the table after a line of the page."""
    section = PAGE.read_text().split(title, 1)[1]
    table = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
    assert table is not None
    rows = LINE.findall(table[0])
    assert len(rows) == table[0].count("\n") - 2, "a line of the table that the test cannot read"
    return rows


CASES = [(server, *line) for server, (title, _, _) in SERVERS.items() for line in lines(title)]


async def roll_out(server: str, answer: Handler | web.Response) -> Reply:
    """The reply of an agent to one row, whose model's endpoint gives ``answer``."""
    implementation = server.partition(",")[0]
    config = service("responses_api_models", implementation) / "configs" / f"{implementation}.yaml"
    _, address_field, fields = SERVERS[server]
    async with serving(Endpoint(answer)) as address:
        policy = {**fields, address_field: f"{address}/v1"}
        async with open_stack(environment("example_single_tool_call"), config, policy_model=policy) as servers:
            row = {"responses_create_params": {"input": "What is the weather?"}}
            return await servers[AGENT].handle(Call("/run", orjson.dumps(row)))


@pytest.mark.parametrize(("server", "status", "body", "counts_as", "again"), CASES)
def test_a_line_of_the_table(server: str, status: str, body: str, counts_as: str, again: str) -> None:
    answer = web.Response(status=int(status), text=body, content_type="application/json")
    reply = asyncio.run(roll_out(server, answer))
    if counts_as.startswith("`"):
        assert reply.status >= 400, reply.body
        failure = Failure.of(HopFailed.of(AGENT, "/run", reply))
        assert (failure.failure_class, failure.retriable) == (counts_as.strip("`"), again == "yes")
        return
    assert reply.status == 200, reply.body
    result_line(reply.body, {}, AGENT)
    expected = {"answer": "completed", "incomplete answer": "incomplete"}[counts_as]
    assert (reply.json()["response"].get("status", "completed"), again) == (expected, "\u2013")
