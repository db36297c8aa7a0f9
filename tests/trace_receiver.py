"""A receiver of traces: OTLP over HTTP, decoded with OpenTelemetry's own message types."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from background_server import in_background
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


@dataclass(frozen=True)
class ReceivedSpan:
    """One span as a receiver stores it."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    service: str
    kind: int
    start_ns: int
    end_ns: int
    is_error: bool
    error: str
    attributes: dict[str, Any]


@dataclass
class TraceReceiver:
    """Spans that were received, and how further requests are answered."""

    port: int
    statuses: list[int] = field(default_factory=list)
    """Statuses of the next answers; 200 when there are none left."""
    rejected: int = 0
    """How many spans of each request are said to be rejected."""
    spans: list[ReceivedSpan] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)
    """Header fields of each request, with its path as ``:path``."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def traces(self) -> dict[str, list[ReceivedSpan]]:
        """Spans by trace."""
        traces: dict[str, list[ReceivedSpan]] = {}
        for span in self.spans:
            traces.setdefault(span.trace_id, []).append(span)
        return traces

    def take(self, body: bytes) -> None:
        """Store the spans of a request."""
        message = ExportTraceServiceRequest.FromString(body)
        for resource in message.resource_spans:
            service = _values(resource.resource.attributes)["service.name"]
            for scope in resource.scope_spans:
                self.spans += [_received(span, service) for span in scope.spans]


def _values(attributes: Any) -> dict[str, Any]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in attributes}


def _received(span: Any, service: str) -> ReceivedSpan:
    assert len(span.trace_id) == 16 and len(span.span_id) == 8 and len(span.parent_span_id) in (0, 8)
    return ReceivedSpan(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        name=span.name,
        service=service,
        kind=span.kind,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        is_error=span.status.code == span.status.STATUS_CODE_ERROR,
        error=span.status.message,
        attributes=_values(span.attributes),
    )


@contextmanager
def receiving_traces() -> Iterator[TraceReceiver]:
    """A receiver that listens on loopback."""

    class Handler(BaseHTTPRequestHandler):
        """Takes what an exporter posts."""

        def do_POST(self) -> None:
            """Keep the spans of a request, unless another status is due."""
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.requests.append({":path": self.path, **{k.lower(): v for k, v in self.headers.items()}})
            status = receiver.statuses.pop(0) if receiver.statuses else 200
            answer = ExportTraceServiceResponse()
            if status == 200:
                receiver.take(body)
                answer.partial_success.rejected_spans = receiver.rejected
            data = answer.SerializeToString()
            self.send_response(status)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments: Any) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = TraceReceiver(server.server_address[1])
    with in_background(server):
        yield receiver
