"""Every conversion that NeMo Gym 0.4.0's own tests of ``vllm_model`` make comes out the same here, or differs by rule.

Needs an interpreter with ``nemo-gym`` installed, named by ``GYMCTL_UPSTREAM_PYTHON``. Its tests are in its package:
``scripts/upstream_conversions.py`` runs them and writes down what went into and came out of its converter and server.
The cases of ``tests/server/chat`` are put to its converter too. docs/models.md argues each rule and each difference.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest
from model_endpoint import Endpoint, serving
from service_stack import open_stack, post, service

from gymctl.server.chat import Style, fold_reasoning, output_items, request_of

sys.path.append(str(Path(__file__).parents[1] / "server" / "chat"))
from test_replies import MESSAGES
from test_requests import CONVERSATIONS, PARAMETERS

pytestmark = pytest.mark.enable_socket

PYTHON = os.environ.get("GYMCTL_UPSTREAM_PYTHON", "")
SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "upstream_conversions.py"
CONFIG = service("responses_api_models", "vllm_model") / "configs" / "vllm_model.yaml"
Line = dict[str, Any]

# Cases that differ: what NeMo Gym does there. docs/models.md says why ours is right.
DIFFERENCES = {
    "TestAudioPathSplice.test_absolute_path_encodes_to_data_uri": "reads any file that a row names",
    "TestAudioPathSplice.test_audio_paths_list_emits_one_block_per_clip_in_order": "the same",
    "TestApp.test_responses_reasoning_parser": "takes the finish reason tool_calls without calls for an answer",
    "TestApp.test_responses_reasoning_parser_reasoning": "the same",
    "own: an image without detail": "refuses a detail of null",
    "own: a refusal": "refuses it in an easy message, and drops its text in others",
    "own: an output of parts": "refuses it",
    "own: reasoning text of an open model": "drops it",
    "own: training fields on the turn they belong to": "puts them on later turns without their own as well",
    "own: null": "refuses null for tools",
    "own: one tool by name": "fails: it hands the Responses form on",
    "own: a schema": "drops text.format",
    "own: any JSON": "drops text.format",
    "own: effort": "drops reasoning.effort",
    "own: log-probs": "drops include",
    "own: alternatives": "sends top_logprobs without logprobs, which vLLM refuses",
    "own: answer: a refusal": "drops it",
}


def own_cases() -> list[Line]:
    """The tables of tests/server/chat as conversions to ask NeMo Gym for."""
    cases = []
    for name, (items, _, style) in CONVERSATIONS.items():
        config = {"return_token_id_information": style.token_ids}
        cases.append({"test": f"own: {name}", "kind": "to_chat", "config": config, "given": {"input": items}})
    for name, (params, _) in PARAMETERS.items():
        body = {"input": [{"role": "user", "content": "u"}], **params}
        config = {"return_token_id_information": False}
        cases.append({"test": f"own: {name}", "kind": "to_chat", "config": config, "given": body})
    for name, (message, _, style) in MESSAGES.items():
        config = {"return_token_id_information": False, "uses_reasoning_parser": style.reasoning_parser}
        body = {"role": "assistant", **message}
        fold_reasoning(body)  # upstream's server does that before it asks the converter
        cases.append({"test": f"own: answer: {name}", "kind": "to_items", "config": config, "given": body})
    return cases


AS_WRITTEN = {
    case["test"]: case for case in own_cases()
}  # NeMo Gym's schema drops things before the converter has them


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> list[Line]:
    if not PYTHON or not Path(PYTHON).is_file():
        pytest.skip("GYMCTL_UPSTREAM_PYTHON names no interpreter with nemo-gym 0.4.0 in it")
    folder = tmp_path_factory.mktemp("conversions")
    (folder / "cases.jsonl").write_text("".join(json.dumps(case) + "\n" for case in own_cases()))
    command = [PYTHON, str(SCRIPT), str(folder / "cases.jsonl")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, cwd=folder)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_published_conversion_holds(upstream: list[Line], tmp_path: Path, capsys: Any) -> None:
    *lines, last = upstream
    differing: dict[str, str] = {}
    for line in lines:
        theirs, ours = COMPARED[line["kind"]](line)
        if theirs != ours:
            differing[line["test"]] = f"{line['kind']}: upstream: {json.dumps(theirs)}; ours: {json.dumps(ours)}"
    published = {line["test"] for line in lines if not line["test"].startswith("own: ")}
    with capsys.disabled():
        own = len({line["test"] for line in lines}) - len(published)
        print(
            f"\n{len(published - differing.keys())} of {len(published)} published cases ({len(last['tests'])} tests, "
            f"{len(lines)} conversions with {own} cases of our own) as upstream's"
        )
    unexpected = {name: text for name, text in differing.items() if name not in DIFFERENCES}
    assert not unexpected, json.dumps(unexpected, indent=2)
    assert not DIFFERENCES.keys() - differing.keys(), "these no longer differ"
    assert len(published) > 60
    assert set(last["tests"]) - published == {
        "TestApp.test_sanity",  # makes a server
        "TestVLLMConverter.test_extract_reasoning_from_content",  # tests/server/chat/test_thinking.py has its texts
    }


def to_chat(line: Line) -> tuple[Any, Any]:
    """Upstream puts reasoning into the text first, and takes it out again when it sends: compare before that."""
    style = Style(reasoning_parser=False, token_ids=line["config"]["return_token_id_information"])
    return sent_by_them(line.get("result", line.get("error"))), request_of(
        AS_WRITTEN.get(line["test"], line)["given"], style
    )


def to_items(line: Line) -> tuple[Any, Any]:
    style = Style(reasoning_parser=line["config"].get("uses_reasoning_parser", True))
    own = MESSAGES.get(line["test"].removeprefix("own: answer: "))
    ours = output_items(own[0] if own else line["given"], style)
    return without_made_up(line.get("result", line.get("error"))), without_made_up(ours)


def prepared(line: Line) -> tuple[Any, Any]:
    """A chat request to the server: what the endpoint gets, or that it was refused."""
    for place, content in line["files"].items():
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        Path(place).write_bytes(bytes.fromhex(content))
    refused = "refused" if "error" in line else None
    line["config"].pop("sequential_reasoning_allowed", None)  # it comes after the preparation
    status, _, sent = through_ours(line, [COMPLETION, {"tokens": []}], "/v1/chat/completions")
    return refused or sent_by_them(line["result"]), "refused" if status == 422 else sent[0][1]


def served(line: Line) -> tuple[Any, Any]:
    """A request to the server: what the endpoint gets, and what comes back."""
    status, body, sent = through_ours(line, line["answered"], line["path"])
    theirs = [[path, sent_by_them(request)] for path, request in line["sent"]]
    return [line["status"], theirs, without_made_up(line["result"])], [status, sent, without_made_up(body)]


COMPLETION = {"choices": [{"index": 0, "message": {"role": "assistant", "content": ""}, "logprobs": {"content": []}}]}
COMPARED = {"to_chat": to_chat, "to_items": to_items, "prepare": prepared, "served": served}


def through_ours(line: Line, answers: list[Any], path: str) -> tuple[int, Any, list[list[Any]]]:
    """Status and body of our server's answer, and its requests to an endpoint that gives ``answers`` in turn."""
    settings = {name: value for name, value in line["config"].items() if name not in ("host", "port", "entrypoint")}

    async def work() -> tuple[int, Any, list[list[Any]]]:
        endpoint = Endpoint(*[orjson.dumps(answer) for answer in answers])
        async with AsyncExitStack() as stack:
            settings["base_url"] = f"{await stack.enter_async_context(serving(endpoint))}/v1"
            servers = await stack.enter_async_context(open_stack(CONFIG, policy_model={**settings, "max_retries": 0}))
            reply = await post(servers["policy_model"], path, line["given"])
        sent = [[path.removeprefix("/v1").strip("/"), sent_by_us(json.loads(body))] for path, _, body in endpoint.seen]
        return reply.status, reply.json(), sent

    return asyncio.run(work())


def sent_by_us(request: dict[str, Any]) -> dict[str, Any]:
    """Rule: the one call that a newer vLLM needs is asked for too."""
    request.pop("return_token_ids", None)
    return request


def sent_by_them(request: Any) -> Any:
    """Rules: no empty lists of calls, and nothing about tools without tools (as 0.5); null is as good as nothing."""
    if not isinstance(request, dict):
        return request
    request = {name: value for name, value in request.items() if value is not None}
    if not request.get("tools"):
        for name in ("tools", "tool_choice", "parallel_tool_calls"):
            request.pop(name, None)
    for message in request["messages"]:
        if message.get("tool_calls") == []:
            del message["tool_calls"]
    return request


def without_made_up(value: Any) -> Any:
    """Without ids and times that either makes up, and without nulls; a Response says more about its end here."""
    if isinstance(value, list):
        return [without_made_up(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    made_up = {"created_at", "created"}
    if str(value.get("id")).startswith(("msg_", "rs_", "resp_")):
        made_up.add("id")
    if value.get("object") == "response":
        made_up.add("status")
    if "reason" in value:
        made_up.add("message")  # of incomplete_details: the endpoint's words
    return {name: without_made_up(item) for name, item in value.items() if item is not None and name not in made_up}
