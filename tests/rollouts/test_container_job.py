"""A run over HTTP gets the connections that its concurrency needs, or says that it cannot."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path

import pytest
from rollout_stack import Agents, keys, read, serving, spec_of

from gymctl.rollouts import events
from gymctl.rollouts.container_job import Job, connections, run_job
from gymctl.rollouts.report import Report
from gymctl.rollouts.spec import RunSpec

pytestmark = pytest.mark.processes


def test_a_connection_for_each_rollout_in_flight(tmp_path: Path) -> None:
    assert connections(spec_of(tmp_path, concurrency=16384)) == 16384
    assert connections(spec_of(tmp_path, concurrency="auto")) == 1024


def run(spec: RunSpec, agents: Agents, seen: list[events.Event]) -> Report:
    async def work() -> Report:
        async with serving(agents) as client:
            urls = client._transport._bases  # type: ignore[attr-defined]
            return await run_job(Job(spec, urls), seen.append)

    return asyncio.run(work())


def test_more_than_a_pool_has_by_default(tmp_path: Path) -> None:
    """aiohttp's own limit is 100."""
    agents = Agents(slow=lambda row: 2.0)
    spec = spec_of(tmp_path, 300, concurrency=300)
    report = run(spec, agents, [])
    assert report.exit_code == 0
    assert agents.most_in_flight > 200


def test_few_open_files_are_told_and_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (74, 74))
    agents = Agents(slow=lambda row: 0.01)
    spec = spec_of(tmp_path, 60, concurrency=30)
    seen: list[events.Event] = []
    report = run(spec, agents, seen)
    assert report.exit_code == 0
    assert sorted(keys(read(spec.output))) == [(task, 0) for task in range(60)]
    assert agents.most_in_flight == 10
    assert any(isinstance(event, events.Note) and event.text.startswith("10 connections") for event in seen)
