"""A real stack and a real Prometheus: no query of a panel or an alert lacks the data that it is about."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from free_ports import free_port
from monitoring_queries import panels, selectors
from observed_stack import gymctl, write_servers

pytestmark = pytest.mark.processes

ROWS = 4
REPEATS = 12
AGENT = """\
import asyncio
from gymctl.server import AgentServer

class Slow(AgentServer):
    async def respond(self, params, rollout):
        await asyncio.sleep(0.4)
        return await rollout.model(params)

if __name__ == "__main__":
    Slow.serve()
"""
TOOLS = """\
from gymctl.server import ResourcesServer, VerifyRequest, VerifyResponse

class Even(ResourcesServer):
    async def verify(self, body: VerifyRequest) -> VerifyResponse:
        return VerifyResponse.of(body, reward=1.0)

if __name__ == "__main__":
    Even.serve()
"""
STACK = """\
observe: true
head_server: {{port: {port}}}
policy:
  responses_api_models:
    fixed: {{entrypoint: app.py}}
even:
  resources_servers:
    even: {{entrypoint: app.py, domain: agent}}
slow:
  responses_api_agents:
    slow:
      entrypoint: app.py
      resources_server: {{type: resources_servers, name: even}}
      model_server: {{type: responses_api_models, name: policy}}
"""


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("GYMCTL_METRICS_PORT", str(free_port()))
    write_servers(tmp_path, {"responses_api_agents/slow": AGENT, "resources_servers/even": TOOLS})
    (tmp_path / "stack.yaml").write_text(STACK.format(port=free_port()))
    row = {"responses_create_params": {"input": "?"}, "agent_ref": {"type": "responses_api_agents", "name": "slow"}}
    lines = [json.dumps({**row, "n": number}) for number in range(ROWS)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines) + "\n")
    gymctl(tmp_path, "up", "stack.yaml", "--engine", "local")
    yield tmp_path
    gymctl(tmp_path, "down")


@contextmanager
def scraping(command: str, folder: Path) -> Iterator[str]:
    """The address of a Prometheus with the stack's own configuration, only quicker."""
    configuration = folder / "observability" / "prometheus.yaml"
    text = configuration.read_text().replace("5s", "1s")
    configuration.write_text(text)
    port = free_port()
    arguments = [f"--config.file={configuration}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    arguments.append(f"--web.listen-address=127.0.0.1:{port}")
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen([command, *arguments], stdout=log, stderr=log, env={**os.environ, "GOMAXPROCS": "1"})
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


def asked(address: str, query: str) -> list[Any]:
    parameters = urllib.parse.urlencode({"query": query})
    with urllib.request.urlopen(f"{address}/api/v1/query?{parameters}") as reply:
        result: list[Any] = json.load(reply)["data"]["result"]
    return result


def unanswered(address: str, queries: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(title, query) for title, query in queries if not asked(address, query)]


def test_every_query_has_data_while_a_collection_runs(stack: Path, prometheus: str, promtool: str) -> None:
    # agents without tool calls or sessions have no such series
    queries = [*panels(), *selectors()]
    assert len(queries) > 40
    arguments = ("collect", "-i", "rows.jsonl", "-o", "out.jsonl", "--num-repeats", str(REPEATS), "--concurrency", "1")
    with ThreadPoolExecutor(1) as pool, scraping(prometheus, stack) as address:
        collecting = pool.submit(gymctl, stack, *arguments)
        missing = queries
        while missing and not collecting.done():
            time.sleep(1.0)
            try:
                missing = unanswered(address, missing)
            except OSError:  # it has not started yet
                continue
        server = json.loads((stack / "observability" / "targets.json").read_text())[0]["targets"][-1]
        with urllib.request.urlopen(f"http://{server}/metrics") as reply:
            page = reply.read()
        assert f"{ROWS * REPEATS} of {ROWS * REPEATS} rollouts done" in collecting.result()
    assert missing == []
    done = subprocess.run([promtool, "check", "metrics"], input=page, check=False, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
