"""Resources servers: tools, session state, verification. A user's own is a class of ten lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, PrivateAttr

from gymctl.config import exact_json
from gymctl.config.vocabulary import ServerKind
from gymctl.server.base import Server, log
from gymctl.server.endpoints import Endpoint, endpoint, plain, typed_endpoint
from gymctl.server.message import Call, Reply, json_reply
from gymctl.server.sessions import Session


class SeedRequest(BaseModel):
    """The row that starts an episode; subclass to require fields of it."""

    model_config = ConfigDict(extra="allow")

    responses_create_params: dict[str, Any] = {}


class VerifyRequest(BaseModel):
    """The row and the agent's response; subclass to require fields of the row (a missing one is answered with 422)."""

    model_config = ConfigDict(extra="allow")

    responses_create_params: dict[str, Any]
    response: dict[str, Any]
    _raw: bytes = PrivateAttr(default=b"")

    def keep_raw(self, body: bytes) -> None:
        """Remember the bytes this was parsed from: the reply echoes them without encoding them again."""
        self._raw = body

    @property
    def raw(self) -> bytes:
        """The bytes this was parsed from; empty when it was made otherwise."""
        return self._raw


class VerifyResponse:
    """The verdict: the request's fields, a reward, and whatever else the environment reports."""

    def __init__(self, request: VerifyRequest, reward: float, extra: dict[str, Any]) -> None:
        self.request = request
        self.reward = float(reward)
        self.extra = extra

    @classmethod
    def of(cls, request: VerifyRequest, reward: float, **extra: Any) -> Self:
        """Echo ``request`` with its reward, as upstream's verify does."""
        return cls(request, reward, extra)

    def to_json_bytes(self) -> bytes:
        """The reply's body. The echoed request is spliced in as it came, less the keys that are set here.

        Raises:
            NotFiniteError: the reward, or what else is reported, holds NaN or an infinity.
        """
        verdict = exact_json.dumps_finite({"reward": self.reward, **self.extra}, default=plain)
        raw = self.request.raw.rstrip()
        if not raw or self.request.model_extra is None:
            fields = self.request.model_dump(mode="json")
            return exact_json.join_fields({**_encoded(fields), **exact_json.split_fields(verdict)})
        if not {"reward", *self.extra} & self._request_keys():
            return raw[:-1] + b"," + verdict[1:]
        return exact_json.join_fields({**exact_json.split_fields(raw), **exact_json.split_fields(verdict)})

    def _request_keys(self) -> set[str]:
        return set(type(self.request).model_fields) | set(self.request.model_extra or ())


class ResourcesServer(Server):
    """Tools of an environment and the verdict on what was done with them."""

    kind: ClassVar[str] = ServerKind.RESOURCES.value

    # The two are overridden with the parameters one needs: a request model of one's own, ``session: Session``, or both.

    async def verify(self, *args: Any, **kwargs: Any) -> VerifyResponse:
        """Judge a finished rollout and return its reward. Override as ``verify(self, body: VerifyRequest)``."""
        raise NotImplementedError(f"{type(self).__name__} has no verify()")

    async def seed_session(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        """Prepare the state of a session for a row.

        Override as ``seed_session(self, body: SeedRequest, session: Session)``.
        """

    async def close_session(self, session: Session) -> None:
        """Release what is kept under ``session.id``. Override it; called after the verdict too."""

    def all_endpoints(self) -> Iterator[Endpoint]:
        """Tools, ``/seed_session``, ``/verify`` and ``/close_session``."""
        yield from super().all_endpoints()
        yield replace(typed_endpoint("/verify", self.verify), ends_session=True)
        yield Endpoint(
            "/close_session", self._nothing_more, documented=self.close_session, uses_session=False, ends_session=True
        )
        if type(self).seed_session is ResourcesServer.seed_session:
            yield Endpoint("/seed_session", self._nothing_to_seed, documented=self.seed_session, body=SeedRequest)
        else:
            yield replace(typed_endpoint("/seed_session", self.seed_session), begins_session=True)

    async def end_session(self, session: Session) -> None:
        """Release what the environment keeps for a session, then forget it. An error of that costs no verdict."""
        try:
            await self.close_session(session)
        except Exception:  # noqa: BLE001 - the verdict has been given; what follows it costs no rollout
            log.exception("%s: close_session failed", self.name)
        await super().end_session(session)

    async def _nothing_more(self, call: Call, session: Session) -> Reply:
        return Reply(200, b"{}")

    async def _nothing_to_seed(self, call: Call, session: Session) -> Reply:
        return Reply(200, b"{}")

    @endpoint("/aggregate_metrics", uses_session=False)
    async def aggregate_metrics(self, call: Call, session: Session) -> Reply:
        """Compute mean, maximum, minimum, median and deviation of verdicts, per task and in total."""
        from gymctl.server.metrics import baseline_metrics

        try:
            rows = call_rows(call)
        except ValueError as error:
            return json_reply({"detail": str(error)}, 422)
        return json_reply(baseline_metrics(rows))


def _encoded(fields: dict[str, Any]) -> dict[str, bytes]:
    return {name: exact_json.dumps(value, default=plain) for name, value in fields.items()}


def call_rows(call: Call) -> list[dict[str, Any]]:
    """The ``verify_responses`` of an ``/aggregate_metrics`` request.

    Raises:
        ValueError: there are none.
    """
    body = exact_json.loads(call.body or b"{}")
    if isinstance(body, dict):
        rows = body.get("verify_responses")
    else:
        rows = None
    if not isinstance(rows, list):
        raise ValueError("verify_responses must be a list of rows")
    return rows
