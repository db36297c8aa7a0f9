"""From the reply of an agent to a line of the output, touching its bytes as little as possible."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import orjson

from gymctl.rollouts.failures import Failure
from gymctl.rollouts.fields import (
    AGENT_REF,
    FAILURE_CLASS,
    FAILURE_TERMINAL,
    NO_PERSIST,
    ROLLOUT_INDEX,
    TASK_INDEX,
    TIMING,
)


class Verdict(msgspec.Struct):
    """The fields of a verify response that the collector looks at; the rest is skipped over, not built."""

    reward: Any = None
    task: Any = msgspec.field(name=TASK_INDEX, default=None)
    repeat: Any = msgspec.field(name=ROLLOUT_INDEX, default=None)
    agent_ref: Any = msgspec.field(name=AGENT_REF, default=None)
    timing: Any = msgspec.field(name=TIMING, default=None)
    failure_class: Any = msgspec.field(name=FAILURE_CLASS, default=None)
    failure_terminal: Any = msgspec.field(name=FAILURE_TERMINAL, default=None)
    no_persist: Any = msgspec.field(name=NO_PERSIST, default=None)


_decoder = msgspec.json.Decoder(Verdict)


class NotAResultError(Exception):
    """A reply of status 200 that is no result; ``failure`` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def result_line(body: bytes, identity: Mapping[str, Any], agent: str) -> tuple[bytes, float]:
    """The output line of a verify response, and its reward.

    Args:
        body: what the agent's ``/run`` answered.
        identity: the fields to add: task, repeat, agent_ref, and timing when wanted. They are spliced in as bytes; only
            a reply that has other values under these names is built anew.
        agent: its name, for messages.

    Raises:
        NotAResultError: not a JSON object with a numeric reward, or the environment itself calls it a failure.
    """
    verdict = _read(body, agent)
    has = {
        TASK_INDEX: verdict.task,
        ROLLOUT_INDEX: verdict.repeat,
        AGENT_REF: verdict.agent_ref,
        TIMING: verdict.timing,
    }
    missing: dict[str, Any] = {}
    for name, value in identity.items():
        if has[name] is None:
            missing[name] = value
        elif has[name] != value:
            return orjson.dumps({**orjson.loads(body), **identity}), float(verdict.reward)
    line = _one_line(body).rstrip()
    if missing:
        line = line[:-1] + b"," + orjson.dumps(missing)[1:]
    return line, float(verdict.reward)


def _read(body: bytes, agent: str) -> Verdict:
    try:
        verdict = _decoder.decode(body)
        if not body.isascii():
            body.decode()
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        message = f"{agent}: POST /run did not answer a JSON object: {error}"
        raise NotAResultError(Failure.of_reply("bad_reply", message, agent, body)) from error
    if verdict.failure_class is not None or verdict.no_persist:
        name = str(verdict.failure_class or "killed")
        message = f"{agent}: the environment calls this rollout a failure: {name}"
        raise NotAResultError(Failure.of_reply(name, message, agent, body, bool(verdict.failure_terminal)))
    if not isinstance(verdict.reward, int | float):
        message = f"{agent}: POST /run answered without a numeric reward"
        raise NotAResultError(Failure.of_reply("bad_reply", message, agent, body))
    return verdict


def _one_line(body: bytes) -> bytes:
    """JSON on one line: a newline in it can only stand between tokens."""
    return msgspec.json.format(body, indent=-1) if b"\n" in body or b"\r" in body else body
