"""Convert an agent's reply to a line of the output, changing its bytes as little as possible."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import msgspec
import orjson

from gymctl.config import exact_json
from gymctl.config.rows.row_fields import (
    AGENT_REF,
    ENVIRONMENT_SERVER,
    FAILURE_CLASS,
    FAILURE_KIND,
    FAILURE_REASON,
    FAILURE_TERMINAL,
    MASK_SAMPLE,
    NO_PERSIST,
    ROLLOUT_INDEX,
    TASK_INDEX,
    TASK_SOURCE,
    TIMING,
    TOOL_ERRORS,
)
from gymctl.rollouts.events import Finished
from gymctl.rollouts.failures import Failure


class Verdict(msgspec.Struct):
    """The fields of a verify response that the collector looks at; the rest is skipped over, not built."""

    reward: Any = None
    task: Any = msgspec.field(name=TASK_INDEX, default=msgspec.UNSET)
    repeat: Any = msgspec.field(name=ROLLOUT_INDEX, default=msgspec.UNSET)
    agent_ref: Any = msgspec.field(name=AGENT_REF, default=msgspec.UNSET)
    task_source: Any = msgspec.field(name=TASK_SOURCE, default=msgspec.UNSET)
    environment_server: Any = msgspec.field(name=ENVIRONMENT_SERVER, default=msgspec.UNSET)
    timing: Any = msgspec.field(name=TIMING, default=msgspec.UNSET)
    tool_errors: Any = msgspec.field(name=TOOL_ERRORS, default=msgspec.UNSET)
    failure_class: Any = msgspec.field(name=FAILURE_CLASS, default=None)
    failure_terminal: Any = msgspec.field(name=FAILURE_TERMINAL, default=None)
    failure_kind: Any = msgspec.field(name=FAILURE_KIND, default=None)
    failure_reason: Any = msgspec.field(name=FAILURE_REASON, default=None)
    no_persist: Any = msgspec.field(name=NO_PERSIST, default=None)
    mask_sample: Any = msgspec.field(name=MASK_SAMPLE, default=None)


_decoder = msgspec.json.Decoder(Verdict)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


class NotAResultError(Exception):
    """A reply of status 200 that is not a result; ``failure`` has the reason."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class ResultLine(NamedTuple):
    """The output line of a result."""

    line: bytes
    reward: float
    is_masked: bool
    """Whether the reward is not a measurement (``mask_sample: true``)."""

    def finished(self, agent: str, ms: float, model_ms: float) -> Finished:
        """The event of this result; the reward of a masked one does not count."""
        reward = 0.0 if self.is_masked else self.reward
        return Finished(agent, reward, ms, model_ms=model_ms, masked=int(self.is_masked))


def result_line(body: bytes, identity: Mapping[str, Any], agent: str) -> ResultLine:
    """The output line of a verify response, and its reward.

    Args:
        body: what the agent's ``/run`` answered.
        identity: the fields to add: task, repeat, agent_ref, and timing when wanted. They are spliced in as bytes; what
            a reply has under these names is dropped when it is not the very same.
        agent: its name, for messages.

    Raises:
        NotAResultError: not a JSON object with a finite reward, or the environment itself calls it a failure.
    """
    body, verdict = _read(body, agent)
    has = {
        TASK_INDEX: verdict.task,
        ROLLOUT_INDEX: verdict.repeat,
        AGENT_REF: verdict.agent_ref,
        TASK_SOURCE: verdict.task_source,
        ENVIRONMENT_SERVER: verdict.environment_server,
        TIMING: verdict.timing,
        TOOL_ERRORS: verdict.tool_errors,
    }
    if any(value is not msgspec.UNSET and not _same(value, identity.get(name)) for name, value in has.items()):
        line = _without(body, has)
        missing = dict(identity)
    else:
        line = _one_line(body).rstrip()
        missing = {name: value for name, value in identity.items() if has[name] is msgspec.UNSET}
    if missing:
        if line[:-1].rstrip() == b"{":
            comma = b""
        else:
            comma = b","
        line = line[:-1] + comma + exact_json.dumps(missing)[1:]
    return ResultLine(line, float(verdict.reward), verdict.mask_sample is True)


def _same(value: Any, own: Any) -> bool:
    """Whether a reply's value is the collector's own: 3.0 and True are not the numbers 3 and 1 to who reads them."""
    return repr(value) == repr(own)


def _without(body: bytes, names: Collection[str]) -> bytes:
    """The object on one line without these names; every other value keeps its bytes, so no number changes."""
    fields = _fields.decode(body)
    parts = [b"%b:%b" % (orjson.dumps(name), bytes(value)) for name, value in fields.items() if name not in names]
    return _one_line(b"{" + b",".join(parts) + b"}")


def _decoded(body: bytes) -> tuple[bytes, Verdict]:
    """A reply and its verdict; half of a surrogate pair, which servers pass on from a model or a row, is replaced.

    Raises:
        ValueError: it is not a JSON object in UTF-8, or is nested too deeply.
    """
    if not body.isascii():
        body.decode()
    try:
        return body, _decoder.decode(body)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except ValueError:
        repaired = exact_json.repair(body)
        if repaired == body:
            raise
        return repaired, _decoder.decode(repaired)


def _read(body: bytes, agent: str) -> tuple[bytes, Verdict]:
    try:
        body, verdict = _decoded(body)
    except ValueError as error:
        problem = exact_json.explain(body) or str(error)
        message = f"{agent}: POST /run returned something other than a JSON object: {problem}"
        raise NotAResultError(Failure.of_reply("bad_reply", message, agent, body)) from error
    if verdict.failure_class is not None or verdict.no_persist:
        name = str(verdict.failure_class or "killed")
        message = f"{agent}: the environment reports this rollout as failed: {name}"
        terminal = bool(verdict.failure_terminal)
        declared = Failure.of_reply(name, message, agent, body, declared=True, terminal=terminal)
        raise NotAResultError(declared.named(_text(verdict.failure_kind), _text(verdict.failure_reason)))
    if not is_finite(verdict.reward):
        message = f"{agent}: POST /run returned no finite reward"
        raise NotAResultError(Failure.of_reply("bad_reply", message, agent, body))
    return body, verdict


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def is_finite(reward: Any) -> bool:
    """Whether a reward is a number that a float can hold."""
    if isinstance(reward, bool) or not isinstance(reward, int | float):
        return False
    try:
        return math.isfinite(reward)
    except OverflowError:
        return False


def _one_line(body: bytes) -> bytes:
    """JSON on one line: a newline in it can only be between tokens."""
    if b"\n" in body or b"\r" in body:
        return msgspec.json.format(body, indent=-1)
    return body
