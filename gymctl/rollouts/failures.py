"""Why a rollout failed: classes that decide what happens next, and the row in the failures file."""

from __future__ import annotations

import re
import traceback
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from gymctl.config import exact_json
from gymctl.config.rows.row_fields import (
    AGENT_REF,
    ATTEMPT_INDEX,
    FAILURE,
    FAILURE_CLASS,
    FAILURE_KIND,
    FAILURE_REASON,
    FAILURE_TERMINAL,
    MASK_SAMPLE,
    ROLLOUT_INDEX,
    TASK_INDEX,
)
from gymctl.config.upstream import FAILURE_KINDS, MOST_REASON_CHARACTERS
from gymctl.server.calls.client import NO_ANSWER, SESSION_LOST, HopFailed

if TYPE_CHECKING:
    from gymctl.rollouts.pending import Pending

_BODY_HEAD = 2048

# Turned away before any work was done.
REFUSED = frozenset(("connect", "rate_limited", "unavailable"))
# What the end of a server does to every rollout that it had, whichever of them was the cause.
COLLATERAL = frozenset(("reset", SESSION_LOST))
# Says nothing against the rollout, turned away or taken along by another failure: does not use up an attempt.
BLAMELESS = REFUSED | {SESSION_LOST}
# Will be the same the next time: the request or the environment is at fault.
FINAL = frozenset(("rejected", "bad_reply", "internal"))
# Statuses that say that a key, an address or a name of a model is wrong: of the configuration, not of a row.
_OF_THE_SETUP = frozenset((301, 302, 303, 307, 308, 401, 402, 403, 404, 405, 407, 410, 421, 501))


class FailureEvidence(Enum):
    """What a failure implies about its rollout."""

    AGAINST = "against"
    """It uses up an attempt."""
    COLLATERAL = "collateral"
    """A server ended, perhaps over another rollout: counts only for one that was alone."""
    REFUSAL = "refusal"
    """It was turned away: counts when that happens again and again, while other rollouts succeed."""
    FINAL = "final"
    """It would fail the same way again, if the row is the cause."""


_BY_STATUS = {
    408: "timeout",
    409: "unavailable",
    425: "unavailable",
    429: "rate_limited",
    502: "bad_gateway",
    503: "unavailable",
    504: "timeout",
}


# Classes of failures by the name that NeMo Gym 0.7 has for their kind.
KINDS = {
    "connect": "transport_unreachable",
    "reset": "transport_peer_drop",
    "timeout": "transport_timeout",
    SESSION_LOST: "session_lost",
    "rate_limited": "agent_request_failed",
    "unavailable": "agent_request_failed",
    "bad_gateway": "agent_request_failed",
    "server_error": "agent_run_error",
    NO_ANSWER: "agent_run_error",
    "rejected": "agent_run_error",
    "bad_reply": "agent_run_error",
    "internal": "gymctl:internal",
}
# What environments called themselves killed, before NeMo Gym had kinds.
_DECLARED_KINDS = {"killed": "kill_shaped", "environment_server_failed": "agent_run_error"}


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
    declared: bool = False
    """Whether the environment itself calls the rollout a failure; the class is then its own word, not ours."""
    declared_kind: str | None = None
    """The kind that the environment gave itself."""
    declared_reason: str | None = None
    """The reason that the environment gave itself."""

    @property
    def kind_name(self) -> str:
        """NeMo Gym's name for what went wrong: its own, a server's (``server:kind``), or the one for the class."""
        if self.declared_kind:
            return self.declared_kind
        if not self.declared:
            return KINDS.get(self.failure_class, "agent_request_failed")
        if self.failure_class in FAILURE_KINDS:
            return self.failure_class
        return _DECLARED_KINDS.get(self.failure_class) or f"environment:{_plain_name(self.failure_class)}"

    @property
    def reason(self) -> str:
        """What happened, in words."""
        return (self.declared_reason or self.message)[:MOST_REASON_CHARACTERS]

    def named(self, kind: str | None, reason: str | None) -> Failure:
        """The same failure with the kind and the reason that the environment gave."""
        return replace(self, declared_kind=kind, declared_reason=reason)

    @property
    def evidence(self) -> FailureEvidence:
        """What it means for the rollout."""
        if not self.retriable:
            return FailureEvidence.FINAL
        if self.declared:
            return FailureEvidence.AGAINST
        if self.failure_class in COLLATERAL:
            return FailureEvidence.COLLATERAL
        if self.failure_class in REFUSED:
            return FailureEvidence.REFUSAL
        return FailureEvidence.AGAINST

    @property
    def kind(self) -> tuple[str, int, str]:
        """What is the same in failures of one cause."""
        return self.failure_class, self.status, self.hop

    @property
    def of_the_setup(self) -> bool:
        """Whether the status points to a mistake in the configuration."""
        return not self.declared and self.status in _OF_THE_SETUP

    @property
    def retriable(self) -> bool:
        """Whether another try may end differently."""
        if self.declared:
            return not self.terminal
        return is_retriable(self.failure_class)

    @property
    def refused(self) -> bool:
        """Whether it was turned away before any work was done."""
        return self.failure_class in REFUSED and not self.declared

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
    def of_reply(
        cls, failure_class: str, message: str, hop: str, body: bytes, *, declared: bool = False, terminal: bool = False
    ) -> Failure:
        """A reply of status 200 without a result; ``declared`` by the environment, as ``terminal`` or not."""
        return cls(
            failure_class,
            message,
            hop=hop,
            path="/run",
            status=200,
            body=body[:_BODY_HEAD].decode("utf-8", "replace"),
            terminal=terminal,
            declared=declared,
        )

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
    if status >= 500:
        return "server_error"
    return "rejected"


def _plain_name(text: str) -> str:
    """A name as a kind may be called: small letters, digits and underscores, a letter first."""
    name = re.sub(r"[^a-z0-9_]+", "_", text.lower()).strip("_")
    return name if name[:1].isalpha() else f"class_{name}"


def _number(value: Any) -> int:
    if isinstance(value, int):
        return value
    return 0


def failure_row(failure: Failure, pending: Pending, attempt: int, *, counted: bool, terminal: bool) -> bytes:
    """The sidecar's line for one failed attempt (the first is 0).

    ``counted`` is that it uses up an attempt, ``terminal`` that this run makes no other one. A run that allows more
    attempts does, if the failure is ``retriable``.
    """
    trace = {}
    if pending.trace is not None:
        trace["trace_id"] = pending.trace.trace_id
    return exact_json.dumps(
        {
            TASK_INDEX: pending.task,
            ROLLOUT_INDEX: pending.repeat,
            AGENT_REF: pending.agent_ref,
            FAILURE_CLASS: failure.failure_class,
            FAILURE_TERMINAL: terminal,
            MASK_SAMPLE: True,
            FAILURE_KIND: failure.kind_name,
            FAILURE_REASON: failure.reason,
            ATTEMPT_INDEX: attempt,
            FAILURE: {
                "message": failure.message,
                "hop": failure.hop,
                "path": failure.path,
                "status": failure.status,
                "body": failure.body,
                "retriable": failure.retriable,
                "counted": counted,
                **trace,
            },
        }
    )
