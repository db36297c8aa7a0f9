"""Collecting in a container from files that only this machine has the packages for."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pytest
import zstandard
from pyarrow import parquet
from rollout_stack import AGENTS, Agents, keys, read, row, serving, spec_of

from gymctl.engines.protocol import Job, JobResult
from gymctl.engines.server_address import ServerAddress
from gymctl.engines.state import StackState
from gymctl.errors import InputError
from gymctl.operations import collect as operation
from gymctl.rollouts.spec import RunSpec

pytestmark = pytest.mark.processes


class Container:
    """Runs jobs in a process of its own that has neither pyarrow nor zstandard."""

    def __init__(self, lacking: Path) -> None:
        lacking.mkdir()
        for package in ("pyarrow", "zstandard"):
            (lacking / f"{package}.py").write_text("raise ImportError\n")
        self._environment = {**os.environ, "PYTHONPATH": str(lacking)}
        self.jobs: list[Job] = []
        self.replaced: dict[str, bytes] = {}

    def serves_loopback(self) -> bool:
        return False

    def run_job(self, job: Job, on_line: Callable[[str], None]) -> JobResult:
        self.jobs.append(job)
        for mount in job.mounts:
            if str(mount.source) != mount.target:  # what a bind mount does
                self.replaced[mount.target] = Path(mount.target).read_bytes()
                Path(mount.target).write_bytes(mount.source.read_bytes())
        process = subprocess.Popen(
            [sys.executable, *job.command[1:]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self._environment,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(job.stdin or "")
        process.stdin.flush()
        for line in process.stdout:
            on_line(line)
        return JobResult(process.wait())


def collected_in(container: Container, spec: RunSpec, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The report of a run on the stack of a directory whose engine runs jobs in ``container``."""

    async def work() -> Any:
        async with serving(Agents()) as client:
            (url, *_) = client._transport._bases.values()  # type: ignore[attr-defined]
            servers = tuple(ServerAddress(name, "responses_api_agents", "simple_agent", url) for name in AGENTS)
            monkeypatch.setattr(operation, "load_state", lambda directory: StackState("compose", "s", url, servers))
            monkeypatch.setattr("gymctl.engines.choice.engine_of", lambda directory: container)
            return await asyncio.to_thread(operation.collect_run, spec, lambda event: None, spec.output.parent)

    return asyncio.run(work())


@pytest.mark.parametrize("kind", ["parquet", "zstd"])
def test_rows_reach_a_container_without_the_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    container = Container(tmp_path / "lacking")
    spec = spec_of(tmp_path, 3)
    if kind == "parquet":
        parquet.write_table(arrow.Table.from_pylist([row(number) for number in range(3)]), spec.input)
    else:
        spec.input.write_bytes(zstandard.compress(spec.input.read_bytes()))
    report = collected_in(container, spec, monkeypatch)
    assert (report.done, report.exit_code) == (3, 0)
    assert sorted(keys(read(spec.output))) == [(0, 0), (1, 0), (2, 0)]
    assert list(container.replaced) == [str(spec.input.resolve())]


def test_a_bad_row_is_named_by_the_file_that_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    container = Container(tmp_path / "lacking")
    spec = spec_of(tmp_path, 3)
    spec.input.write_bytes(zstandard.compress(spec.input.read_bytes() + b"\n{}\n"))
    with pytest.raises(InputError, match=rf"{spec.input}:5: the row has no responses_create_params"):
        collected_in(container, spec, monkeypatch)
