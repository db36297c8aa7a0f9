"""Errors that a reply of status 2xx reports in its body, and the HTTP status that each of them should have had."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gymctl.config import exact_json
from gymctl.server.models.context_limits import exceeds_context

STATUS_OF_CODE = {
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "insufficient_quota": 429,
    "overloaded_error": 503,
    "service_unavailable": 503,
    "server_is_overloaded": 503,
    "slow_down": 503,
    "invalid_request_error": 400,
    "invalid_prompt": 400,
    "BadRequestError": 400,
    "exceed_context_size_error": 400,
    "context_length_exceeded": 400,
    "invalid_api_key": 401,
    "authentication_error": 401,
    "permission_error": 403,
    "model_not_found": 404,
    "not_found_error": 404,
    "NotFoundError": 404,
    # Google's names (google.rpc.Code)
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
}
"""HTTP statuses that codes and types of an error have where they are the status of a reply."""

_MOST_LAYERS = 4


def reported_error(value: Any) -> Any:
    """The error that an answer, or a choice of it, reports in one of the shapes in use; None when there is none."""
    if isinstance(value, list):  # Google's
        value = next(iter(value), None)
    if not isinstance(value, dict):
        return None
    error = value.get("error")
    if error is None and "choices" in value:
        error = _error_of_choices(value["choices"])
    if error is not None:
        return error
    if value.get("errors"):
        return value["errors"]
    if "error" in (value.get("object"), value.get("type")) or value.get("success") is False:
        return value
    return None


def _error_of_choices(choices: Any) -> Any:
    holders = choices if isinstance(choices, list) else ()
    errors = (holder.get("error") for holder in holders if isinstance(holder, Mapping))
    return next((error for error in errors if error is not None), None)


def status_of(error: Any) -> int:
    """The HTTP status that an error should have had; 0 if unknown.

    An error for a conversation that does not fit into the context has 400.
    """
    status = _status_in(error)
    if status:
        return status
    if exceeds_context(400, exact_json.dumps({"error": error}).decode(), {}):
        return 400
    return 0


def message_of(error: Any) -> Any:
    """The message of an error, or the error itself."""
    if isinstance(error, Mapping):
        return error.get("message") or error.get("code") or error.get("type") or error
    return error


def _status_in(error: Any, layers: int = _MOST_LAYERS) -> int:
    if not isinstance(error, Mapping):
        return _http_status(error)
    for name in ("code", "status", "type"):
        status = _http_status(error.get(name))
        if status:
            return status
    if isinstance(error.get("error"), Mapping) and layers:
        return _status_in(error["error"], layers - 1)
    return 0


def _http_status(value: Any) -> int:
    """A number, a number as text, or a code as a status of 400 to 599; else 0."""
    if isinstance(value, str):
        if value in STATUS_OF_CODE:
            return STATUS_OF_CODE[value]
        if not (value.isascii() and value.isdecimal() and len(value) == 3):
            return 0
        value = int(value)
    if isinstance(value, int | float) and 400 <= value <= 599 and value == int(value):
        return int(value)
    return 0
