"""What servers log: formats, the rollout of a line, and one warning for each kind of failure."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import MutableMapping
from typing import Any

import pytest

from gymctl.config.choices import LogFormat
from gymctl.config.secrets import Masks
from gymctl.errors import InputError
from gymctl.server import ResourcesServer, Session, VerifyRequest, VerifyResponse, tool
from gymctl.server.asgi import Application
from gymctl.server.calls.client import Client, HopFailed, LocalTransport
from gymctl.server.message import Call
from gymctl.server.rollout_context import RolloutContext, current_rollout, in_rollout, in_session, read_header
from gymctl.server.run.log_level import log_format
from gymctl.server.run.log_lines import JsonFormatter, LineFormatter, ServerFormatter, hide_in_logs
from gymctl.server.settings import Settings

HERE = RolloutContext("ab12cd34", "12:3")


class Mine(ResourcesServer):
    @tool
    def fail(self, kind: str) -> str:
        if kind == "hop":
            raise HopFailed("policy", "/v1/responses", status=500, body="broken")
        raise ValueError(kind)

    @tool
    async def where(self, session: Session) -> str:
        logging.getLogger("gymctl.test").info("here")
        return str(current_rollout())

    async def verify(self, body: VerifyRequest) -> VerifyResponse:
        return VerifyResponse.of(body, reward=1.0)


def made(cls: type[ResourcesServer]) -> ResourcesServer:
    return cls(
        Settings("mine", "resources_servers", "mine", "127.0.0.1", 1, {"domain": "agent"}), Client(LocalTransport({}))
    )


def record(message: str, **values: object) -> logging.LogRecord:
    made = logging.LogRecord("gymctl.server", logging.INFO, "x.py", 1, message, (), None)
    vars(made).update(values)
    return made


def test_a_record_as_json() -> None:
    with in_rollout(HERE), in_session("0f0f0f0f"):
        line = JsonFormatter(lambda: "mine").format(record("one\ntwo \x1b[31m", created=1767323045.25, msecs=250.0))
    assert json.loads(line) == {
        "time": "2026-01-02T03:04:05.250Z",
        "level": "info",
        "server": "mine",
        "message": "one\ntwo ",
        "run": "ab12cd34",
        "rollout": "12:3",
        "session": "0f0f0f0f",
    }
    assert "\n" not in line


def test_a_record_as_text_names_the_rollout() -> None:
    with in_rollout(HERE):
        assert LineFormatter().format(record("done")).endswith("INFO done [run=ab12cd34 rollout=12:3]")
    assert LineFormatter().format(record("done")).endswith("INFO done")


def test_json_hides_credentials_also_in_tracebacks() -> None:
    masks = Masks([{"api_key": "sk-very-secret-1"}])
    hide_in_logs(masks)
    error = ValueError("sk-very-secret-1")
    info = (type(error), error, error.__traceback__)
    line = JsonFormatter(lambda: "mine").format(record("with sk-very-secret-1", exc_info=info))
    assert "sk-very" not in line
    assert "ValueError" in json.loads(line)["exception"]


def test_each_server_of_a_process_has_its_format() -> None:
    current = ["a"]
    formats = {"a": LogFormat.JSON, "b": LogFormat.TEXT}
    formatter = ServerFormatter(lambda: current[0], formats.__getitem__)
    assert json.loads(formatter.format(record("x")))["server"] == "a"
    current[0] = "b"
    assert formatter.format(record("x")).endswith("INFO x")


def test_the_nearest_format_wins() -> None:
    variable = {"GYMCTL_LOG_FORMAT": "JSON"}
    assert log_format({}) is LogFormat.TEXT
    assert log_format(variable) is LogFormat.JSON
    assert log_format(variable, common="text") is LogFormat.TEXT
    assert log_format(variable, LogFormat.JSON, "text") is LogFormat.JSON
    with pytest.raises(InputError, match="GYMCTL_LOG_FORMAT is 'xml'; it must be one of text, json"):
        log_format({"GYMCTL_LOG_FORMAT": "xml"})


def test_one_warning_for_each_kind_of_failure(caplog: pytest.LogCaptureFixture) -> None:
    server = made(Mine)
    with caplog.at_level(logging.INFO, "gymctl.server"):
        for kind in ("hop", "hop", "a", "b"):
            asyncio.run(server.handle(Call("/fail", json.dumps({"kind": kind}).encode())))
    levels = [item.levelname for item in caplog.records]
    assert levels == ["WARNING", "ERROR"]
    assert "policy: POST /v1/responses answered 500: broken" in caplog.records[0].message
    assert caplog.records[1].exc_info
    caplog.clear()
    with caplog.at_level(logging.DEBUG, "gymctl.server"):
        asyncio.run(server.handle(Call("/fail", b'{"kind": "hop"}')))
    lines = [item.message for item in caplog.records]
    assert lines[0].endswith("answered 500: broken")
    assert lines[1].startswith("POST /fail 502 ")


def test_the_rollout_of_a_request_is_that_of_its_header() -> None:
    server = made(Mine)
    sent: list[MutableMapping[str, Any]] = []

    async def ask(header: bytes) -> bytes:
        scope = {
            "type": "http", "method": "POST", "path": "/where", "headers": [
                (b"content-type", b"application/json"), (b"host", b"localhost"), (b"x-gym-rollout", header)],
        }  # fmt: skip

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"{}"}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        await asyncio.create_task(Application(server)(scope, receive, send))
        body: bytes = sent[-1]["body"]
        return body

    assert b"rollout='12:3'" in asyncio.run(ask(HERE.header.encode()))
    assert asyncio.run(ask(b"nonsense")) == b'"None"'
    assert current_rollout() is None


@pytest.mark.parametrize("text", ["", "/", "run", "run/1", "run/1:x", "r n/1:2", "x" * 33 + "/1:2", "a/1:2\n"])
def test_other_headers_name_no_rollout(text: str) -> None:
    assert read_header(text.encode()) is None
    assert read_header(b"/7:0") == RolloutContext("", "7:0")
