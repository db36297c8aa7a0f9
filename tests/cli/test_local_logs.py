"""``gymctl logs`` on the local engine: each server's own lines, prints and tracebacks included."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_stack import Gymctl
from free_ports import free_port

pytestmark = pytest.mark.processes

JSON = {"content-type": "application/json"}
STACK = """\
head_server: {{port: {port}}}
tools:
  resources_servers:
    mine: {{entrypoint: app.py, domain: agent}}
tools_more:
  resources_servers:
    mine: {{entrypoint: app.py, domain: agent, log_level: error}}
"""
APP = """\
import logging
from fastapi import FastAPI
from gymctl.server import ResourcesServer, VerifyResponse, tool

class Mine(ResourcesServer):
    async def startup(self) -> None:
        print("printed at the start of", self.name)

    def routes(self, app: FastAPI) -> None:
        @app.get("/own")
        def own() -> str:
            print("printed in a route of", self.name)
            return "done"

    @tool
    def fail(self) -> str:
        logging.info("logged by %s", self.name)
        raise RuntimeError(f"raised by {self.name}")

    async def verify(self, body):
        return VerifyResponse.of(body, reward=1.0)
"""


@pytest.fixture
def stack(gymctl: Gymctl, folder: Path) -> Iterator[dict[str, str]]:
    app = folder / "resources_servers" / "mine" / "app.py"
    app.parent.mkdir(parents=True)
    app.write_text(APP)
    (folder / "stack.yaml").write_text(STACK.format(port=free_port()))
    result = gymctl("up", "stack.yaml", "--engine", "local")
    assert result.code == 0, result.err
    yield {status["name"]: status["address"] for status in json.loads(gymctl("status", "--json").out)}
    gymctl("down")


def test_a_server_has_its_own_lines_and_no_other_ones(gymctl: Gymctl, stack: dict[str, str]) -> None:
    for name in ("tools", "tools_more"):
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(urllib.request.Request(f"{stack[name]}/fail", b"{}", JSON))
        urllib.request.urlopen(f"{stack[name]}/own")
    lines = gymctl("logs", "tools").out.splitlines()
    assert all(line.startswith("tools | ") for line in lines)
    assert "tools | printed at the start of tools" in lines
    assert "tools | printed in a route of tools" in lines
    assert "tools |   Traceback (most recent call last):" in lines
    assert "tools |   RuntimeError: raised by tools" in lines
    assert any(line.endswith("INFO logged by tools") for line in lines)

    quiet = gymctl("logs", "tools_more").out
    assert "raised by tools_more" in quiet
    assert "INFO" not in quiet
    assert len(gymctl("logs", "--tail", "1").out.splitlines()) == len(stack)


def test_one_rollout_is_a_story_across_servers(gymctl: Gymctl, folder: Path, stack: dict[str, str]) -> None:
    gymctl("down")
    args = ("++tools_more.resources_servers.mine.log_level=info", "++tools_more.resources_servers.mine.log_format=json")
    assert gymctl("up", "stack.yaml", *args, "--engine", "local").code == 0
    urls = {status["name"]: status["address"] for status in json.loads(gymctl("status", "--json").out)}
    for rollout in ("12:3", "12:30"):
        for name in ("tools", "tools_more"):
            headers = {**JSON, "x-gym-rollout": f"ab12/{rollout}"}
            with pytest.raises(urllib.error.HTTPError):
                urllib.request.urlopen(urllib.request.Request(f"{urls[name]}/fail", b"{}", headers))
    lines = gymctl("logs", "--rollout", "12:3").out.splitlines()
    assert lines[0].startswith("tools | ") and " rollout=12:3 " in lines[0]
    assert "tools |   RuntimeError: raised by tools" in lines
    record = json.loads(lines[-1].removeprefix("tools_more | "))
    assert (record["server"], record["rollout"], record["run"]) == ("tools_more", "12:3", "ab12")
    assert record["session"] in gymctl("logs", "tools_more", "--rollout", "12:3").out
    assert not gymctl("logs", "--rollout", "1:3").out
    assert gymctl("logs", "--rollout", "12").code == 2


def test_volumes_are_for_containers(gymctl: Gymctl, stack: dict[str, str]) -> None:
    result = gymctl("down", "--volumes")
    assert (result.code, result.lines) == (
        2,
        ["error: --volumes is for containers, and a local stack has no volumes; leave it out"],
    )
    assert gymctl("status").code == 0


def test_a_level_that_does_not_exist(
    gymctl: Gymctl, folder: Path, stack: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gymctl("down")
    result = gymctl("up", "stack.yaml", "++tools.resources_servers.mine.log_level=loud", "--engine", "local")
    assert result.code == 2 and "log_level is 'loud'; it must be one of debug, info, warning, error" in result.err
    monkeypatch.setenv("GYMCTL_LOG_LEVEL", "loud")
    result = gymctl("up", "stack.yaml", "--engine", "local")
    assert (
        result.code == 2 and "GYMCTL_LOG_LEVEL is 'loud'; it must be one of debug, info, warning, error" in result.err
    )
