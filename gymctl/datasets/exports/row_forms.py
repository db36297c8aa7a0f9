"""The rows that each trainer reads, made of a rollout's chat or of a pair of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from gymctl.datasets.exports.conversation import ExportedConversation, NotChatError, with_text_arguments
from gymctl.datasets.exports.rollout_index import RolloutEntry
from gymctl.datasets.exports.token_row import TokenRow
from gymctl.datasets.options import ExportTarget
from gymctl.server.responses import output_text

Row = dict[str, Any]


def _with_tools(row: Row, conversation: ExportedConversation) -> Row:
    if conversation.tools:
        row["tools"] = conversation.tools
    return row


def _messages(conversation: ExportedConversation) -> Row:
    return _with_tools({"messages": conversation.messages}, conversation)


def _openai_messages(conversation: ExportedConversation) -> Row:
    return _with_tools({"messages": with_text_arguments(conversation.messages)}, conversation)


def _verl_messages(conversation: ExportedConversation) -> Row:
    messages = with_text_arguments(conversation.messages)
    if not all(isinstance(message["content"], str) for message in messages):
        raise NotChatError("images cannot be exported for verl")
    return {"messages": messages, "tools": json.dumps(conversation.tools, ensure_ascii=False)}


SUPERVISED: Mapping[ExportTarget, Callable[[ExportedConversation], Row]] = {
    ExportTarget.NEMO_RL: _messages,
    ExportTarget.TRL: _messages,
    ExportTarget.VERL: _verl_messages,
    ExportTarget.OPENAI: _openai_messages,
}


def _ranked_pair(chosen: ExportedConversation, rejected: ExportedConversation) -> Row:
    completions = [
        {"rank": rank, "completion": conversation.completion} for rank, conversation in enumerate((chosen, rejected))
    ]
    return {"context": chosen.prompt, "completions": completions}


def _named_pair(chosen: ExportedConversation, rejected: ExportedConversation) -> Row:
    row = {"prompt": chosen.prompt, "chosen": chosen.completion, "rejected": rejected.completion}
    return _with_tools(row, chosen)


def _openai_pair(chosen: ExportedConversation, rejected: ExportedConversation) -> Row:
    return {
        "input": _with_tools({"messages": with_text_arguments(chosen.prompt)}, chosen),
        "preferred_output": chosen.completion,
        "non_preferred_output": rejected.completion,
    }


PREFERENCE: Mapping[ExportTarget, Callable[[ExportedConversation, ExportedConversation], Row]] = {
    ExportTarget.NEMO_RL: _ranked_pair,
    ExportTarget.TRL: _named_pair,
    ExportTarget.OPENAI: _openai_pair,
}


def labelled(conversation: ExportedConversation, *, passed: bool) -> Row:
    """A row for KTO."""
    row = {"prompt": conversation.prompt, "completion": conversation.completion, "label": passed}
    return _with_tools(row, conversation)


def _gym_task(task: int, row: Row, prompt: ExportedConversation, rate: float | None) -> Row:
    return row


def _trl_task(task: int, row: Row, prompt: ExportedConversation, rate: float | None) -> Row:
    columns = {key: value for key, value in row.items() if key not in ("responses_create_params", "prompt", "tools")}
    return _with_tools({"prompt": prompt.prompt, **columns}, prompt)


def _verl_task(task: int, row: Row, prompt: ExportedConversation, rate: float | None) -> Row:
    reference = row.get("agent_ref") or {}
    if not all(isinstance(message["content"], str) for message in prompt.prompt):
        raise NotChatError("images cannot be exported for verl")
    return {
        "data_source": str(reference.get("name") or "gym"),
        "prompt": with_text_arguments(prompt.prompt),
        "ability": "gym",
        "reward_model": {"style": "rule", "ground_truth": json.dumps(row, ensure_ascii=False)},
        "extra_info": {"index": task, "pass_rate": rate, "tools": json.dumps(prompt.tools, ensure_ascii=False)},
    }


TASKS: Mapping[ExportTarget, Callable[[int, Row, ExportedConversation, float | None], Row]] = {
    ExportTarget.NEMO_RL: _gym_task,
    ExportTarget.TRL: _trl_task,
    ExportTarget.VERL: _verl_task,
}


def token_columns(rollout: RolloutEntry, tokens: TokenRow, *, group_size: int, group_complete: bool) -> Row:
    """A row of token ids, with what an advantage is computed from."""
    return {
        "task_index": rollout.task,
        "rollout_index": rollout.repeat,
        "agent": rollout.agent,
        "reward": rollout.reward,
        "group_size": group_size,
        "group_complete": group_complete,
        "turns": tokens.turns,
        "prompt_ids": tokens.prompt_ids,
        "completion_ids": tokens.completion_ids,
        "mask": tokens.mask,
        "logprobs": tokens.logprobs,
    }


def flat_columns(
    rollout: RolloutEntry, conversation: ExportedConversation, result: Mapping[str, Any], *, group_complete: bool
) -> Row:
    """A row for tables: scalars, the last user message, the answer, and the whole chat as JSON."""
    usage = result["response"].get("usage") or {}
    users = [message["content"] for message in conversation.prompt if message["role"] == "user"] or [""]
    return {
        "task_index": rollout.task,
        "rollout_index": rollout.repeat,
        "agent": rollout.agent,
        "reward": rollout.reward,
        "group_complete": group_complete,
        "question": _as_text(users[-1]),
        "answer": output_text(result["response"]),
        "tool_calls": sum(len(message.get("tool_calls") or ()) for message in conversation.completion),
        "input_tokens": usage.get("input_tokens"),
        "output_tokens": usage.get("output_tokens"),
        "messages": json.dumps(conversation.messages, ensure_ascii=False),
    }


def _as_text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return json.dumps(content, ensure_ascii=False)
