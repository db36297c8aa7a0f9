"""The top-level ``telemetry:`` block: what it takes, what it refuses, and that its headers are secret."""

from __future__ import annotations

import json

import pytest
from config_files import SHORT_MODEL, Folder

from gymctl.config import mask
from gymctl.config.blocks.telemetry import TelemetryKeys, read_telemetry
from gymctl.config.diagnostics import Findings
from gymctl.errors import ConfigError

# The keys of NeMo Gym 0.7 (nemo_gym/telemetry/config.py), each with a value other than its default.
NEMO_GYM = """\
telemetry:
  enabled: true
  service_name: nightly
  service_name_per_server: false
  span_groups: per_rollout
  traces_enabled: true
  metrics_enabled: false
  memory_profiling: {enabled: true, interval_seconds: 2.0}
  logs_enabled: true
  exporter: otlp
  otlp_endpoint: https://traces.example.com/otlp/
  otlp_protocol: http/protobuf
  otlp_headers: "authorization=Bearer%20abc-123-def-456,x-team=gym"
  instrument_aiohttp: false
  run_id: night-7
"""


def block_of(**keys: object) -> TelemetryKeys:
    findings = Findings()
    block = read_telemetry({"telemetry": keys}, (), findings)
    assert block is not None, findings.problems
    return block


def test_without_the_block_nothing_is_traced(folder: Folder) -> None:
    folder.write("stack.yaml", SHORT_MODEL)
    assert folder.load("stack.yaml").telemetry is None
    assert not block_of().is_on


def test_the_block_of_nemo_gym_is_taken(folder: Folder) -> None:
    folder.write("stack.yaml", SHORT_MODEL + NEMO_GYM)
    block = folder.load("stack.yaml").telemetry
    assert block is not None and block.is_on
    assert block.traces_url == "https://traces.example.com/otlp/v1/traces"
    assert block.headers == {"authorization": "Bearer abc-123-def-456", "x-team": "gym"}
    assert (block.sample_ratio, block.slow_seconds) == (0.01, 300.0)


def test_the_url_of_traces() -> None:
    assert block_of().traces_url == "http://localhost:4318/v1/traces"
    assert block_of(otlp_endpoint="http://a:1/v1/traces").traces_url == "http://a:1/v1/traces"
    assert block_of(otlp_endpoint="http://a:1/x/v1/traces/").traces_url == "http://a:1/x/v1/traces"


@pytest.mark.parametrize("keys", [{"traces_enabled": False}, {"exporter": "console"}, {"enabled": False}])
def test_what_turns_traces_off(keys: dict[str, object]) -> None:
    assert not block_of(**{"enabled": True, **keys}).is_on


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("enabled: sometimes", "telemetry.enabled is 'sometimes'; it must be true or false"),
        ("sample_ratio: 1.5", "telemetry.sample_ratio is 1.5; it must be"),
        ("sample_ratio: .nan", "telemetry.sample_ratio is nan; it must be"),
        ("slow_seconds: 0", "telemetry.slow_seconds is 0; it must be"),
        ("otlp_endpoint: localhost:4318", "telemetry: otlp_endpoint is not a URL; such as http://localhost:4318"),
        ("otlp_endpoint: http://localhost:port", "telemetry: otlp_endpoint is not a URL"),
        ("otlp_endpoint: https://me:my-secret-word@a.example.com", "telemetry: otlp_endpoint contains credentials"),
        ("otlp_headers: my-secret-word", "telemetry.otlp_headers is not valid; it must be NAME=VALUE pairs"),
        ('otlp_headers: "a=b%0d%0ac: d"', "telemetry.otlp_headers is not valid"),
        ("otlp_protocol: grpc", "telemetry: gymctl sends traces over HTTP only; set http/protobuf"),
        ("sample_rate: 0.5", "unknown key 'telemetry.sample_rate'; did you mean"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(folder: Folder, line: str, message: str) -> None:
    folder.write("stack.yaml", f"{SHORT_MODEL}telemetry:\n  enabled: {'false' if 'enabled' in line else 'true'}\n")
    folder.write("more.yaml", f"telemetry:\n  {line}\n")
    with pytest.raises(ConfigError) as raised:
        folder.load("stack.yaml", "more.yaml")
    (problem,) = raised.value.problems
    assert message in str(problem)
    assert "more.yaml:2" in str(problem)
    assert "my-secret-word" not in str(problem)


def test_its_headers_are_a_secret(folder: Folder) -> None:
    folder.write("stack.yaml", SHORT_MODEL + NEMO_GYM)
    config = folder.load("stack.yaml")
    assert "GYM_TELEMETRY_OTLP_HEADERS" in config.secrets
    assert "abc-123" not in json.dumps(mask(dict(config.resolved), config.secrets))
