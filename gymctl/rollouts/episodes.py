"""Tasks for environment servers of NeMo Gym 0.7, and their answers (``episode_types.py``)."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec
import orjson

from gymctl.config import exact_json
from gymctl.config.rows.row_fields import TASK_ID, TASK_INPUT
from gymctl.rollouts.failures import Failure
from gymctl.rollouts.result_line import NotAResultError

FAILURE_CLASS = "environment_server_failed"
"""Class of a failure that an environment server answers with (rollout_collection.py of 0.7.0)."""

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _Failure(msgspec.Struct):
    failure_reason: str = ""
    failure_kind: str | None = None
    terminal: bool = False
    stage: str | None = None


class _Answer(msgspec.Struct):
    task_id: msgspec.Raw = msgspec.Raw(b"null")
    result: msgspec.Raw = msgspec.Raw(b"null")
    failure: _Failure | None = None


_answer = msgspec.json.Decoder(_Answer)


def episode_request(row: bytes, task: int, repeat: int, attempt: int) -> bytes | None:
    """The request for one attempt of a task; None for any other row, which is sent unchanged.

    Sessions of an attempt are kept under its name, so that two attempts, also of two runs, never share one.
    """
    fields = _fields.decode(row)
    if TASK_INPUT not in fields or not bytes(fields.get(TASK_ID, msgspec.Raw(b""))).lstrip().startswith(b"{"):
        return None
    episode = orjson.dumps({"rollout_id": f"{task}-{repeat}-r{uuid.uuid4().hex[:12]}", "attempt": attempt})
    sent = exact_json.join_fields({TASK_ID: bytes(fields[TASK_ID]), TASK_INPUT: bytes(fields[TASK_INPUT])})
    return exact_json.join_fields({"episode_id": episode, "task": sent})


def episode_result(body: bytes, server: str) -> bytes:
    """The result in the answer to an episode request, with its task as ``_ng_task_id``.

    Raises:
        NotAResultError: the answer is a failure, or none of the protocol.
    """
    try:
        answer = _answer.decode(body)
        result: Any = _fields.decode(answer.result) if answer.failure is None else {}
    except msgspec.MsgspecError as error:
        message = f"{server}: POST /run did not answer an episode with a result: {error}"
        raise NotAResultError(Failure.of_reply("bad_reply", message, server, body)) from error
    if answer.failure is not None:
        failure = answer.failure
        stage = f" ({failure.stage})" if failure.stage else ""
        message = f"{server}: the episode failed{stage}: {failure.failure_reason}"
        declared = Failure.of_reply(FAILURE_CLASS, message, server, body, declared=True, terminal=failure.terminal)
        raise NotAResultError(declared.named(failure.failure_kind, failure.failure_reason))
    fields = {name: bytes(value) for name, value in result.items()}
    return exact_json.join_fields({**fields, "_ng_task_id": bytes(answer.task_id)})
