"""A stack whose agents misbehave, each in one way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from free_ports import free_port
from observed_stack import write_servers

OUTAGE_S = 66
"""Longer than rollouts may wait before an alert."""
AGENTS = """\
import asyncio
import time
from gymctl.server import AgentConfig, AgentServer, HopFailed, RefusedError

class Config(AgentConfig):
    mode: str
    outage_s: float = 0

class Various(AgentServer):
    config: Config

    async def startup(self):
        self.began = None
        self.calls = 0

    async def respond(self, params, rollout):
        self.began = self.began or time.monotonic()
        self.calls += 1
        return await getattr(self, self.config.mode)(params, rollout)

    async def steady(self, params, rollout):
        await asyncio.sleep(0.2)
        return await rollout.model(params)

    async def stuck(self, params, rollout):
        await asyncio.sleep(600)

    async def broken(self, params, rollout):
        await asyncio.sleep(0.2)
        if params["input"] == "fail":
            raise RefusedError((), "a row that always fails")
        return await rollout.model(params)

    async def shaky(self, params, rollout):
        if self.calls % 3 == 0:
            raise HopFailed("endpoint", "/v1/responses", status=503, kind="http")
        return await self.steady(params, rollout)

    async def flaky(self, params, rollout):
        if time.monotonic() - self.began < self.config.outage_s:
            raise HopFailed("endpoint", "/v1/responses", status=503, kind="http")
        await asyncio.sleep(self.calls % 12)  # not all at once: a collection that has ended is not scraped
        return await rollout.model(params)

    async def uncalled(self, params, rollout):
        await asyncio.sleep(0.2)
        return {**params, "id": "r", "output": []}

    async def clumsy(self, params, rollout):
        await rollout.tool("explode", {})
        return await self.steady(params, rollout)

    async def truncated(self, params, rollout):
        return {**await self.steady(params, rollout), "status": "incomplete"}

if __name__ == "__main__":
    Various.serve()
"""
TOOLS = """\
import time
from gymctl.server import HopFailed, ResourcesServer, Session, VerifyRequest, VerifyResponse, tool

class Request(VerifyRequest):
    value: float = 1.0

class Env(ResourcesServer):
    async def verify(self, body: Request) -> VerifyResponse:
        return VerifyResponse.of(body, reward=body.value)

    @tool
    async def explode(self) -> str:
        raise RuntimeError("always")

    @tool
    async def limited(self) -> str:
        raise HopFailed("endpoint", "/v1", status=429, kind="http")

    @tool
    async def remember(self, session: Session) -> str:
        return session.id

    @tool
    async def block(self) -> str:
        time.sleep(1.2)
        return "late"

if __name__ == "__main__":
    Env.serve()
"""
MODES = ("steady", "stuck", "broken", "shaky", "flaky", "uncalled", "clumsy", "truncated")
EXPLODE = {"type": "function", "name": "explode", "description": "", "strict": True, "parameters": {}}


def write_stack(folder: Path) -> None:
    write_servers(folder, {"responses_api_agents/various": AGENTS, "resources_servers/env": TOOLS})
    stack: dict[str, Any] = {
        "observe": True,
        "head_server": {"port": free_port()},
        "policy": {"responses_api_models": {"fixed": {"entrypoint": "app.py"}}},
        "env": {"resources_servers": {"env": {"entrypoint": "app.py", "domain": "agent"}}},
    }
    for mode in MODES:
        fields = {
            "entrypoint": "app.py",
            "mode": mode,
            "outage_s": OUTAGE_S,
            "resources_server": {"type": "resources_servers", "name": "env"},
            "model_server": {"type": "responses_api_models", "name": "policy"},
        }
        stack[mode] = {"responses_api_agents": {"various": fields}}
    (folder / "stack.yaml").write_text(yaml.safe_dump(stack))


def rows(path: Path, *groups: tuple[str, int, float]) -> None:
    """Rows for agents, group after group: the agent, how many, and the reward of each. ``broken`` fails every third."""
    lines = []
    for agent, count, value in groups:
        reference = {"type": "responses_api_agents", "name": agent}
        for number in range(count):
            params = {"input": "?" if number % 3 else "fail", "tools": [EXPLODE]}
            row = {"responses_create_params": params, "agent_ref": reference, "value": value, "n": number}
            lines.append(json.dumps({**row, "group": f"{agent} {value}"}))
    path.write_text("\n".join(lines) + "\n")
