"""What servers count with ``observe: true``, and that nothing is counted without."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from gymctl.errors import InputError
from gymctl.server import AgentServer, Reply, ResourcesServer, VerifyRequest, VerifyResponse, tool
from gymctl.server.base import Server
from gymctl.server.calls.client import Client, HopFailed, LocalTransport
from gymctl.server.message import Call
from gymctl.server.monitoring import ServerMonitor
from gymctl.server.settings import Settings, settings_from_environment


class Mine(ResourcesServer):
    @tool
    def lose(self) -> str:
        raise HopFailed("other", "/x", kind="timeout")

    async def verify(self, body: VerifyRequest) -> VerifyResponse:
        return VerifyResponse.of(body, reward=1.0)


def made(**whole: Any) -> Server:
    settings = Settings("mine", "resources_servers", "mine", "127.0.0.1", 1, {"domain": "agent"}, whole=whole)
    return Mine(settings, Client(LocalTransport({})))


def ask(server: Server, *paths: str) -> list[Reply]:
    async def work() -> list[Reply]:
        method = {"/": "GET", "/metrics": "GET"}
        return [await server.handle(Call(path, b"{}", method.get(path, "POST"))) for path in paths]

    return asyncio.run(work())


def test_requests_are_counted_by_status_and_health_checks_are_not() -> None:
    *_, reply = ask(made(observe=True), "/lose", "/lose", "/nowhere", "/", "/metrics")
    page = reply.body.decode()
    assert reply.media_type.startswith("text/plain")
    name = 'gymctl_http_request_duration_seconds_count{{code="{}",kind="resources_servers",server="mine"}} {}'
    assert name.format(504, "2.0") in page
    assert name.format(404, "1.0") in page
    assert 'code="200"' not in page
    assert 'gymctl_call_failures_total{class="timeout",kind="resources_servers",server="mine"} 2.0' in page
    assert 'gymctl_requests_in_flight{kind="resources_servers",server="mine"} 0.0' in page
    assert 'gymctl_sessions_open{server="mine"} 2.0' in page
    assert "_created" not in page


def test_checks_of_health_leave_no_session_and_no_cookie() -> None:
    server = made(observe=True)
    *_, check, reply = ask(server, "/", "/metrics", "/", "/metrics")
    assert b'gymctl_sessions_open{server="mine"} 0.0' in reply.body
    assert check.cookies == {}


def test_a_series_exists_before_its_first_event() -> None:
    page = ask(made(observe=True), "/metrics")[0].body.decode()
    assert 'class="session_lost",kind="resources_servers",server="mine"} 0.0' in page


@pytest.mark.parametrize(
    ("header", "status"),
    [(None, 401), ("Bearer wrong", 401), ("token-of-the-metrics", 401), ("Bearer token-of-the-metrics", 200)],
)
def test_metrics_require_the_token(header: str | None, status: int) -> None:
    server = made(observe={"token": "token-of-the-metrics"})
    headers = [] if header is None else [(b"authorization", header.encode())]
    reply = asyncio.run(server.handle(Call("/metrics", b"", "GET", headers=headers)))
    assert reply.status == status
    assert (b"gymctl_build_info" in reply.body) is (status == 200)
    assert ask(server, "/")[0].status == 200


def test_the_token_in_a_slice_is_a_reference_to_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GYM_OBSERVE_TOKEN", "token-of-the-metrics")
    slice_text = """
mine: {resources_servers: {mine: {entrypoint: app.py, host: 127.0.0.1, port: 1, domain: agent}}}
observe: {token: "${oc.env:GYM_OBSERVE_TOKEN}"}
"""
    settings = settings_from_environment({"NEMO_GYM_CONFIG_DICT": slice_text, "NEMO_GYM_CONFIG_PATH": "mine"})
    assert settings.whole["observe"] == {"token": "token-of-the-metrics"}


def test_nothing_is_counted_without_observe() -> None:
    server = made()
    assert server.monitor is None
    assert ask(server, "/metrics")[0].status == 404


def test_prometheus_is_not_imported_without_observe() -> None:
    code = "import sys, gymctl.server.base, gymctl.rollouts.collector; print('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "False\n"


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(InputError, match=r"needs prometheus-client; install it: pip install 'gymctl\[observe\]'"):
        made(observe=True)


def test_tokens_of_both_apis_are_counted() -> None:
    monitor = ServerMonitor("policy", "responses_api_models", lambda: iter(()))
    for usage in (
        {"input_tokens": 5, "output_tokens": 2},
        {"prompt_tokens": 50, "completion_tokens": 20},
        {"input_tokens": None, "output_tokens": "7"},
        {"input_tokens": -3, "output_tokens": True},
        "none",
    ):
        monitor.answered({"usage": usage})
    monitor.answered({})
    page = monitor.page()[0].decode()
    assert 'gymctl_tokens_total{direction="input",server="policy"} 55.0' in page
    assert 'gymctl_tokens_total{direction="output",server="policy"} 22.0' in page


def test_names_may_hold_anything() -> None:
    monitor = ServerMonitor('a"b\n\\', "kind", lambda: iter(()))
    assert rb'server="a\"b\n\\"' in monitor.page()[0]


def test_agents_are_stateless_and_have_no_sessions() -> None:
    class Agent(AgentServer):
        pass

    fields = {
        "resources_server": {"type": "resources_servers", "name": "r"},
        "model_server": {"type": "responses_api_models", "name": "m"},
    }
    settings = Settings("a", "responses_api_agents", "a", "127.0.0.1", 1, fields, whole={"observe": True})
    page = ask(Agent(settings, Client(LocalTransport({}))), "/metrics")[0].body
    assert b"gymctl_sessions_open" not in page
