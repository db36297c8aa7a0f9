"""From one line of a results file to the few facts that the index keeps, without building the rest of the line."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import msgspec

from gymctl.results import fields

# What a decoder raises for text that is not JSON, not of the expected shape, not UTF-8 or nested too deeply.
UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)
_NULL = msgspec.Raw(b"null")
_HUGE = 1 << 63  # SQLite's integers end below
_MOST_NUMBERS = 64
_MOST_NAMES = 64
_NAME_CHARACTERS = 200


class Rank(IntEnum):
    """What a row says of its rollout. Of several rows of one rollout the highest counts."""

    FAILURE = 0
    """An attempt that failed; of several the last counts."""
    MASKED = 1
    """A result whose reward is not a measurement (NeMo Gym 0.7)."""
    RESULT = 2
    """A result; of several the first counts."""


class _Item(msgspec.Struct):
    type: Any = None
    name: Any = None
    output: msgspec.Raw = _NULL


class _Response(msgspec.Struct):
    output: list[_Item] = []
    usage: Any = None
    model: Any = None
    status: Any = None
    incomplete_details: Any = None


class _Params(msgspec.Struct):
    input: msgspec.Raw = _NULL


_line = msgspec.json.Decoder(dict[str, msgspec.Raw])
_response = msgspec.json.Decoder(_Response)
_params = msgspec.json.Decoder(_Params)
_any = msgspec.json.Decoder()


@dataclass(slots=True, kw_only=True)
class RowFacts:
    """What the index keeps of one row. None: the row does not have it, or has something else in its place."""

    rank: Rank = Rank.RESULT
    agent: str = ""
    task: int | None = None
    repeat: int | None = None
    reward: float | None = None
    failure_class: str | None = None
    """Of a failure row the class, of a masked result the cause."""
    failure_hop: str = ""
    terminal: bool = False
    attempt: int | None = None
    model: str = ""
    truncated: bool = False
    turns: int = 0
    """Answers of the model: runs of items that no tool output interrupts."""
    tool_calls: int = 0
    tool_errors: int = 0
    tools: list[str] = field(default_factory=list)
    """Names of the tools that were called, each once."""
    tokens_in: int | None = None
    tokens_out: int | None = None
    queue_ms: float | None = None
    total_ms: float | None = None
    hops: dict[str, float] = field(default_factory=dict)
    """Milliseconds by hop."""
    prompt: bytes | None = None
    """Digest of the texts of the input: equal for the same task, whichever collector wrote the row."""
    numbers: dict[str, float] = field(default_factory=dict)
    """Numeric fields of the environment at the top of the row."""


def read_row(line: bytes) -> RowFacts | None:
    """The facts of one line, or None when it is not a JSON object."""
    try:
        values = _line.decode(line)
    except UNREADABLE:
        loose = loose_object(line)
        if loose is None:
            return None
        values = {name: msgspec.Raw(json.dumps(value).encode()) for name, value in loose.items()}
    return _facts(values)


def loose_object(line: bytes) -> dict[str, Any] | None:
    """A JSON object that only Python's reader accepts (NaN, lone surrogates, broken UTF-8), or None."""
    try:
        value = json.loads(line.decode("utf-8", "replace"))
    except UNREADABLE:
        return None
    return value if isinstance(value, dict) else None


def _facts(values: Mapping[str, msgspec.Raw]) -> RowFacts:
    facts = RowFacts(
        agent=_agent(values),
        task=integer(_value(values, fields.TASK_INDEX)),
        repeat=integer(_value(values, fields.ROLLOUT_INDEX)),
        reward=number(_value(values, fields.REWARD)),
        attempt=integer(_value(values, fields.ATTEMPT_INDEX)),
        terminal=bool(_value(values, fields.FAILURE_TERMINAL)),
        numbers=dict(_numbers(values)),
    )
    _add_failure(facts, values)
    if fields.TIMING in values:
        _add_timing(facts, _value(values, fields.TIMING))
    if fields.RESPONSE in values:
        _add_response(facts, values[fields.RESPONSE])
    if fields.PARAMS in values:
        facts.prompt = _prompt_digest(values[fields.PARAMS])
    return facts


def _value(values: Mapping[str, msgspec.Raw], name: str) -> Any:
    return _decoded(values[name]) if name in values else None


def _decoded(raw: msgspec.Raw) -> Any:
    try:
        return _any.decode(raw)
    except UNREADABLE:
        return _loose(bytes(raw))


def _loose(data: bytes) -> Any:
    try:
        return json.loads(data.decode("utf-8", "replace"))
    except UNREADABLE:
        return None


def _agent(values: Mapping[str, msgspec.Raw]) -> str:
    reference = _value(values, fields.AGENT_REF)
    if isinstance(reference, Mapping):
        reference = reference.get("name")
    if not isinstance(reference, str):
        reference = _value(values, fields.TASK_SOURCE)
    return name_text(reference)


def name_text(value: Any) -> str:
    """A name as bounded text that any encoder takes; empty for what is not text."""
    if not isinstance(value, str):
        return ""
    return value[:_NAME_CHARACTERS].encode("utf-8", "replace").decode()


def integer(value: Any) -> int | None:
    """An index or a count, or None: booleans and fractions are neither."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if -_HUGE <= value < _HUGE else None


def number(value: Any) -> float | None:
    """A finite number, a boolean as 0 or 1; None for everything else."""
    if not isinstance(value, int | float):
        return None
    try:
        result = float(value)
    except OverflowError:
        return None
    return result if math.isfinite(result) else None


def _numbers(values: Mapping[str, msgspec.Raw]) -> Iterator[tuple[str, float]]:
    count = 0
    for name, raw in values.items():
        data = memoryview(raw)
        if len(data) > 32 or bytes(data[:1]) not in _NUMBER_STARTS or not fields.is_verifier_field(name):
            continue
        value = number(_decoded(raw))
        if value is not None and count < _MOST_NUMBERS:
            count += 1
            yield name_text(name), value


_NUMBER_STARTS = frozenset(bytes((byte,)) for byte in b"-0123456789tf")


def _add_failure(facts: RowFacts, values: Mapping[str, msgspec.Raw]) -> None:
    failure_class = _value(values, fields.FAILURE_CLASS)
    if failure_class is not None:
        facts.rank = Rank.FAILURE
        facts.failure_class = name_text(failure_class) or "unknown"
        cause = _value(values, fields.FAILURE)
        hop = cause.get("hop") if isinstance(cause, Mapping) else _value(values, fields.FAILURE_STAGE)
        facts.failure_hop = name_text(hop)
    elif _value(values, fields.MASK_SAMPLE):
        facts.rank = Rank.MASKED
        facts.failure_class = name_text(_value(values, fields.FAILURE_KIND)) or "masked"


def _add_timing(facts: RowFacts, timing: Any) -> None:
    if not isinstance(timing, Mapping):
        return
    facts.queue_ms = number(timing.get("queue_ms"))
    facts.total_ms = number(timing.get("total_ms"))
    hops = timing.get("hops")
    if isinstance(hops, Mapping):
        for name, value in list(hops.items())[:_MOST_NAMES]:
            milliseconds = number(value)
            if milliseconds is not None:
                facts.hops[name_text(name)] = milliseconds


def _add_response(facts: RowFacts, raw: msgspec.Raw) -> None:
    try:
        response = _response.decode(raw)
    except UNREADABLE:
        response = _loose_response(_decoded(raw))
    facts.model = name_text(response.model)
    details = response.incomplete_details
    reason = details.get("reason") if isinstance(details, Mapping) else details
    facts.truncated = response.status == "incomplete" or bool(reason)
    if isinstance(response.usage, Mapping):
        facts.tokens_in = integer(response.usage.get("input_tokens"))
        facts.tokens_out = integer(response.usage.get("output_tokens"))
    _count_items(facts, response.output)


def _loose_response(value: Any) -> _Response:
    """A response of which a part has a type that it should not have: what can be read of it."""
    if not isinstance(value, Mapping):
        return _Response()
    output = value.get("output")
    items = [
        _Item(item.get("type"), item.get("name"), msgspec.Raw(json.dumps(item.get("output")).encode()))
        for item in (output if isinstance(output, list) else ())
        if isinstance(item, Mapping)
    ]
    return _Response(
        output=items,
        usage=value.get("usage"),
        model=value.get("model"),
        status=value.get("status"),
        incomplete_details=value.get("incomplete_details"),
    )


def _count_items(facts: RowFacts, items: Iterable[_Item]) -> None:
    model_speaks = False
    names: dict[str, None] = {}
    for item in items:
        is_output = item.type == "function_call_output"
        if is_output:
            facts.tool_errors += is_tool_error(item.output)
        elif not model_speaks:
            facts.turns += 1
        model_speaks = not is_output
        if item.type == "function_call":
            facts.tool_calls += 1
            if len(names) < _MOST_NAMES:
                names[name_text(item.name)] = None
    facts.tools = list(names)


def is_tool_error(output: msgspec.Raw | bytes) -> bool:
    """Whether the ``output`` of a tool call (a JSON value) reports an error.

    An error is an object, or the text of one, with an ``error`` that is not empty, or with FastAPI's ``detail`` and
    nothing else: what NeMo Gym's and gymctl's agents hand to the model when a tool or its arguments fail.
    """
    data = bytes(output)
    if b"error" not in data and b"detail" not in data:
        return False
    value = _loose(data)
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = _loose(value.encode("utf-8", "replace"))
    return isinstance(value, Mapping) and (bool(value.get("error")) or list(value) == ["detail"])


def _prompt_digest(raw: msgspec.Raw) -> bytes | None:
    try:
        source = _params.decode(raw).input
    except UNREADABLE:
        params = _decoded(raw)
        value = params.get("input") if isinstance(params, Mapping) else None
    else:
        value = _decoded(source)
    if value is None:
        return None
    digest = hashlib.blake2b(digest_size=8)
    for text in input_texts(value):
        digest.update(text.encode("utf-8", "replace") + b"\0")
    return digest.digest()


def input_texts(value: Any, depth: int = 6) -> Iterator[str]:
    """The texts of an ``input``: a string, or the messages of a list and their parts; other values give none."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        inner = value.get("content", value.get("text", value.get("output")))
        if depth > 0:
            yield from input_texts(inner, depth - 1)
    elif isinstance(value, list) and depth > 0:
        for item in value:
            yield from input_texts(item, depth - 1)
