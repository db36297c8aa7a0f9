"""Create params of the Responses API as a request of Chat Completions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from gymctl.config.upstream import CREATE_PARAMS
from gymctl.server.chat.messages import messages_of, text_of
from gymctl.server.chat.style import Style
from gymctl.server.message import RefusedError

# Parameters that both APIs have, with one meaning.
_SAME = (
    "metadata model parallel_tool_calls prompt_cache_key prompt_cache_retention safety_identifier service_tier store "
    "temperature top_p user"
).split()
# An endpoint of Chat Completions keeps nothing between calls: the answer would not be to what was asked.
_NOT_POSSIBLE = ("previous_response_id", "conversation", "prompt", "background", "stream")
_LOGPROBS = "message.output_text.logprobs"
Translated = TypeVar("Translated")


def request_of(params: Mapping[str, Any], style: Style) -> dict[str, Any]:
    """The chat request for create params; parameters that are null are left out.

    Raises:
        RefusedError: something in it has no counterpart, such as a tool that the provider itself would have to run.
    """
    parameters = parameters_of(params)
    return {"messages": input_messages(params, style), **parameters}


def parameters_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the chat request that are not its messages.

    Raises:
        RefusedError: as ``request_of``, for anything but the input's items.
    """
    _check(params)
    request: dict[str, Any] = {}
    for name in _SAME:
        value = params.get(name)
        if value is not None:
            request[name] = value
    for name, translate in _TRANSLATED.items():
        value = params.get(name)
        if value is not None:
            request.update(_well_formed(name, translate, value))
    tools = params.get("tools")
    if tools:
        request["tools"] = _well_formed("tools", _tools, tools)
        request.update(_tool_choice(params.get("tool_choice")))
    else:
        request.pop("parallel_tool_calls", None)
        if params.get("tool_choice") not in (None, "auto", "none"):
            raise RefusedError(("tool_choice",), f"{params['tool_choice']!r} requires at least one tool")
    return request


def _well_formed(name: str, translate: Callable[[Any], Translated], value: Any) -> Translated:
    """What a parameter becomes; one of a shape that it cannot have is refused by its name."""
    try:
        return translate(value)
    except (AttributeError, TypeError) as error:
        raise RefusedError((name,), f"malformed: {error}", "type_error") from error


def _check(params: Mapping[str, Any]) -> None:
    unknown = params.keys() - CREATE_PARAMS
    if unknown:
        raise RefusedError((min(unknown),), "Extra inputs are not permitted", "extra_forbidden")
    if params.get("input") is None:
        raise RefusedError(("input",), "Field required", "missing")
    for name in _NOT_POSSIBLE:
        if params.get(name):
            raise RefusedError((name,), "not supported: the endpoint speaks Chat Completions, one answer per call")


def input_messages(params: Mapping[str, Any], style: Style) -> list[dict[str, Any]]:
    """The chat messages of ``input`` and ``instructions``.

    Raises:
        RefusedError: one of them cannot be converted; with its place.
    """
    input_items = params["input"]
    if isinstance(input_items, str):
        messages: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "text", "text": input_items}]}]
    elif isinstance(input_items, list):
        messages = messages_of(input_items, style)
    else:
        raise RefusedError(("input",), "Input should be a string or a list of items", "type_error")
    instructions = params.get("instructions")
    if instructions:
        return _led_by(instructions, messages)
    return messages


def _led_by(instructions: Any, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Instructions and the system messages right after them as one: many chat templates take only one."""
    if not isinstance(instructions, str):
        raise RefusedError(("instructions",), "Input should be a valid string", "string_type")
    texts = [instructions]
    rest = 0
    for message in messages:
        if message["role"] not in ("system", "developer"):
            break
        texts.append(text_of(message["content"]))
        rest += 1
    return [{"role": "system", "content": "\n\n".join(texts)}, *messages[rest:]]


def _tools(tools: Any) -> list[dict[str, Any]]:
    return [_tool(tool, index) for index, tool in enumerate(tools)]


def _tool(tool: Any, index: int) -> dict[str, Any]:
    """A function as Chat Completions has it: one level deeper, and without ``strict`` (vLLM has no use for it)."""
    if not isinstance(tool, Mapping) or tool.get("type", "function") != "function" or "name" not in tool:
        if isinstance(tool, Mapping):
            kind = tool.get("type")
        else:
            kind = tool
        raise RefusedError(("tools", index), f"{kind!r}: this endpoint supports only named functions")
    return {"type": "function", "function": {key: tool[key] for key in tool if key not in ("type", "strict")}}


def _tool_choice(choice: Any) -> dict[str, Any]:
    if choice is None or isinstance(choice, str):
        if choice is None:
            return {}
        return {"tool_choice": choice}
    if isinstance(choice, Mapping) and choice.get("type") == "function" and "name" in choice:
        return {"tool_choice": {"type": "function", "function": {"name": choice["name"]}}}
    raise RefusedError(("tool_choice",), "expected auto, none, required, or a named function")


def _text(value: Mapping[str, Any]) -> dict[str, Any]:
    """``text.format`` is ``response_format`` there, with the schema one level deeper."""
    text_format = value.get("format") or {}
    kind = text_format.get("type")
    converted: dict[str, Any] = {}
    if kind == "json_schema":
        schema = {key: text_format[key] for key in text_format if key != "type"}
        converted["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif kind == "json_object":
        converted["response_format"] = {"type": "json_object"}
    if value.get("verbosity") is not None:
        converted["verbosity"] = value["verbosity"]
    return converted


def _reasoning(value: Mapping[str, Any]) -> dict[str, Any]:
    if value.get("effort") is None:
        return {}
    return {"reasoning_effort": value["effort"]}


def _include(value: Sequence[str]) -> dict[str, Any]:
    if _LOGPROBS in value:
        return {"logprobs": True}
    return {}


_TRANSLATED: dict[str, Callable[[Any], dict[str, Any]]] = {
    "max_output_tokens": lambda value: {"max_tokens": value},
    "top_logprobs": lambda value: {"logprobs": True, "top_logprobs": value},
    "text": _text,
    "reasoning": _reasoning,
    "include": _include,
}
