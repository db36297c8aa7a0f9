"""From one line of a results file to the few facts that the index keeps, without building the rest of the line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import msgspec

from gymctl.config.rows import row_fields
from gymctl.results.values import (
    UNREADABLE,
    as_list,
    as_mapping,
    input_texts,
    integer,
    is_tool_error,
    loose_object,
    loose_value,
    name_text,
    number,
)

_NULL = msgspec.Raw(b"null")
_MOST_NUMBERS = 64
_LONGEST_NUMBER = 32
_MOST_NAMES = 64


class Rank(IntEnum):
    """The rank of a row among the rows of its rollout: the highest counts."""

    FAILURE = 0
    """An attempt that failed; of several the last counts."""
    MASKED = 1
    """A result whose reward is not a measurement (NeMo Gym 0.7)."""
    RESULT = 2
    """A result; of several the first counts."""


class _Item(msgspec.Struct, gc=False):
    type: Any = None
    name: Any = None
    output: msgspec.Raw = _NULL


class _Response(msgspec.Struct, gc=False):
    output: list[_Item] = []
    usage: Any = None
    model: Any = None
    status: Any = None
    incomplete_details: Any = None


class _Params(msgspec.Struct, gc=False):
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


def _facts(values: Mapping[str, msgspec.Raw]) -> RowFacts:
    facts = RowFacts(
        agent=_agent(values),
        task=integer(_value(values, row_fields.TASK_INDEX)),
        repeat=integer(_value(values, row_fields.ROLLOUT_INDEX)),
        reward=number(_value(values, row_fields.REWARD)),
        attempt=integer(_value(values, row_fields.ATTEMPT_INDEX)),
        terminal=bool(_value(values, row_fields.FAILURE_TERMINAL)),
        numbers=dict(_numbers(values)),
    )
    _add_failure(facts, values)
    if row_fields.TIMING in values:
        _add_timing(facts, _value(values, row_fields.TIMING))
    if row_fields.RESPONSE in values:
        _add_response(facts, values[row_fields.RESPONSE])
    if row_fields.PARAMS in values:
        facts.prompt = _prompt_digest(values[row_fields.PARAMS])
    return facts


def _value(values: Mapping[str, msgspec.Raw], name: str) -> Any:
    if name in values:
        return _decoded(values[name])
    return None


def _decoded(raw: msgspec.Raw) -> Any:
    try:
        return _any.decode(raw)
    except UNREADABLE:
        return loose_value(bytes(raw))


def _agent(values: Mapping[str, msgspec.Raw]) -> str:
    reference = _value(values, row_fields.AGENT_REF)
    if isinstance(reference, Mapping):
        reference = reference.get("name")
    if not isinstance(reference, str):
        reference = _value(values, row_fields.TASK_SOURCE)
    return name_text(reference)


def _numbers(values: Mapping[str, msgspec.Raw]) -> Iterator[tuple[str, float]]:
    count = 0
    for name, raw in values.items():
        if not row_fields.is_verifier_field(name):
            continue
        data = memoryview(raw)
        if len(data) > _LONGEST_NUMBER or bytes(data[:1]) not in _NUMBER_STARTS:
            continue
        value = number(_decoded(raw))
        if value is not None and count < _MOST_NUMBERS:
            count += 1
            yield name_text(name), value


_NUMBER_STARTS = frozenset(bytes((byte,)) for byte in b"-0123456789tf")


def _add_failure(facts: RowFacts, values: Mapping[str, msgspec.Raw]) -> None:
    failure_class = _value(values, row_fields.FAILURE_CLASS)
    if failure_class is not None:
        facts.rank = Rank.FAILURE
        facts.failure_class = name_text(failure_class) or "unknown"
        cause = _value(values, row_fields.FAILURE)
        facts.failure_hop = name_text(as_mapping(cause).get("hop") or _value(values, row_fields.FAILURE_STAGE))
    elif _value(values, row_fields.MASK_SAMPLE):
        facts.rank = Rank.MASKED
        facts.failure_class = name_text(_value(values, row_fields.FAILURE_KIND)) or "masked"


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
    if isinstance(details, Mapping):
        details = details.get("reason")
    facts.truncated = response.status == "incomplete" or bool(details)
    if isinstance(response.usage, Mapping):
        facts.tokens_in = integer(response.usage.get("input_tokens"))
        facts.tokens_out = integer(response.usage.get("output_tokens"))
    _count_items(facts, response.output)


def _loose_response(value: Any) -> _Response:
    """A response of which a part has a type that it should not have: what can be read of it."""
    if not isinstance(value, Mapping):
        return _Response()
    items = [
        _Item(item.get("type"), item.get("name"), msgspec.Raw(json.dumps(item.get("output")).encode()))
        for item in as_list(value.get("output"))
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


def _prompt_digest(raw: msgspec.Raw) -> bytes | None:
    try:
        source = _params.decode(raw).input
    except UNREADABLE:
        params = _decoded(raw)
        value = as_mapping(params).get("input")
    else:
        value = _decoded(source)
    if value is None:
        return None
    digest = hashlib.blake2b(digest_size=8)
    for text in input_texts(value):
        digest.update(text.encode("utf-8", "replace") + b"\0")
    return digest.digest()
