"""The shapes that models and endpoints give to what they say, made those that the OpenAI API defines.

Content in parts, thoughts among them, calls of tools in any shape, token counts as text: each has one treatment. What
no treatment is right for is a ``ShapeError``. Values are changed in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gymctl.config import exact_json
from gymctl.server.models.token_counts import clean_usage
from gymctl.server.responses import reasoning
from gymctl.server.tool_calls import UNNAMED, arguments_text, call_name, distinct_ids

_TEXT_PARTS = ("text", "output_text", "input_text", "summary_text", "reasoning_text", "refusal")
_THOUGHT_PARTS = ("thinking", "reasoning", "redacted_thinking")

_CALL = frozenset(("id", "type", "function"))
_FUNCTION = frozenset(("name", "arguments"))
_SAID = ("message", "function_call", "custom_tool_call")
_ENDED = (None, "completed", "incomplete")


class ShapeError(ValueError):
    """A part of an answer that cannot come from a model; the message names it."""


def clean_completion(completion: dict[str, Any], text: bytes) -> bool:
    """Make the messages of a chat completion what Chat Completions defines; whether anything was changed.

    Raises:
        ShapeError: a content or the calls are of a type that has no meaning.
    """
    changed = clean_usage(completion)
    for index, choice in enumerate(completion["choices"]):
        message = choice["message"]
        changed |= _clean_text(message)
        changed |= _take_transcript(message)
        if message.get("tool_calls") is None and message.get("function_call") is not None:
            message["tool_calls"] = [{"function": message.pop("function_call")}]
            changed = True
        calls = message.get("tool_calls")
        if calls is None:
            continue
        if not isinstance(calls, list):
            raise ShapeError(f"the answer's tool_calls are {_kind(calls)}, not a list")
        if any(_has_value_arguments(call) for call in calls):
            calls = _exact_calls(text, index)
        cleaned = [call if _is_plain_call(call) else _chat_call(call) for call in calls]
        if distinct_ids(cleaned, "id") or cleaned != message["tool_calls"]:
            message["tool_calls"] = cleaned
            changed = True
    return changed


def clean_response(response: dict[str, Any], text: bytes) -> bool:
    """Make the output items of a Response what the Responses API defines; whether anything was changed.

    Raises:
        ShapeError: an item or a content is of a type that has no meaning.
    """
    changed = clean_usage(response)
    if response.get("incomplete_details") is not None and not isinstance(response["incomplete_details"], dict):
        response["incomplete_details"] = {"reason": str(response["incomplete_details"])}
        changed = True
    output: list[dict[str, Any]] = []
    for index, item in enumerate(response["output"]):
        if _is_plain_item(item):
            output.append(item)
            continue
        changed |= _check_item(item)
        if item["type"] in ("function_call", "custom_tool_call"):
            if _is_value(item.get("arguments")):
                item["arguments"] = exact_json.loads(text)["output"][index]["arguments"]
            changed |= _clean_call_item(item)
        elif item["type"] == "message" and not _is_clean_message(item):
            output += _thoughts_of_message(item)
            changed = True
        elif item["type"] == "reasoning":
            changed |= _clean_thought_item(item)
        output.append(item)
    response["output"] = output
    calls = [item for item in output if item["type"] == "function_call"]
    return distinct_ids(calls, "call_id") or changed


def _is_plain_item(item: Any) -> bool:
    """Whether an item is a message or a call of a function that needs no cleaning: nearly all are, and this is fast."""
    if type(item) is not dict or item.get("status") not in _ENDED or item.get("role", "assistant") != "assistant":
        return False
    if item.get("type") == "function_call":
        return _is_plain_function(item.get("name"), item.get("arguments"))
    return item.get("type") == "message" and not item.get("tool_calls") and _is_clean_message(item)


def _check_item(item: Any) -> bool:
    """Check that an output item is one of a model; whether its type had to be added.

    Raises:
        ShapeError: it is not an object with a type, or is an item that only a tool or a user sends.
    """
    if not isinstance(item, dict):
        raise ShapeError(f"the answer's output holds {_kind(item)} instead of an item")
    typeless = item.get("type") is None and "role" in item
    if typeless:
        item["type"] = "message"
    if not isinstance(item.get("type"), str):
        raise ShapeError("the answer's output holds an item without a type")
    if item["type"].endswith("_call_output"):
        raise ShapeError(f"the answer's output holds an item of type {item['type']!r}, which only tools return")
    if item.get("role", "assistant") != "assistant":
        raise ShapeError(f"the answer's output holds a message with role {item['role']!r}, expected assistant")
    if item["type"] == "error":
        raise ShapeError("the answer's output holds an error")
    if item["type"] in _SAID and item.get("status") not in _ENDED:
        raise ShapeError(f"the answer's output holds a {item['type']} with status {item['status']!r}")
    if item["type"] == "message" and item.get("tool_calls"):
        raise ShapeError("the answer's output holds a message with tool_calls, expected items of type function_call")
    return typeless


def _clean_text(message: dict[str, Any]) -> bool:
    """Make a chat message's content, refusal and reasoning text or null."""
    changed = False
    content = message.get("content")
    if content is not None and not isinstance(content, str):
        text, thought = _texts_of(content, "content")
        message["content"] = text
        if thought and not message.get("reasoning_content"):
            message["reasoning_content"] = thought
        changed = True
    for name in ("refusal", "reasoning", "reasoning_content"):
        value = message.get(name)
        if value is not None and not isinstance(value, str):
            text, thought = _texts_of(value, name)
            message[name] = text + thought
            changed = True
    return changed


def _take_transcript(message: dict[str, Any]) -> bool:
    """Make the words of an answer in sound its content, where it has no other."""
    audio = message.get("audio")
    if message.get("content") or not isinstance(audio, Mapping) or not isinstance(audio.get("transcript"), str):
        return False
    message["content"] = audio["transcript"]
    return True


def _texts_of(content: Any, name: str) -> tuple[str, str]:
    """The text and the reasoning of a content of parts."""
    if isinstance(content, Mapping):
        content = [content]
    if not isinstance(content, list):
        raise ShapeError(f"the answer's {name} is {_kind(content)}, not text")
    texts: list[str] = []
    thoughts: list[str] = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Mapping) and part.get("type") in _THOUGHT_PARTS:
            thoughts.append(_thought_of(part))
        elif isinstance(part, Mapping):
            texts.append(_part_text(part, name))
        elif part is not None:
            raise ShapeError(f"the answer's {name} holds {_kind(part)} instead of a part")
    return "".join(texts), "".join(thoughts)


def _thought_of(part: Mapping[str, Any]) -> str:
    """The text of a part that was thought: under its type's name, as text or in parts again."""
    value = next((part[name] for name in ("thinking", "reasoning", "text", "content") if part.get(name)), "")
    if isinstance(value, str):
        return value
    return "".join(_texts_of(value, "thinking"))


def _part_text(part: Mapping[str, Any], name: str) -> str:
    value = part.get("text")
    if value is None:
        value = part.get("refusal")
    if isinstance(value, str):
        return value
    if value is None and part.get("type") in _TEXT_PARTS:
        return ""
    raise ShapeError(f"the answer's {name} holds a part of type {part.get('type')!r} without text")


def _is_value(arguments: Any) -> bool:
    return arguments is not None and not isinstance(arguments, str)


def _has_value_arguments(call: Any) -> bool:
    function = call.get("function") if isinstance(call, Mapping) else None
    return isinstance(function, Mapping) and _is_value(function.get("arguments"))


def _is_plain_call(call: Any) -> bool:
    """Whether a call of a chat message needs no cleaning: nearly all are like that, and this is fast."""
    if type(call) is not dict or call.keys() != _CALL or call["type"] != "function":
        return False
    function = call["function"]
    if type(function) is not dict or function.keys() != _FUNCTION:
        return False
    return _is_plain_function(function["name"], function["arguments"])


def _is_plain_function(name: Any, arguments: Any) -> bool:
    return type(arguments) is str and arguments_text(arguments) == arguments and call_name(name) == name


def _chat_call(call: Any) -> dict[str, Any]:
    """A call of a chat message in the shape of a function's; one of another type keeps its text as the arguments."""
    if not isinstance(call, Mapping):
        return _function(None, UNNAMED, arguments_text(call))
    names = ("function", str(call.get("type")))
    body = next((call[name] for name in names if isinstance(call.get(name), Mapping)), call)
    arguments = body.get("arguments", body.get("input"))
    rest = {name: value for name, value in call.items() if name not in ("id", "type", "function", "custom")}
    cleaned = _function(call.get("id"), call_name(body.get("name")), arguments_text(arguments))
    if body is not call:
        return {**cleaned, **rest}
    return cleaned


def _exact_calls(text: bytes, index: int) -> list[Any]:
    """The calls of a choice with the numbers of their arguments as they are written."""
    message = exact_json.loads(text)["choices"][index]["message"]
    calls: list[Any] = message.get("tool_calls") or [{"function": message["function_call"]}]
    return calls


def _function(identity: Any, name: str, arguments: str) -> dict[str, Any]:
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def _clean_call_item(item: dict[str, Any]) -> bool:
    name = call_name(item.get("name"))
    arguments = arguments_text(item.get("arguments", item.get("input")))
    if item["type"] == "function_call" and (item.get("name"), item.get("arguments")) == (name, arguments):
        return False
    item.pop("input", None)
    item.update(type="function_call", name=name, arguments=arguments)
    return True


def _is_clean_message(item: Mapping[str, Any]) -> bool:
    content = item.get("content")
    return isinstance(content, list) and all(_is_part(part) for part in content)


def _thoughts_of_message(item: dict[str, Any]) -> list[dict[str, Any]]:
    """Make a message's content one part of text; what it holds of thoughts becomes a reasoning item before it."""
    content = item.get("content")
    text, thought = _texts_of([content], "content") if not isinstance(content, list) else _texts_of(content, "content")
    item["content"] = [{"type": "output_text", "text": text, "annotations": []}]
    if thought:
        return [reasoning([thought])]
    return []


def _is_part(part: Any) -> bool:
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        return False
    return isinstance(part.get("text"), str) or isinstance(part.get("refusal"), str)


def _clean_thought_item(item: dict[str, Any]) -> bool:
    changed = False
    for name in ("summary", "content"):
        parts = item.get(name)
        if parts is None or (isinstance(parts, list) and all(_is_part(part) for part in parts)):
            continue
        text = parts if isinstance(parts, str) else "".join(_texts_of(parts, name))
        item[name] = [{"type": "summary_text" if name == "summary" else "reasoning_text", "text": text}]
        changed = True
    return changed


def _kind(value: Any) -> str:
    names: dict[type, str] = {list: "a list", dict: "an object", str: "text", bool: "true or false"}
    return names.get(type(value), "null" if value is None else "a number")
