"""The bodies with which model endpoints refuse a request, in whatever shape the endpoint and its gateways give them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

_MOST_LAYERS = 8


def refused_parameter(body: str) -> str:
    """The parameter that the body of a refusal names; empty when it names none."""
    error = _error_of(body)
    value = error.get("param") if isinstance(error, Mapping) else None
    return value if isinstance(value, str) else ""


def parts_of(body: str) -> tuple[list[str], str]:
    """The codes and the message of an error's body, whatever its shape; a body that is not JSON is the message."""
    error = _error_of(body)
    if isinstance(error, str):
        return [], error
    codes = [str(error[name]) for name in ("code", "type", "error_type") if isinstance(error.get(name), str)]
    message = next((error[name] for name in ("message", "detail", "error") if isinstance(error.get(name), str)), body)
    return codes, message


def _error_of(body: str) -> Mapping[str, Any] | str:
    """The innermost error object of a body: providers wrap it in ``error``, a list, or a text that is JSON again."""
    value: Any = body
    for _ in range(_MOST_LAYERS):
        inner = _unwrapped(value)
        if inner is None:
            break
        value = inner
    if isinstance(value, Mapping):
        return value
    return str(value)


def _unwrapped(value: Any) -> Any:
    """What an error is wrapped around; None when it is the innermost one."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return orjson.loads(value)
        except ValueError:
            return None
    if isinstance(value, list) and value:
        return value[0]
    if not isinstance(value, Mapping):
        return None
    nested = value.get("error")
    if isinstance(nested, Mapping | list):
        return nested
    message = value.get("message")
    return message if isinstance(message, str) and message.lstrip()[:1] == "{" else None
