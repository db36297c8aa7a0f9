"""The parts of a request to ``vllm_model``: parameters, input, audio, and objects in the metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gymctl.config import exact_json
from gymctl.server import RefusedError
from gymctl.server.chat import ChatMessages, has_audio
from gymctl.server.message import json_object
from gymctl.server.models.growing_requests import GrowingRequest


def split_params(body: bytes, growing: GrowingRequest | None) -> tuple[dict[str, Any], bytes]:
    """Create params, and their input as JSON: ``params["input"]`` is only whether there is one.

    Args:
        body: the params as JSON.
        growing: its parts, where they are known.

    Raises:
        RefusedError: the body is not a JSON object.
    """
    try:
        if growing is None:
            fields = exact_json.split_fields(body)
            items = fields.pop("input", b"null")
        else:
            fields = {name: bytes(value) for name, value in growing.fields.items()}
            items = growing.input
        params = {name: exact_json.loads(value) for name, value in fields.items()}
    except ValueError:
        params = json_object(body)  # refuses it with the place
        items = exact_json.dumps(params.get("input"))
    params["input"] = None if items == b"null" else ()
    return params, items


def names_audio(request: Mapping[str, Any]) -> bool:
    """Whether the metadata of a request names audio.

    Raises:
        RefusedError: the metadata is not an object.
    """
    metadata = request.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise RefusedError(("metadata",), "Input should be an object", "dict_type")
    return has_audio(metadata)


def encoded_messages(messages: list[dict[str, Any]]) -> ChatMessages:
    """Messages as JSON, with the last one."""
    return ChatMessages(exact_json.dumps(messages), messages[-1] if messages else {})


def object_in_metadata(metadata: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A row's own additions: metadata holds texts only, so an object is written as JSON in a text.

    Raises:
        RefusedError: the text is not JSON, or not an object.
    """
    text = metadata.get(name)
    if not text:
        return {}
    try:
        if isinstance(text, str):
            value = exact_json.loads(text)
        else:
            value = text
    except ValueError as error:
        raise RefusedError(("metadata", name), f"JSON decode error: {error}") from error
    if not isinstance(value, dict):
        raise RefusedError(("metadata", name), "expected a JSON object")
    return value
