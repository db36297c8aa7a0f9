"""Whether a reply of a model is an answer: the one place that decides it, for model servers and for agents.

An answer says of itself that it is one. Everything else is a failure of the class ``no_answer``, or of the HTTP status
that the reply reports in its body, and is never scored. ``docs/collect.md`` has the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gymctl.config import exact_json
from gymctl.server.calls.client import NO_ANSWER, HopFailed
from gymctl.server.models.answer_shapes import ShapeError, clean_completion, clean_response
from gymctl.server.models.reported_errors import message_of, reported_error, status_of


class Api(StrEnum):
    """The API that a reply belongs to, by the path of its endpoint."""

    RESPONSES = "/v1/responses"
    CHAT = "/v1/chat/completions"


ENDS = {
    "stop": "stop",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "content_filter": "content_filter",
    # text-generation-inference's and Mistral's names
    "eos_token": "stop",
    "stop_sequence": "stop",
    "model_length": "length",
}
"""Finish reasons with which a generation ended, by what each means in the OpenAI API. Any other one is a failure."""

STATUSES = frozenset(("completed", "incomplete"))
"""Statuses with which a Response is an answer."""

_UNFINISHED = ("queued", "in_progress", "failed", "cancelled", "error")
"""``status`` values of some servers for a chat completion that they did not finish."""

_OTHERS = ("user", "system", "developer", "tool", "function")
"""Roles of chat messages that are not a model's."""

_SPOKEN = ("content", "refusal", "tool_calls", "function_call")
_BODY_HEAD = 2048


@dataclass(frozen=True)
class Answer:
    """An answer of a model: its value, and the same as JSON text."""

    value: dict[str, Any]
    body: bytes


def read_answer(api: Api, body: bytes, hop: str, *, status: int = 200) -> Answer:
    """The answer that a reply of status 2xx is, in the shapes that its API defines.

    Args:
        api: the API that was called.
        body: the reply's body.
        hop: the server that replied or called the endpoint, for the failure.
        status: the HTTP status of the reply.

    Raises:
        HopFailed: it is not an answer; ``kind`` is ``no_answer``, or ``status`` with the status that the body reports.
    """
    try:
        value, text = exact_json.loads_repaired(body)
    except ValueError as error:
        raise _failed(api, body, hop, status, _not_json(body, error)) from error
    _raise_error_of(reported_error(value), api, body, hop)
    if not isinstance(value, dict):
        raise _failed(api, body, hop, status, "the answer is not a JSON object")
    problem = _unfinished_response(value) if api is Api.RESPONSES else _unfinished_completion(value)
    if problem:
        raise _failed(api, body, hop, status, problem)
    clean = clean_response if api is Api.RESPONSES else clean_completion
    try:
        changed = clean(value, text)
    except ShapeError as error:
        raise _failed(api, body, hop, status, str(error)) from error
    return Answer(value, exact_json.dumps(value) if changed else text)


def parse_object(body: bytes, hop: str, path: str) -> dict[str, Any]:
    """The JSON object of a reply that is not a model's answer, such as the token ids of ``/tokenize``.

    Raises:
        HopFailed: it is not one.
    """
    try:
        value, _ = exact_json.loads_repaired(body)
    except ValueError:
        value = None
    if isinstance(value, dict):
        return value
    raise HopFailed(hop, path, status=200, kind=NO_ANSWER, body=_head(body), reason="the reply is not a JSON object")


def _failed(api: Api, body: bytes, hop: str, status: int, problem: str) -> HopFailed:
    return HopFailed(hop, api.value, status=status, kind=NO_ANSWER, body=_head(body), reason=problem)


def _head(body: bytes) -> str:
    return body[:_BODY_HEAD].decode(errors="replace")


def _not_json(body: bytes, error: ValueError) -> str:
    """What a body that is not JSON seems to be."""
    start = body[:256].strip().lower()
    if not start:
        return "the answer is empty"
    if start.startswith(b"<"):
        return "the answer is a page (HTML or XML), not JSON"
    if start.startswith((b"data:", b"event:", b":", b"id:", b"retry:")):
        return "the answer is an event stream, which was not requested"
    return f"the answer is not JSON: {error}"


def _raise_error_of(error: Any, api: Api, body: bytes, hop: str) -> None:
    """Raise the failure that a body's ``error`` reports, with the status that it should have had.

    Raises:
        HopFailed: there is an error.
    """
    if error is None:
        return
    message = message_of(error)
    status = status_of(error)
    problem = f"the answer reports an error: {message if isinstance(message, str) else _quoted(message)}"
    kind = "status" if status else NO_ANSWER
    raise HopFailed(hop, api.value, status=status or 200, kind=kind, body=_head(body), reason=problem)


def _unfinished_response(value: Mapping[str, Any]) -> str:
    """Why a Response is not one that ended; NeMo Gym's own model servers leave the status out, but not the output."""
    output = value.get("output")
    if not isinstance(output, list):
        return "the answer has no list of output items"
    status = value.get("status")
    if not output and value.get("output_text"):
        return "the answer has text, but no output items"
    if status is None and output:
        return ""
    if not isinstance(status, str) or status not in STATUSES:
        return f"the answer's status is {_quoted(status)}, expected completed or incomplete"
    return ""


def _unfinished_completion(value: Mapping[str, Any]) -> str:
    choices = value.get("choices")
    if not isinstance(choices, list) or not choices:
        return "the answer has no choices"
    if value.get("status") in _UNFINISHED:
        return f"the answer's status is {_quoted(value['status'])}"
    return next(filter(None, map(_unfinished_choice, choices)), "")


def _unfinished_choice(choice: Any) -> str:
    if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
        return "the answer has a choice without a message"
    message = choice["message"]
    if message.get("role") in _OTHERS:
        return f"the answer's message has the role {_quoted(message['role'])}, expected assistant"
    reason = choice.get("finish_reason")
    if not isinstance(reason, str) or reason not in ENDS:
        return f"the generation did not finish: its finish reason is {_quoted(reason)}"
    if ENDS[reason] == "tool_calls" and not any(message.get(name) for name in _SPOKEN):
        return f"the generation ended with {_quoted(reason)}, and the answer has no calls"
    return ""


def _quoted(value: Any) -> str:
    """A value of a reply for a message, cut short."""
    text = exact_json.dumps(value).decode(errors="replace")
    if len(text) <= 200:
        return text
    return f"{text[:200]}..."
