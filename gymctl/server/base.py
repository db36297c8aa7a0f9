"""The base of every server: its config, its endpoints, and a dispatch that knows no transport."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gymctl.config.choices import LogFormat
from gymctl.config.secrets import Masks
from gymctl.config.vocabulary import EVERY_INTERFACE, OBSERVE_KEY
from gymctl.errors import InputError
from gymctl.server.calls.client import SESSION_LOST, Client, HopFailed
from gymctl.server.endpoints import Endpoint, endpoint, marked_endpoints
from gymctl.server.failure_log import FailureLog
from gymctl.server.message import NOT_TAKEN_HEADER, Call, RefusedError, Reply, json_reply, printable_line
from gymctl.server.monitoring import (
    IN_FLIGHT,
    IN_FLIGHT_TEXT,
    METRICS_PATH,
    UNCOUNTED,
    Gauge,
    ServerMonitor,
    metrics_token,
    prepare_processes,
)
from gymctl.server.rollout_context import in_session
from gymctl.server.run.log_level import LogLevel
from gymctl.server.run.log_lines import hide_in_logs
from gymctl.server.sessions import Session, SessionLostError, SessionStore, cookie_suffix
from gymctl.server.settings import Settings
from gymctl.server.tracing import is_measured, traced

if TYPE_CHECKING:
    from fastapi import FastAPI

_STATUS_OF = {"timeout": 504, SESSION_LOST: 503}

_SESSION_DIGITS = 8  # of a session's id in the log: the whole id would let a reader of the log continue the session

log = logging.getLogger("gymctl.server")


class ServerConfig(BaseModel):
    """What every server's configuration may say; subclass it and annotate ``config`` with the subclass."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    host: str = EVERY_INTERFACE
    port: int = 0
    entrypoint: str = "app.py"
    num_workers: int | None = None
    max_in_flight: int = Field(65_536, ge=1)
    """Maximum number of concurrent requests; further ones are rejected with 503."""
    max_body_mb: float | None = Field(None, gt=0)
    """Largest body of a request, in megabytes; by default 256."""
    log_level: LogLevel | None = None
    """Minimum level of the lines that it logs; by default ``GYMCTL_LOG_LEVEL``, else ``info``."""
    log_format: LogFormat | None = None
    """Format of its log lines; by default the top-level ``log_format``, else ``GYMCTL_LOG_FORMAT``, else ``text``."""


class Server:
    """One named server. Subclasses annotate ``config``, mark endpoints and tools, or add routes of their own."""

    config: ServerConfig
    kind: ClassVar[str] = ""
    # Whether no request depends on what an earlier one left in the process: then ``num_workers`` may be above 1.
    stateless: ClassVar[bool] = False
    # The largest body of a request in megabytes, where the configuration has no ``max_body_mb``.
    default_body_mb: ClassVar[float] = 256.0

    def __init__(self, settings: Settings, client: Client) -> None:
        self.settings = settings
        self.name = settings.name
        self.client = client
        self.config = self._read_config(settings)
        self.sessions = SessionStore(f"{type(self).__name__}{cookie_suffix(self.name)}", stateless=self.stateless)
        self.endpoints = {(item.method, item.path): item for item in self.all_endpoints()}
        self.monitor = self._monitored()
        self.workers = 1
        self._in_flight = 0
        self._most_in_flight = self.config.max_in_flight
        self._started = time.monotonic()
        self._application: Any = None
        self._failures = FailureLog(self.name)
        self._masks = Masks(self._own_values())
        hide_in_logs(self._masks)

    def _own_values(self) -> list[Any]:
        """The server's part of the configuration: its fields, and plain values for all."""
        values = {key: value for key, value in self.settings.whole.items() if isinstance(value, str)}
        return [dict(self.settings.fields), values]

    def _read_config(self, settings: Settings) -> Any:
        model = get_type_hints(type(self)).get("config", ServerConfig)
        try:
            return model.model_validate(dict(settings.fields))
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}" for problem in error.errors()
            )
            raise InputError(f"{self.name} ({settings.kind}/{settings.implementation}): {problems}") from error

    def all_endpoints(self) -> Iterator[Endpoint]:
        """Every endpoint of this server; base classes add the ones their kind must have."""
        yield from marked_endpoints(self)

    def share_with(self, workers: int) -> None:
        """Be one of ``workers`` processes that are this server together, and share its limits."""
        self.workers = workers
        self._most_in_flight = self.share(self.config.max_in_flight)

    def share(self, limit: int) -> int:
        """This process's part of a limit of the whole server, at least 1."""
        return max(1, limit // self.workers)

    def routes(self, app: FastAPI) -> None:
        """Override to add FastAPI routes of your own."""

    async def startup(self) -> None:
        """Override to prepare, inside the event loop, before the first request."""

    async def shutdown(self) -> None:
        """Override to release what ``startup`` took."""

    @endpoint("/", method="GET", uses_session=False)
    async def alive(self, call: Call, session: Session) -> Reply:
        """Report that the server is alive, with `{"status":"ok"}`, as NeMo Gym 0.3 and later do."""
        return Reply(200, b'{"status":"ok"}', headers={"x-gym-uptime": f"{time.monotonic() - self._started:.1f}"})

    def gauges(self) -> Iterator[Gauge]:
        """Values for ``/metrics`` that are read when it is asked for; override it to add some."""
        if not self.stateless:
            yield Gauge("gymctl_sessions_open", "Sessions.", {"server": self.name}, len(self.sessions))

    def _all_gauges(self) -> Iterator[Gauge]:
        if self.workers == 1:
            others = max(0, self._in_flight - 1)  # without the request that asks
            yield Gauge(IN_FLIGHT, IN_FLIGHT_TEXT, {"server": self.name, "kind": self.kind}, others)
        yield from self.gauges()

    def _monitored(self) -> ServerMonitor | None:
        """What counts requests, in a stack with ``observe``; it is shown at ``/metrics``."""
        observe = self.settings.whole.get(OBSERVE_KEY)
        if observe is None or observe is False:
            return None
        workers = self.config.num_workers or 1
        prepare_processes(workers)
        monitor = ServerMonitor(self.name, self.kind, self._all_gauges, is_shared=workers > 1)
        token = metrics_token(observe)

        async def metrics(call: Call, session: Session) -> Reply:
            """Metrics for Prometheus."""
            return monitor.reply(call, token)

        self.endpoints["GET", METRICS_PATH] = Endpoint(METRICS_PATH, metrics, "GET", metrics, uses_session=False)
        return monitor

    async def handle(self, call: Call) -> Reply:
        """Answer one call: find the endpoint, open the session, run it, turn failures into replies."""
        answering: Awaitable[Reply] = self._handle(call)
        if call.traceparent and is_measured(call.traceparent, self.kind):
            answering = traced(answering, call, self.name, self.sessions.cookie)
        monitor = self.monitor
        if monitor is None or call.path in UNCOUNTED:
            return await answering
        if not monitor.is_watching:
            monitor.watch_loop()
        if monitor.is_shared:
            answering = monitor.in_progress(answering)
        started = time.perf_counter()
        reply = await answering
        monitor.durations[reply.status].observe(time.perf_counter() - started)
        return reply

    async def _handle(self, call: Call) -> Reply:
        endpoint = self.endpoints.get((call.method, call.path))
        if endpoint is None:
            return await self._beyond(call)
        if self._in_flight >= self._most_in_flight:
            return self._busy()
        # any replica of a stateless one will do
        if self.stateless:
            place = ""
        else:
            place = call.place
        # no rollout begins with a check of health, which would otherwise leave a session behind each time
        is_kept = endpoint.uses_session or call.method != "GET"
        identity = call.cookies.get(self.sessions.cookie)
        if self.sessions.refuses_new and identity is None and is_kept and call.deadline is not None:
            return Reply(503, headers={NOT_TAKEN_HEADER: "1", "retry-after": "1"})
        session = self.sessions.open(identity, replaces_lost=endpoint.begins_session, place=place, is_kept=is_kept)
        self._in_flight += 1
        started = time.perf_counter()
        try:
            with in_session(session.cookie[-_SESSION_DIGITS:]):
                reply = await self._answer(endpoint, call, session)
                if log.isEnabledFor(logging.DEBUG):
                    ms = (time.perf_counter() - started) * 1000
                    log.debug("%s %s %d %.1f ms", call.method, printable_line(call.path), reply.status, ms)
        finally:
            self._in_flight -= 1
        if is_kept:
            reply.cookies.setdefault(self.sessions.cookie, session.cookie)
        masked = self._masks.body(reply.body, is_error=reply.status >= 400)
        if masked is not reply.body:
            reply.body = masked
            reply.answer = None
        return reply

    async def _answer(self, endpoint: Endpoint, call: Call, session: Session) -> Reply:
        """The reply of an endpoint; whatever fails is logged, and becomes a reply."""
        try:
            if endpoint.uses_session:
                session.check()  # also where the code keeps its state elsewhere, under ``session.id``
            reply = await endpoint.invoke(call, session)
            if endpoint.ends_session and reply.status == 200 and self.sessions.holds(session):
                await self.end_session(session)
        except HopFailed as failure:
            self._note(failure)
            reply = failed_hop(failure)
        except RefusedError as refused:
            reply = refused.reply()
        except SessionLostError as error:  # the rollout must start again: 503, which no server uses as an answer
            lost = HopFailed(self.name, call.path, status=503, kind=SESSION_LOST, body=str(error))
            self._note(lost)
            reply = failed_hop(lost)
        except Exception as error:  # noqa: BLE001 - one request of a server
            self._failures.code_failed(call, error)
            reply = json_reply({"detail": f"{type(error).__name__}: {printable_line(str(error))}"}, 500)
        return reply

    def _note(self, failure: HopFailed) -> None:
        """Log and count a call that failed."""
        self._failures.call_failed(failure)
        if self.monitor is not None:
            self.monitor.call_failed(failure.kind)

    async def end_session(self, session: Session) -> None:
        """Forget a session."""
        self.sessions.end(session)

    async def _beyond(self, call: Call) -> Reply:
        """A path without an endpoint: one of the user's FastAPI routes, or 404."""
        if not self.has_routes:
            return json_reply({"detail": "Not Found"}, 404)
        from gymctl.server.asgi import call_application

        return await call_application(self.application, call)

    @property
    def most_body_mb(self) -> float:
        """The largest body of a request that this server takes, in megabytes."""
        return self.config.max_body_mb or self.default_body_mb

    @property
    def has_routes(self) -> bool:
        """Whether the class adds FastAPI routes of its own."""
        return type(self).routes is not Server.routes

    @property
    def application(self) -> FastAPI:
        """The FastAPI application with every route in it: for ``/docs`` and for routes of the user's own."""
        if self._application is None:
            from gymctl.server.openapi import build_application

            self._application = build_application(self)
        return self._application  # type: ignore[no-any-return]

    def _busy(self) -> Reply:
        reply = json_reply({"detail": f"{self.name} is at its limit of {self.config.max_in_flight} requests"}, 503)
        reply.headers["retry-after"] = "1"
        return reply

    @classmethod
    def serve(cls) -> None:
        """Run this server as the process's main work, configured by the environment."""
        from gymctl.server.run.serve import serve

        serve(cls)


def failed_hop(failure: HopFailed) -> Reply:
    """The reply of a server whose call to another one failed: it names the innermost hop as ``cause``.

    429 and 503 keep their status and ``retry-after``, a timeout becomes 504, a lost session 503, all else 502.
    """
    if failure.status in (429, 503):
        status = failure.status
    else:
        status = _STATUS_OF.get(failure.kind, 502)
    reply = json_reply({"detail": failure.message, "cause": failure.cause}, status)
    if failure.retry_after is not None:
        reply.headers["retry-after"] = f"{failure.retry_after:g}"
    return reply
