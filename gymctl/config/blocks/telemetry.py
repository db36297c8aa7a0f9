"""The top-level ``telemetry:`` block: traces of rollouts, sent by the collector. The names are NeMo Gym's (0.7)."""

import re
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Self
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from gymctl.config.blocks.block import Block, Must, Text, choice, wrong
from gymctl.config.blocks.block_reader import read_stack_block
from gymctl.config.diagnostics import Findings
from gymctl.config.vocabulary import TELEMETRY_BLOCK

_TRACES_PATH = "/v1/traces"
_HEADER = re.compile(r"\s*([!#$%&'*+.^_`|~\w-]+)\s*=([^,\r\n]*)", re.ASCII)


def _parse_headers(text: str) -> dict[str, str]:
    """Header fields of ``NAME=VALUE,NAME=VALUE``, values encoded as in URLs (as of ``OTEL_EXPORTER_OTLP_HEADERS``)."""
    headers = {}
    for part in filter(str.strip, text.split(",")):
        match = _HEADER.fullmatch(part)
        if match is None:
            raise ValueError("not a header")
        value = unquote(match[2].strip())
        if not value.isprintable() or not value.isascii():
            raise ValueError("not a value of a header")
        headers[match[1].lower()] = value
    return headers


def _checked_headers(text: str) -> str:
    _parse_headers(text)
    return text


Headers = Annotated[
    str, AfterValidator(_checked_headers), Must("NAME=VALUE pairs separated by commas, values encoded as in URLs")
]


class TelemetryKeys(Block):
    """Traces of rollouts, sent by `gymctl collect` to an OpenTelemetry receiver."""

    enabled: bool = Field(False, description="Whether rollouts are traced.")
    otlp_endpoint: Text = Field(
        "http://localhost:4318", description="Base URL of an OTLP receiver over HTTP, as `gymctl collect` reaches it."
    )
    otlp_headers: Headers | None = Field(
        None, description="Header fields of requests to the receiver, such as `authorization=Bearer%20TOKEN`. Masked."
    )
    service_name: Text = Field("gymctl", description="Service name of the spans.")
    service_name_per_server: bool = Field(
        True, description="Whether the name of the server is appended to the service name: `gymctl/my_agent`."
    )
    sample_ratio: float = Field(
        0.01, ge=0, le=1, description="Fraction of the successful rollouts whose traces are sent."
    )
    slow_seconds: float = Field(
        300.0, gt=0, allow_inf_nan=False, description="Traces of rollouts that take this long are always sent."
    )
    traces_enabled: bool = Field(True, description="`false` turns off traces, for a block that NeMo Gym uses too.")
    otlp_protocol: Annotated[str, choice("http/protobuf", "grpc")] | None = Field(
        None, description="Only `http/protobuf` works with `enabled: true`."
    )
    exporter: Annotated[str, choice("otlp", "console")] = Field(
        "otlp", description="`console` turns off traces of gymctl; NeMo Gym prints its own."
    )
    span_groups: Any = Field(None, description="NeMo Gym: which groups of spans it records.")
    metrics_enabled: Any = Field(None, description="NeMo Gym: whether it sends metrics. See `observe`.")
    logs_enabled: Any = Field(None, description="NeMo Gym: whether it sends log lines.")
    instrument_aiohttp: Any = Field(None, description="NeMo Gym: whether its HTTP clients create spans.")
    memory_profiling: Annotated[Any, WithJsonSchema({"type": "object"})] = Field(
        None, description="NeMo Gym: whether it samples memory."
    )
    run_id: Any = Field(None, description="NeMo Gym: id of its run.")

    @property
    def is_on(self) -> bool:
        """Whether gymctl traces rollouts."""
        return self.enabled and self.traces_enabled and self.exporter == "otlp"

    @property
    def traces_url(self) -> str:
        """The URL that traces are posted to."""
        return f"{self.otlp_endpoint.rstrip('/').removesuffix(_TRACES_PATH)}{_TRACES_PATH}"

    @property
    def headers(self) -> dict[str, str]:
        """``otlp_headers`` by name."""
        return _parse_headers(self.otlp_headers or "")

    @model_validator(mode="after")
    def _has_a_url(self) -> Self:
        try:
            url = urlsplit(self.otlp_endpoint)
            is_url = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
        except ValueError:  # a port that is not a number
            is_url = False
        if not is_url:
            raise wrong("otlp_endpoint is not a URL", "such as http://localhost:4318", "otlp_endpoint")
        if "@" in url.netloc:
            message = "otlp_endpoint contains credentials"
            raise wrong(message, "use otlp_headers: authorization=Basic%20...", "otlp_endpoint")
        return self

    @model_validator(mode="after")
    def _has_a_protocol_of_ours(self) -> Self:
        if self.is_on and self.otlp_protocol == "grpc":
            message = "gymctl sends traces over HTTP only"
            raise wrong(message, "set http/protobuf and the receiver's port for HTTP, usually 4318", "otlp_protocol")
        return self


def read_telemetry(resolved: Mapping[str, Any], servers: Collection[str], findings: Findings) -> TelemetryKeys | None:
    """The block; as ``read_stack_block``."""
    return read_stack_block(TelemetryKeys, TELEMETRY_BLOCK, resolved, servers, findings)
