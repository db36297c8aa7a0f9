"""Send spans to an OpenTelemetry receiver (OTLP over HTTP), in a thread that no rollout waits for.

The messages are those of the package ``opentelemetry-proto``. OpenTelemetry's SDK is not used: its processors decide
when a span ends whether it is exported, while a rollout's spans wait here for the end of the rollout.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from typing import IO, TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import BaseHandler, HTTPRedirectHandler, ProxyHandler, Request, build_opener

from gymctl import __version__
from gymctl.config.vocabulary import LOOPBACK_HOSTS
from gymctl.errors import InputError
from gymctl.rollouts import events
from gymctl.rollouts.trace_spans import AttributeValue, RolloutSpan, SpanKind
from gymctl.server.calls.client import parse_retry_after

if TYPE_CHECKING:
    from gymctl.config.blocks.telemetry import TelemetryKeys

_MOST_WAITING = 20_000
_BATCH = 512
_GATHER_S = 1.0
_REQUEST_S = 10.0
_TRIES = 3
_LONGEST_WAIT_S = 10.0
_CLOSE_S = 5.0
_LAST_WAIT_S = 0.3
_RETRIABLE = (429, 502, 503, 504)


def import_messages() -> Any:
    """The message types of OTLP for traces: ``trace_service``, ``trace``, ``resource`` and ``common``.

    Raises:
        InputError: they are not installed.
    """
    try:
        from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
    except ImportError as error:
        hint = "install it: pip install 'gymctl[telemetry]'"
        raise InputError("`telemetry` needs opentelemetry-proto", hint) from error
    return trace_service_pb2


class _RefusedError(Exception):
    """The receiver did not take a batch; ``wait_s``: seconds to wait before another try, None when it is useless."""

    def __init__(self, reason: str, wait_s: float | None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class TraceExporter:
    """Sends spans in batches.

    Args:
        keys: where, and under which names.

    Raises:
        InputError: ``opentelemetry-proto`` is not installed.
    """

    def __init__(self, keys: TelemetryKeys) -> None:
        self._messages = import_messages()
        self._keys = keys
        self._waiting: queue.SimpleQueue[list[RolloutSpan]] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._opener = build_opener(*_handlers(keys.traces_url))
        self.taken = 0
        """Spans taken so far."""
        self.delivered = 0
        """Of those, the ones that the receiver has."""
        self._dropped = 0
        self.problem = ""
        """Why the receiver did not take some; empty when it took all so far."""
        self._thread = threading.Thread(target=self._work, name="traces", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Spans that the receiver does not have; after ``close``, those that it will never have."""
        return self.taken - self.delivered

    def take(self, spans: list[RolloutSpan]) -> None:
        """Send spans some time; with too many waiting, they are dropped."""
        self.taken += len(spans)
        if self.taken - self.delivered - self._dropped <= _MOST_WAITING:
            self._waiting.put(spans)
        else:
            self._dropped += len(spans)

    def close(self) -> None:
        """Send what waits, for a few seconds at most."""
        self._closing.set()
        self._waiting.put([])
        self._thread.join(_CLOSE_S)

    def _work(self) -> None:
        while not (self._closing.is_set() and self._waiting.empty()):
            batch = self._gather()
            if batch:
                self._deliver(batch)

    def _gather(self) -> list[RolloutSpan]:
        """The spans of about a second."""
        batch = list(self._waiting.get())
        until = time.monotonic() + _GATHER_S
        while len(batch) < _BATCH:
            left = until - time.monotonic()
            if self._closing.is_set():
                left = 0.0
            try:
                batch += self._waiting.get(timeout=left) if left > 0 else self._waiting.get_nowait()
            except queue.Empty:
                break
        return batch

    def _deliver(self, batch: list[RolloutSpan]) -> None:
        body = self._encoded(batch)
        for number in range(_TRIES):
            try:
                rejected = self._post(body)
            except _RefusedError as error:
                self.problem = self.problem or str(error)
                if error.wait_s is None or number + 1 == _TRIES:
                    break
                self._pause(error.wait_s or 2.0**number)
            else:
                self.delivered += len(batch) - rejected
                self._dropped += rejected
                return
        self._dropped += len(batch)

    def _pause(self, seconds: float) -> None:
        """Wait before another try; briefly once the run has ended."""
        if self._closing.wait(min(_LONGEST_WAIT_S, seconds)):
            time.sleep(min(_LAST_WAIT_S, seconds))

    def _post(self, body: bytes) -> int:
        """Send one request; returns how many of its spans the receiver rejected.

        Raises:
            _RefusedError: it did not take the request.
        """
        own = {"content-type": "application/x-protobuf", "user-agent": f"gymctl/{__version__}"}
        headers = {**self._keys.headers, **own}
        request = Request(self._keys.traces_url, body, headers, method="POST")  # noqa: S310 - http or https: checked
        try:
            with self._opener.open(request, timeout=_REQUEST_S) as reply:
                return self._rejected(reply.read())
        except HTTPError as error:
            wait_s = None
            if error.code in _RETRIABLE:
                wait_s = parse_retry_after(error.headers.get("retry-after")) or 0.0
            raise _RefusedError(f"it answers {error.code}", wait_s) from error
        except (URLError, HTTPException, OSError) as error:
            raise _RefusedError(str(getattr(error, "reason", None) or error), 0.0) from error

    def _rejected(self, body: bytes) -> int:
        from google.protobuf.message import DecodeError

        try:
            partial = self._messages.ExportTraceServiceResponse.FromString(body).partial_success
        except DecodeError:  # a receiver that answers with something else has the spans all the same
            return 0
        if partial.rejected_spans:
            self.problem = self.problem or f"it rejects spans: {partial.error_message[:200]}"
        return int(partial.rejected_spans)

    def _encoded(self, spans: Iterable[RolloutSpan]) -> bytes:
        request = self._messages.ExportTraceServiceRequest()
        scopes: dict[str, Any] = {}
        for span in spans:
            scope = scopes.get(span.server)
            if scope is None:
                scope = scopes[span.server] = self._add_scope(request, span.server)
            _add_span(scope, span)
        body: bytes = request.SerializeToString()
        return body

    def _add_scope(self, request: Any, server: str) -> Any:
        """The place of a server's spans in a request."""
        keys = self._keys
        resource_spans = request.resource_spans.add()
        name = keys.service_name
        if keys.service_name_per_server:
            name = f"{keys.service_name}/{server}"
        attributes = {
            "service.name": name,
            "service.version": __version__,
            "nemo.gym.service_group": keys.service_name,
            "gymctl.server": server,
        }
        _set_attributes(resource_spans.resource.attributes, attributes)
        scope = resource_spans.scope_spans.add()
        scope.scope.name = "gymctl"
        scope.scope.version = __version__
        return scope


def _handlers(url: str) -> list[BaseHandler]:
    handlers: list[BaseHandler] = [_NoRedirect()]
    if urlsplit(url).hostname in LOOPBACK_HOSTS:
        handlers.append(ProxyHandler({}))
    return handlers


class _NoRedirect(HTTPRedirectHandler):
    """Leaves a redirect as the answer: a POST is not repeated elsewhere, with headers that are secret."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        """None: the reply is not followed."""
        return None


def _add_span(scope: Any, span: RolloutSpan) -> None:
    message = scope.spans.add()
    message.trace_id = bytes.fromhex(span.trace_id)
    message.span_id = bytes.fromhex(span.span_id)
    message.parent_span_id = bytes.fromhex(span.parent_id)
    message.name = span.name
    message.kind = {
        SpanKind.INTERNAL: message.SPAN_KIND_INTERNAL,
        SpanKind.SERVER: message.SPAN_KIND_SERVER,
        SpanKind.CLIENT: message.SPAN_KIND_CLIENT,
    }[span.kind]
    message.start_time_unix_nano = span.start_ns
    message.end_time_unix_nano = span.end_ns
    _set_attributes(message.attributes, span.attributes)
    if span.error:
        message.status.code = message.status.STATUS_CODE_ERROR
        message.status.message = span.error


def _set_attributes(target: Any, attributes: Mapping[str, AttributeValue]) -> None:
    for name, value in attributes.items():
        item = target.add()
        item.key = name
        if isinstance(value, str):
            item.value.string_value = value
        elif isinstance(value, int):
            item.value.int_value = value
        else:
            item.value.double_value = value


@contextmanager
def exporting(keys: TelemetryKeys | None, on_event: events.OnEvent) -> Iterator[events.OnEvent]:
    """What takes the events of a run: spans are sent as ``keys`` says, everything else is passed to ``on_event``.

    The first failure of the receiver is noted, and at the end how many spans it did not get.

    Raises:
        InputError: ``opentelemetry-proto`` is not installed.
    """
    if keys is None or not keys.is_on:
        yield on_event
        return
    exporter = TraceExporter(keys)
    is_noted = False

    def take(event: events.Event) -> None:
        """Take one event."""
        nonlocal is_noted
        if isinstance(event, events.Traced):
            exporter.take(event.spans)
        else:
            on_event(event)
        if exporter.problem and not is_noted:
            is_noted = True
            on_event(events.RunNote(f"traces: {keys.traces_url}: {exporter.problem}; the run is not affected"))

    try:
        yield take
    finally:
        exporter.close()
        if exporter.lost:
            reason = exporter.problem or f"it did not answer within {_CLOSE_S:g} s"
            count = f"{exporter.lost} of {exporter.taken} spans"
            on_event(events.RunNote(f"traces: {count} were not delivered to {keys.traces_url}: {reason}"))
