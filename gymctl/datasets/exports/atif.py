"""A rollout as a trajectory in the Agent Trajectory Interchange Format, version 1.7."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gymctl.datasets.exports.conversation import ExportedConversation
from gymctl.datasets.exports.rollout_index import RolloutEntry
from gymctl.datasets.json_values import as_list, as_object

VERSION = "ATIF-v1.7"
_SOURCES = {"system": "system", "developer": "system", "user": "user", "assistant": "agent"}


def trajectory(
    rollout: RolloutEntry, conversation: ExportedConversation, result: Mapping[str, Any], *, session: str, version: str
) -> dict[str, Any]:
    """The trajectory of a rollout; its reward is in ``extra``."""
    steps = _steps(conversation)
    model = result["response"].get("model")
    agent: dict[str, Any] = {"name": rollout.agent or "agent", "version": version}
    if model:
        agent["model_name"] = model
    if conversation.tools:
        agent["tool_definitions"] = conversation.tools
    return {
        "schema_version": VERSION,
        "session_id": session,
        "trajectory_id": f"{session}-{rollout.task}-{rollout.repeat}",
        "agent": agent,
        "steps": steps,
        "final_metrics": {**_usage(result["response"].get("usage")), "total_steps": len(steps)},
        "extra": {"task_index": rollout.task, "rollout_index": rollout.repeat, "reward": rollout.reward},
    }


def _steps(conversation: ExportedConversation) -> list[dict[str, Any]]:
    """One step for each message; what tools answered is the observation of the step that called them."""
    steps: list[dict[str, Any]] = []
    for message in conversation.messages:
        if message["role"] == "tool":
            _observe(steps, message)
            continue
        step: dict[str, Any] = {
            "step_id": len(steps) + 1,
            "source": _SOURCES[message["role"]],
            "message": _text(message["content"]),
        }
        if message.get("reasoning_content"):
            step["reasoning_content"] = message["reasoning_content"]
        if message.get("tool_calls"):
            step["tool_calls"] = [_call(call) for call in message["tool_calls"]]
        if message.get("generation_token_ids"):
            step["metrics"] = _metrics(message)
        steps.append(step)
    return steps


def _metrics(message: Mapping[str, Any]) -> dict[str, Any]:
    """Token ids and log-probs of the call that a step is, as the policy reported them."""
    prompt = as_list(message.get("prompt_token_ids"))
    generated = as_list(message["generation_token_ids"])
    return {
        "prompt_tokens": len(prompt),
        "completion_tokens": len(generated),
        "prompt_token_ids": prompt,
        "completion_token_ids": generated,
        "logprobs": as_list(message.get("generation_log_probs")),
    }


def _observe(steps: list[dict[str, Any]], message: Mapping[str, Any]) -> None:
    call_id = message["tool_call_id"]
    caller = next(
        (
            step
            for step in reversed(steps)
            if any(call["tool_call_id"] == call_id for call in step.get("tool_calls") or ())
        ),
        None,
    )
    answer: dict[str, Any] = {"content": _text(message["content"])}
    if caller is not None:
        answer["source_call_id"] = call_id
    if not steps:
        steps.append({"step_id": 1, "source": "system", "message": ""})
    holder = caller or steps[-1]
    holder.setdefault("observation", {"results": []})["results"].append(answer)


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or "[image]" for part in content)


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    arguments = call["function"]["arguments"]
    if not isinstance(arguments, dict):
        arguments = {"arguments": arguments}
    return {
        "tool_call_id": call["id"],
        "function_name": call["function"]["name"],
        "arguments": arguments,
    }


def _usage(usage: Any) -> dict[str, int]:
    names = {"input_tokens": "total_prompt_tokens", "output_tokens": "total_completion_tokens"}
    counts = as_object(usage)
    return {name: counts[key] for key, name in names.items() if type(counts.get(key)) is int}
