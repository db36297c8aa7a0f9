"""A real agent on loopback that misbehaves on demand, and the input files to run it with."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from gymctl.rollouts.collector import collect
from gymctl.rollouts.events import Event
from gymctl.rollouts.report import Report
from gymctl.rollouts.spec import RunSpec
from gymctl.server import Client, HttpTransport

AGENTS = ("alpha", "beta")
TIMING = 'seed;dur=1.0;desc="1", model;dur=2.5;desc="2", verify;dur=0.5'

Misbehaviour = Callable[["Agents", dict[str, Any]], "web.Response | None"]


@dataclass
class Agents:
    """What the agents saw and how they behave: ``misbehave`` may answer instead of them."""

    misbehave: Misbehaviour | None = None
    slow: Callable[[dict[str, Any]], float] = lambda row: 0.0
    echo: bool = False
    aggregates: bool = True
    seen: list[dict[str, Any]] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    metrics_requests: list[dict[str, Any]] = field(default_factory=list)

    @property
    def served(self) -> Counter[tuple[int, int]]:
        return Counter((row["_ng_task_index"], row["_ng_rollout_index"]) for row in self.seen)

    async def run(self, request: web.Request) -> web.StreamResponse:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            row = json.loads(await request.read())
            self.seen.append(row)
            await asyncio.sleep(self.slow(row))
            if self.misbehave and (answer := self.misbehave(self, row)) is not None:
                if answer.status == 599:
                    assert request.transport is not None
                    request.transport.abort()
                return answer
            return web.json_response(self.verdict(row), headers={"server-timing": TIMING})
        finally:
            self.in_flight -= 1

    def verdict(self, row: dict[str, Any]) -> dict[str, Any]:
        own = {
            "responses_create_params": row["responses_create_params"],
            "response": {"id": "r", "output": [], "usage": {"input_tokens": 3, "output_tokens": 2}},
            "reward": float(row.get("n", 0) % 2),
            "label": "ü",
        }
        return {**row, **own} if self.echo else own

    async def aggregate(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        self.metrics_requests.append(body)
        if not self.aggregates:
            raise web.HTTPNotFound
        count = len(body["verify_responses"])
        return web.json_response({"agent_metrics": {"n": count}, "key_metrics": {}, "group_level_metrics": []})


@asynccontextmanager
async def serving(agents: Agents) -> AsyncIterator[Client]:
    app = web.Application(client_max_size=1 << 26)
    app.router.add_post("/run", agents.run)
    app.router.add_post("/aggregate_metrics", agents.aggregate)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    client = Client(HttpTransport(dict.fromkeys(AGENTS, f"http://127.0.0.1:{port}")))
    try:
        yield client
    finally:
        await client.close()
        await runner.cleanup()


def collected(spec: RunSpec, agents: Agents, on_event: Callable[[Event], None] = lambda event: None) -> Report:
    """Run a collection to its end against the agents."""

    async def work() -> Report:
        async with serving(agents) as client:
            return await collect(spec, client, on_event=on_event, stop=asyncio.Event())

    return asyncio.run(work())


def row(number: int, agent: str | None = "alpha", **more: Any) -> dict[str, Any]:
    reference = {"agent_ref": {"name": agent}} if agent else {}
    return {"responses_create_params": {"input": f"question {number}"}, "n": number, **reference, **more}


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(item) + "\n" for item in rows))
    return path


def spec_of(folder: Path, rows: Iterable[dict[str, Any]] | int = 10, **options: Any) -> RunSpec:
    items = [row(number) for number in range(rows)] if isinstance(rows, int) else rows
    path = write_rows(folder / "rows.jsonl", items)
    return RunSpec(path, folder / "out.jsonl", **{"agents": AGENTS, "concurrency": 8, **options})


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def keys(rows: Iterable[dict[str, Any]]) -> list[tuple[int, int]]:
    return [(item["_ng_task_index"], item["_ng_rollout_index"]) for item in rows]
