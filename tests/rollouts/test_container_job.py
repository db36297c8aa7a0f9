"""A run over HTTP gets the connections that its concurrency needs, or says that it cannot."""

from __future__ import annotations

import asyncio
import resource
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest
from rollout_stack import Agents, keys, read, serving, spec_of

from gymctl.rollouts import events
from gymctl.rollouts.container_job import CollectionJob, connections, run_job
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
            return await run_job(CollectionJob(spec, urls), seen.append, stop=asyncio.Event(), abort=asyncio.Event())

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
    assert any(isinstance(event, events.RunNote) and event.text.startswith("using 10 connections") for event in seen)


def test_a_job_ends_when_nobody_holds_its_input(tmp_path: Path) -> None:
    """Whoever started it was killed: it stops in order, and what it has is kept."""
    spec = spec_of(tmp_path, 2000, concurrency=4, grace_s=0.5)

    async def work() -> tuple[int, bytes]:
        async with serving(Agents(slow=lambda row: 0.05)) as client:
            urls = client._transport._bases  # type: ignore[attr-defined]
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "gymctl.rollouts.container_job", stdin=PIPE, stdout=PIPE
            )
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(CollectionJob(spec, urls, watched=True).encode())
            while b"finished" not in await process.stdout.readline():
                pass
            process.stdin.close()
            rest = await process.stdout.read()
            return await process.wait(), rest

    code, rest = asyncio.run(work())
    assert code == 130
    assert b'"interrupted":true' in rest
    assert 0 < len(read(spec.output)) < 2000
