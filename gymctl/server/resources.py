"""Resources servers: tools, session state, verification. A user's own is a class of ten lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict

from gymctl.config import exact_json
from gymctl.config.vocabulary import ServerKind
from gymctl.server.base import Server, log
from gymctl.server.calls.client import Client
from gymctl.server.endpoints import Endpoint, Invoke, endpoint, plain, typed_endpoint
from gymctl.server.episodes import ResourcesSessions, typed_session
from gymctl.server.message import Call, Reply, json_reply
from gymctl.server.metrics_reply import baseline_reply
from gymctl.server.sessions import Session
from gymctl.server.settings import Settings


class SeedRequest(BaseModel):
    """The row that starts an episode; subclass to require fields of it."""

    model_config = ConfigDict(extra="allow")

    responses_create_params: dict[str, Any] = {}


class VerifyRequest(BaseModel):
    """The row and the agent's response; subclass to require fields of the row (a missing one is answered with 422)."""

    __slots__ = ("_raw",)  # a private attribute of pydantic's would take a fifth of the time of reading a request

    model_config = ConfigDict(extra="allow")

    responses_create_params: dict[str, Any]
    response: dict[str, Any]

    def keep_raw(self, body: bytes) -> None:
        """Remember the bytes this was parsed from: the reply echoes them without encoding them again."""
        object.__setattr__(self, "_raw", body)

    @property
    def raw(self) -> bytes:
        """The bytes this was parsed from; empty when it was made otherwise."""
        raw: bytes = getattr(self, "_raw", b"")
        return raw


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
        if not any(map(self._is_of_request, ("reward", *self.extra))):
            return raw[:-1] + b"," + verdict[1:]
        return exact_json.join_fields({**exact_json.split_fields(raw), **exact_json.split_fields(verdict)})

    def _is_of_request(self, name: str) -> bool:
        return name in type(self.request).model_fields or name in (self.request.model_extra or ())


class ResourcesServer(Server):
    """Tools of an environment and the verdict on what was done with them."""

    kind: ClassVar[str] = ServerKind.RESOURCES.value

    # The two are overridden with the parameters that are needed: a request model, ``session: Session``, or both.

    async def verify(self, *args: Any, **kwargs: Any) -> VerifyResponse:
        """Judge a finished rollout and return its reward. Override as ``verify(self, body: VerifyRequest)``."""
        raise NotImplementedError(f"{type(self).__name__} has no verify()")

    async def seed_session(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        """Prepare the state of a session for a row.

        Override as ``seed_session(self, body: SeedRequest, session: Session)``.
        """

    async def close_session(self, session: Session) -> None:
        """Release what is kept under ``session.id``. Override it; called after the verdict too."""

    def __init__(self, settings: Settings, client: Client) -> None:
        self._typed_sessions = ResourcesSessions()
        super().__init__(settings, client)

    def all_endpoints(self) -> Iterator[Endpoint]:
        """Tools, ``/seed_session``, ``/verify`` and ``/close_session``."""
        yield from super().all_endpoints()
        yield replace(typed_endpoint("/verify", self.verify), ends_session=True)
        yield Endpoint(
            "/close_session", self._close_typed, documented=self.close_session, uses_session=False, ends_session=True
        )
        if type(self).seed_session is ResourcesServer.seed_session:
            seed = Endpoint("/seed_session", self._nothing_to_seed, documented=self.seed_session, body=SeedRequest)
        else:
            seed = replace(typed_endpoint("/seed_session", self.seed_session), begins_session=True)
        yield replace(seed, invoke=partial(self._seed_typed, seed.invoke))

    async def end_session(self, session: Session) -> None:
        """Release what the environment keeps for a session, then forget it. An error of that costs no verdict."""
        try:
            await self.close_session(session)
        except Exception:  # noqa: BLE001 - the verdict has been given; what follows it costs no rollout
            log.exception("%s: close_session failed", self.name)
        await super().end_session(session)

    async def _seed_typed(self, seed: Invoke, call: Call, session: Session) -> Reply:
        """Seed with a row; an environment server (NeMo Gym 0.7) sends its columns in ``task_data``, and names it."""
        name, body = typed_session(call)
        if not name:
            return await seed(call, session)
        if self._typed_sessions.is_closed(name):
            return json_reply({"detail": f"the session {name} is closed"}, 409)
        reply = await seed(replace(call, body=exact_json.dumps(body.get("task_data") or {})), session)
        return json_reply({"resources_session_id": name}) if reply.status == 200 else reply

    async def _close_typed(self, call: Call, session: Session) -> Reply:
        """Close the session of the caller's cookie; one that an environment server named cannot be seeded again."""
        name, _ = typed_session(call)
        if not name:
            return Reply(200, b"{}")
        self._typed_sessions.close(name)
        return json_reply({"resources_session_id": name})

    async def _nothing_to_seed(self, call: Call, session: Session) -> Reply:
        return Reply(200, b"{}")

    @endpoint("/aggregate_metrics", uses_session=False)
    async def aggregate_metrics(self, call: Call, session: Session) -> Reply:
        """Compute mean, maximum, minimum, median and deviation of verdicts, per task and in total."""
        return baseline_reply(call)


def _encoded(fields: dict[str, Any]) -> dict[str, bytes]:
    return {name: exact_json.dumps(value, default=plain) for name, value in fields.items()}
