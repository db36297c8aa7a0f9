"""One rollout as a conversation of typed items, from whatever a row holds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import msgspec
import orjson

from gymctl.config.rows import row_fields
from gymctl.errors import GymctlError
from gymctl.results.row import Rank, RowFacts, read_row
from gymctl.results.values import UNREADABLE, as_list, as_mapping, integer, is_tool_error, loose_object

_TEXT_KEYS = ("text", "refusal", "thinking", "summary", "content")
_USUAL_ROLES = ("system", "developer", "user", "assistant", "tool")


@dataclass(frozen=True)
class Message:
    """A message of a role: ``system``, ``developer``, ``user``, ``assistant``, or the role that the row contains."""

    role: str
    text: str
    kind: Literal["message"] = "message"


@dataclass(frozen=True)
class Reasoning:
    """What the model thought before it answered."""

    text: str
    kind: Literal["reasoning"] = "reasoning"


@dataclass(kw_only=True)
class ToolCall:
    """A call of a tool, with its output when there is one."""

    name: str
    arguments: str
    """As the model wrote them: JSON text, or anything else."""
    call_id: str = ""
    output: str | None = None
    """None: no output for this call is in the row."""
    failed: bool = False
    """Whether the output reports an error."""
    kind: Literal["tool_call"] = "tool_call"


@dataclass(frozen=True)
class ToolOutput:
    """The output of a call that is not in the row."""

    call_id: str
    text: str
    failed: bool = False
    kind: Literal["tool_output"] = "tool_output"


@dataclass(frozen=True)
class Other:
    """An item of another type, as JSON text."""

    type: str
    text: str
    kind: Literal["other"] = "other"


Item = Message | Reasoning | ToolCall | ToolOutput | Other


@dataclass(frozen=True, kw_only=True)
class FailureCause:
    """Why a rollout has no reward that counts."""

    failure_class: str
    message: str = ""
    hop: str = ""
    path: str = ""
    status: int | None = None
    body: str = ""
    """The start of what the hop answered."""
    terminal: bool = False


@dataclass(frozen=True, kw_only=True)
class Transcript:
    """One row in full."""

    task: int | None
    repeat: int | None
    agent: str
    model: str
    prompt: tuple[Item, ...]
    """The conversation that the rollout began with."""
    items: tuple[Item, ...]
    """What the model and the tools added."""
    reward: float | None
    verifier: dict[str, Any] = field(default_factory=dict)
    """Top-level fields of the environment: data of the task, and what the verifier answered."""
    failure: FailureCause | None = None
    truncated: str = ""
    """Why the last response is incomplete, e.g. ``max_output_tokens``; empty for a complete one."""
    tokens_in: int | None = None
    tokens_out: int | None = None
    queue_ms: float | None = None
    total_ms: float | None = None
    hops: dict[str, float] = field(default_factory=dict)
    """Milliseconds by hop, without ``queue`` and ``between``."""
    trace_id: str = ""
    """The trace that was sent to an OpenTelemetry receiver; empty without one."""

    @property
    def times(self) -> dict[str, float]:
        """Milliseconds in order: ``queue``, each hop, and ``between`` for the rest; empty when nothing was measured."""
        if self.total_ms is None:
            return {}
        between = max(0.0, self.total_ms - sum(self.hops.values()))
        return {"queue": self.queue_ms or 0.0, **self.hops, "between": between}

    def to_json(self) -> dict[str, Any]:
        """As JSON-ready data: items with their ``kind``, and ``times``."""
        return {**asdict(self), "times": self.times}


def read_transcript(line: bytes) -> Transcript:
    """The transcript of one line of a results file, or of a file of failures.

    Raises:
        GymctlError: the line is not a JSON object.
    """
    facts = read_row(line)
    row = row_object(line)
    if facts is None or row is None:
        raise GymctlError("the line is not a JSON object")
    params = as_mapping(row.get(row_fields.PARAMS))
    response = as_mapping(row.get(row_fields.RESPONSE))
    prompt = _conversation(params.get("input"))
    if params.get("instructions"):
        prompt.insert(0, Message("system", _text(params["instructions"])))
    measured = as_mapping(row.get(row_fields.TIMING)) or as_mapping(row.get(row_fields.FAILURE))
    reason = as_mapping(response.get("incomplete_details")).get("reason") or response.get("status")
    return Transcript(
        task=facts.task,
        repeat=facts.repeat,
        agent=facts.agent,
        model=facts.model,
        prompt=tuple(prompt),
        items=tuple(_conversation(response.get("output"))),
        reward=facts.reward,
        verifier={_text(name): value for name, value in row.items() if row_fields.is_verifier_field(name)},
        failure=_failure(facts, row),
        truncated=_text(reason) if facts.truncated else "",
        tokens_in=facts.tokens_in,
        tokens_out=facts.tokens_out,
        queue_ms=facts.queue_ms,
        total_ms=facts.total_ms,
        hops=facts.hops,
        trace_id=_text(measured.get("trace_id")),
    )


def row_object(line: bytes) -> dict[str, Any] | None:
    """A line as an object, or None when it is not one."""
    try:
        value = orjson.loads(line)
    except ValueError:
        return loose_object(line)
    if isinstance(value, dict):
        return value
    return None


def _failure(facts: RowFacts, row: Mapping[str, Any]) -> FailureCause | None:
    if facts.rank is Rank.RESULT:
        return None
    cause = as_mapping(row.get(row_fields.FAILURE))
    status = cause.get("status", row.get(row_fields.FAILURE_STATUS))
    message = cause.get("message") or row.get(row_fields.FAILURE_MESSAGE) or row.get(row_fields.FAILURE_REASON)
    return FailureCause(
        failure_class=facts.failure_class or "",
        message=_text(message),
        hop=facts.failure_hop,
        path=_text(cause.get("path")),
        status=integer(status) or None,
        body=_text(cause.get("body", row.get(row_fields.FAILURE_BODY))),
        terminal=facts.terminal,
    )


def _conversation(value: Any) -> list[Item]:
    """Items of an ``input`` or ``output``: text is one message of the user, other values than a list are one item."""
    if value is None:
        return []
    if isinstance(value, str):
        return [Message("user", value)]
    if not isinstance(value, list):
        value = [value]
    calls: dict[str, ToolCall] = {}
    items: list[Item] = []
    for element in value:
        for item in _items(element):
            if isinstance(item, ToolOutput) and _is_answer(calls.get(item.call_id), item):
                continue
            if isinstance(item, ToolCall):
                calls[item.call_id] = item
            items.append(item)
    return items


def _is_answer(call: ToolCall | None, output: ToolOutput) -> bool:
    """Put an output to its call; False when there is none that waits for one."""
    if call is None or call.output is not None:
        return False
    call.output = output.text
    call.failed = output.failed
    return True


def _items(element: Any) -> Iterator[Item]:
    if not isinstance(element, Mapping):
        yield Other(type(element).__name__, _text(element))
        return
    kind = _text(element.get("type")) or "message"
    if kind == "function_call":
        yield _call(element, _text(element.get("call_id")))
    elif kind == "function_call_output":
        yield _output(element.get("call_id"), element.get("output"))
    elif kind == "reasoning":
        yield Reasoning(_reasoning(element))
    elif kind == "message" and element.get("role") == "tool":
        yield _output(element.get("tool_call_id"), element.get("content"))
    elif kind == "message" and ("role" in element or "content" in element):
        yield from _message(element)
    else:
        yield Other(kind, _json(element))


def _message(element: Mapping[str, Any]) -> Iterator[Item]:
    """A message, with the reasoning and the calls that Chat Completions keep in it."""
    thought = element.get("reasoning_content") or element.get("reasoning")
    if thought:
        yield Reasoning(_text(thought))
    text = _text(element.get("content"))
    calls = element.get("tool_calls")
    if text or not calls:
        yield Message(_text(element.get("role")) or "unknown", text)
    for call in as_list(calls):
        outer = as_mapping(call)
        yield _call(as_mapping(outer.get("function")), _text(outer.get("id")))


def _call(element: Mapping[str, Any], call_id: str) -> ToolCall:
    return ToolCall(name=_text(element.get("name")), arguments=_text(element.get("arguments")), call_id=call_id)


def _output(call_id: Any, output: Any) -> ToolOutput:
    return ToolOutput(_text(call_id), _text(output), is_tool_error(_json(output).encode("utf-8", "replace")))


def _reasoning(element: Mapping[str, Any]) -> str:
    texts = (_text(element.get("summary")), _text(element.get("content")), _text(element.get("text")))
    return "\n".join(text for text in texts if text)


def _text(value: Any) -> str:
    """The text in a value: of a list of parts all texts, a line each; of anything else its JSON. Empty for null."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(_text(part) for part in value)
    if isinstance(value, Mapping):
        return _part(value)
    return _json(value)


def _part(part: Mapping[str, Any]) -> str:
    for key in _TEXT_KEYS:
        if isinstance(part.get(key), str):
            return str(part[key])
    kind = part.get("type")
    if isinstance(kind, str) and ("image" in kind or "audio" in kind or "file" in kind):
        return f"[{kind}]"
    return _json(part)


def _json(value: Any) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except UNREADABLE:
        return json.dumps(value, default=str)
