"""Why a rollout failed, in classes that decide what happens next, and the sidecar row that keeps it."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Any

from gymctl.config import exact_json
from gymctl.rollouts.fields import (
    AGENT_REF,
    ATTEMPT_INDEX,
    FAILURE,
    FAILURE_CLASS,
    FAILURE_TERMINAL,
    ROLLOUT_INDEX,
    TASK_INDEX,
)
from gymctl.server.calls.client import NO_ANSWER, SESSION_LOST, HopFailed

_BODY_HEAD = 2048

# Turned away before any work was done.
REFUSED = frozenset(("connect", "rate_limited", "unavailable"))
# Says nothing against the rollout, turned away or taken along by another failure: does not use up an attempt.
BLAMELESS = REFUSED | {SESSION_LOST}
# Will be the same the next time: the request or the environment is at fault.
FINAL = frozenset(("rejected", "bad_reply", "internal"))

_BY_STATUS = {
    408: "timeout",
    425: "unavailable",
    429: "rate_limited",
    502: "bad_gateway",
    503: "unavailable",
    504: "timeout",
}


def is_retriable(failure_class: str) -> bool:
    """Whether another try may end differently. Classes that an environment declares itself (judge_failed) are."""
    return failure_class not in FINAL


@dataclass(frozen=True)
class Failure:
    """One failed try: ``hop`` is the innermost server that failed, ``body`` the head of what it answered."""

    failure_class: str
    message: str
    hop: str = ""
    path: str = ""
    status: int = 0
    body: str = ""
    retry_after: float | None = None
    terminal: bool = False

    @property
    def retriable(self) -> bool:
        """Whether another try may end differently."""
        return not self.terminal and is_retriable(self.failure_class)

    @property
    def blameless(self) -> bool:
        """Whether it says nothing against the rollout."""
        return self.failure_class in BLAMELESS

    @property
    def refused(self) -> bool:
        """Whether it was turned away before any work was done."""
        return self.failure_class in REFUSED

    @classmethod
    def of(cls, error: HopFailed) -> Failure:
        """The failure of a call, seen at its innermost hop."""
        cause = error.cause
        return cls(
            failure_class=_classify(error),
            message=error.message,
            hop=str(cause.get("hop", error.hop)),
            path=str(cause.get("path", error.path)),
            status=_number(cause.get("status")),
            body=str(cause.get("body", ""))[:_BODY_HEAD],
            retry_after=error.retry_after,
        )

    @classmethod
    def of_reply(cls, failure_class: str, message: str, hop: str, body: bytes, terminal: bool = False) -> Failure:
        """A reply of status 200 that is no result."""
        text = body[:_BODY_HEAD].decode("utf-8", "replace")
        return cls(failure_class, message, hop=hop, path="/run", status=200, body=text, terminal=terminal)

    @classmethod
    def of_bug(cls, error: BaseException, hop: str) -> Failure:
        """An error of the collector itself, met in one rollout."""
        text = "".join(traceback.format_exception(error))[-_BODY_HEAD:]
        return cls("internal", f"{type(error).__name__}: {error}", hop=hop, path="/run", body=text)


def _classify(error: HopFailed) -> str:
    inner_kind = str(error.cause.get("kind", "status"))
    if inner_kind in (SESSION_LOST, NO_ANSWER):
        return inner_kind
    if error.kind != "status" or not error.status:
        return error.kind
    status = error.status
    if status in (500, 502):  # our servers say 502 for what a hop of theirs did; the hop knows better
        if inner_kind in ("connect", "reset", "timeout"):
            return inner_kind
        status = _number(error.cause.get("status")) or status
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return "server_error" if status >= 500 else "rejected"


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def failure_row(
    failure: Failure, task: int, repeat: int, agent_ref: dict[str, Any], attempt: int, terminal: bool
) -> bytes:
    """The sidecar's line for one failed attempt (the first is 0).

    ``terminal`` is that this run makes no other attempt. One that allows more attempts does, if it is ``retriable``.
    """
    return exact_json.dumps(
        {
            TASK_INDEX: task,
            ROLLOUT_INDEX: repeat,
            AGENT_REF: agent_ref,
            FAILURE_CLASS: failure.failure_class,
            FAILURE_TERMINAL: terminal,
            ATTEMPT_INDEX: attempt,
            FAILURE: {
                "message": failure.message,
                "hop": failure.hop,
                "path": failure.path,
                "status": failure.status,
                "body": failure.body,
                "retriable": failure.retriable,
            },
        }
    )
