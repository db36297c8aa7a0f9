"""Files of a run as gymctl collect writes them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

TOOL = {
    "type": "function",
    "name": "look_up",
    "description": "Look a city up.",
    "strict": None,
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def message(text: str, **fields: Any) -> dict[str, Any]:
    """A message of the model."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"id": "m", "type": "message", "role": "assistant", "status": "completed", "content": content, **fields}


def call(arguments: str, identity: str = "c1", **fields: Any) -> dict[str, Any]:
    """A call of the tool."""
    return {
        "type": "function_call",
        "id": "f",
        "call_id": identity,
        "name": "look_up",
        "arguments": arguments,
        **fields,
    }


def answer(output: str, identity: str = "c1") -> dict[str, Any]:
    """What the tool answered."""
    return {"type": "function_call_output", "call_id": identity, "output": output}


def thought(text: str) -> dict[str, Any]:
    """What the model thought."""
    return {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": text}]}


def tokens(prompt: list[int], generated: list[int], logprobs: list[float]) -> dict[str, Any]:
    """Training fields of an item."""
    return {"prompt_token_ids": prompt, "generation_token_ids": generated, "generation_log_probs": logprobs}


def inputs(task: int = 0, **params: Any) -> dict[str, Any]:
    """The row of a task."""
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"Question {task}?"}]
    row = {"responses_create_params": {"input": messages, **params}, "agent_ref": {"name": "agent"}}
    return {**row, "expected_answer": str(task)}


def result(
    task: int,
    repeat: int,
    reward: Any = 1.0,
    output: Iterable[Any] = (),
    params: dict[str, Any] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """A line of the results."""
    response = {
        "id": "resp",
        "object": "response",
        "status": "completed",
        "model": "policy",
        "output": list(output) or [message(f"Answer {task}:{repeat}")],
        "usage": {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12},
    }
    row = {**inputs(task, **(params or {})), "_ng_task_index": task, "_ng_rollout_index": repeat}
    return {**row, "response": {**response, **fields.pop("response", {})}, "reward": reward, **fields}


def failure(task: int, repeat: int) -> dict[str, Any]:
    """A line of the failures."""
    row = {**inputs(task), "_ng_task_index": task, "_ng_rollout_index": repeat}
    return {**row, "_ng_failure_class": "connect", "_ng_failure_terminal": True}


def write_run(
    folder: Path,
    results: list[dict[str, Any]],
    failures: Iterable[dict[str, Any]] = (),
    expected: Iterable[tuple[int, int]] | None = None,
) -> Path:
    """Write the files; returns the results."""
    path = folder / "rollouts.jsonl"
    keys = expected if expected is not None else [(row["_ng_task_index"], row["_ng_rollout_index"]) for row in results]
    rows = [{**inputs(task), "_ng_task_index": task, "_ng_rollout_index": repeat} for task, repeat in keys]
    for name, lines in (("", results), ("_failures", failures), ("_materialized_inputs", rows)):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        path.with_name(f"rollouts{name}.jsonl").write_text(text)
    return path
