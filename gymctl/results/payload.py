"""Results as JSON for a page: bounded, with exact numbers, and valid whatever a row holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import orjson

from gymctl.results.escaping import json_text
from gymctl.results.rollout import RolloutRecord
from gymctl.results.transcript import Item, Transcript

_DEEPEST = 100
_TEXTS = ("text", "arguments", "output")
_NAMES = ("role", "name", "type", "call_id", "hop", "path", "failure_class")
_LONGEST_NAME = 200
_MOST_FIELDS = 200


def encode(value: Any) -> bytes:
    """JSON in UTF-8. Lone surrogates become escapes, numbers that JavaScript would round become text."""
    try:
        return orjson.dumps(value, option=orjson.OPT_STRICT_INTEGER | orjson.OPT_NON_STR_KEYS)
    except (TypeError, ValueError, RecursionError):
        return orjson.dumps(_encodable(value, 0), option=orjson.OPT_NON_STR_KEYS)


def rollout_payload(rollout: RolloutRecord, pass_threshold: float) -> dict[str, Any]:
    """What a list shows of a rollout: no text of its conversation."""
    return {
        "id": rollout.id,
        "name": rollout.name,
        "task": rollout.task,
        "repeat": rollout.repeat,
        "agent": rollout.agent,
        "rank": rollout.rank.name.lower(),
        "reward": rollout.reward,
        "passed": rollout.is_passed(pass_threshold),
        "failure_class": rollout.failure_class,
        "failure_hop": rollout.failure_hop,
        "turns": rollout.turns,
        "tool_calls": rollout.tool_calls,
        "tool_errors": rollout.tool_errors,
        "truncated": rollout.truncated,
        "tokens_in": rollout.tokens_in,
        "tokens_out": rollout.tokens_out,
        "total_ms": rollout.total_ms,
    }


def transcript_payload(transcript: Transcript, *, offset: int = 0, limit: int, most_text: int) -> dict[str, Any]:
    """A transcript with ``limit`` of its items from ``offset`` on, each text cut to ``most_text`` characters.

    The prompt's items are first; ``prompt_items`` is how many there are. A text that was cut has its full length under
    ``cut``. Fields of the verifier are pairs of a name and a text (``json`` for what is not a string in the row).
    """
    items = (*transcript.prompt, *transcript.items)
    chosen = items[offset : offset + limit]
    verifier = list(transcript.verifier.items())
    failure = None
    if transcript.failure is not None:
        failure = _cut(asdict(transcript.failure), ("message", "body"), most_text)
    return {
        "task": transcript.task,
        "repeat": transcript.repeat,
        "agent": transcript.agent,
        "model": transcript.model,
        "prompt_items": len(transcript.prompt),
        "total_items": len(items),
        "offset": offset,
        "items": [_item_payload(item, most_text) for item in chosen],
        "reward": transcript.reward,
        "verifier": [_field(name, value, most_text) for name, value in verifier[:_MOST_FIELDS]],
        "verifier_fields": len(verifier),
        "failure": failure,
        "truncated": transcript.truncated[:_LONGEST_NAME],
        "tokens_in": transcript.tokens_in,
        "tokens_out": transcript.tokens_out,
        "total_ms": transcript.total_ms,
        "times": transcript.times,
    }


def _item_payload(item: Item, most_text: int) -> dict[str, Any]:
    return _cut(asdict(item), _TEXTS, most_text)


def _cut(values: dict[str, Any], names: Iterable[str], most_text: int) -> dict[str, Any]:
    """Texts at most ``most_text`` long, names 200; ``cut`` has the lengths of the texts that were longer."""
    for name in _NAMES:
        if name in values:
            values[name] = values[name][:_LONGEST_NAME]
    cut = {}
    for name in names:
        text = values.get(name)
        if isinstance(text, str) and len(text) > most_text:
            cut[name] = len(text)
            values[name] = text[:most_text]
    if cut:
        values["cut"] = cut
    return values


def _field(name: str, value: Any, most_text: int) -> dict[str, Any]:
    if isinstance(value, str):
        return _cut({"name": name, "text": value, "json": False}, ("text",), most_text)
    try:
        text = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    except (TypeError, ValueError, RecursionError):
        text = json_text(value, indent=2)
    return _cut({"name": name, "text": text, "json": True}, ("text",), most_text)


def _encodable(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 1 << 53:
        return str(value)
    if depth > _DEEPEST:
        return "..."
    if isinstance(value, Mapping):
        return {_encodable(key, depth + 1): _encodable(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(inner, depth + 1) for inner in value]
    return value
