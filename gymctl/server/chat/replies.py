"""A chat completion as a Response."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gymctl.server.chat.style import Style
from gymctl.server.chat.thinking import reasoning_of, split_thinking
from gymctl.server.chat.token_ids import TRAINING_FIELDS
from gymctl.server.models.answers import ENDS
from gymctl.server.responses import function_call, message, reasoning, response, usage

# Create params that a Response repeats.
_ECHOED = (
    "background instructions max_output_tokens max_tool_calls metadata parallel_tool_calls previous_response_id prompt "
    "reasoning service_tier temperature text tool_choice tools top_logprobs top_p truncation user"
).split()
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


def response_of(completion: Mapping[str, Any], params: Mapping[str, Any], model: str, style: Style) -> dict[str, Any]:
    """The Response to the create params ``params`` that a completion's first choice is.

    An answer that was cut short is ``incomplete``, with the reason in ``incomplete_details``.

    Args:
        completion: what ``read_answer`` took for an answer, or ``stopped`` made.
        params: what was asked.
        model: the model's name.
        style: how the endpoint puts things.
    """
    choice = completion["choices"][0]
    extra: dict[str, Any] = {name: params[name] for name in _ECHOED if params.get(name) is not None}
    extra["usage"] = _usage(completion.get("usage"))
    reason = _INCOMPLETE.get(ENDS.get(choice["finish_reason"], ""))
    if reason:
        extra["status"] = "incomplete"
        extra["incomplete_details"] = {"reason": reason}
        if "detail" in completion:
            extra["incomplete_details"]["message"] = completion["detail"]
    return response(model, output_items(choice["message"], style, _logprobs(choice, params)), **extra)


def output_items(
    reply: Mapping[str, Any], style: Style, logprobs: list[dict[str, Any]] | None = None
) -> list[dict[str, Any]]:
    """Items of an assistant's chat message, in the order reasoning, message, function calls; one at least.

    The training fields, where the message has them, are on the last item.
    """
    thoughts, text = _thoughts_and_text(reply, style)
    calls = reply.get("tool_calls") or ()
    items = []
    if thoughts:
        items.append(reasoning(thoughts))
    if text or not (items or calls):
        items.append(message(text))
        if logprobs:
            items[-1]["content"][0]["logprobs"] = logprobs
    for call in calls:
        item = function_call(call["function"]["name"], call["function"]["arguments"], call["id"])
        item["id"] = item["call_id"]  # as upstream: one id for both
        items.append(item)
    items[-1].update({name: reply[name] for name in TRAINING_FIELDS if reply.get(name) is not None})
    return items


def _thoughts_and_text(reply: Mapping[str, Any], style: Style) -> tuple[list[str], str]:
    """The reasoning of a chat message, as its field or inside its text, and the rest of the text."""
    text = reply.get("content") or reply.get("refusal") or ""
    thoughts: list[str] = []
    if style.reasoning_parser:
        thoughts, text = split_thinking(text)
    parsed = reasoning_of(reply)
    if parsed:
        thoughts.insert(0, parsed)
    return thoughts, text


def _logprobs(choice: Mapping[str, Any], params: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    if params.get("include") is None and params.get("top_logprobs") is None:
        return None
    logprobs = choice.get("logprobs")
    if isinstance(logprobs, Mapping):
        content = logprobs.get("content")
    else:
        content = None
    if isinstance(content, list):
        return content
    return None


def _usage(counts: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Token counts in the names that the Responses API has; details where the endpoint gives them."""
    if not counts:
        return None
    total = usage(counts.get("prompt_tokens") or 0, counts.get("completion_tokens") or 0)
    cached = (counts.get("prompt_tokens_details") or {}).get("cached_tokens")
    thought = (counts.get("completion_tokens_details") or {}).get("reasoning_tokens")
    total["input_tokens_details"]["cached_tokens"] = cached or 0
    total["output_tokens_details"]["reasoning_tokens"] = thought or 0
    return total
