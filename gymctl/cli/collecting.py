"""What ``quickstart`` and ``collect`` share: run the collector where the stack is, and print what came of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from gymctl.config import Config
    from gymctl.engines.compose.engine import ComposeEngine
    from gymctl.engines.protocol import Mount
    from gymctl.engines.state import StackState
    from gymctl.engines.swarm.engine import SwarmEngine
    from gymctl.rollouts.events import OnEvent
    from gymctl.rollouts.report import Report
    from gymctl.rollouts.spec import RunSpec


def collect_in_process(config: Config, spec: RunSpec, on_event: OnEvent) -> Report:
    """Start every server of ``config`` in this process, without a port, and collect from them."""
    import uvloop

    from gymctl.engines.local.servers import build_stack, plan_addresses, running
    from gymctl.rollouts.collector import collect
    from gymctl.rollouts.container_job import with_signals

    async def work() -> Report:
        stop, abort = asyncio.Event(), asyncio.Event()
        with_signals(stop, abort)
        async with running(build_stack(config, plan_addresses(config)), listen=False) as stack:
            return await collect(spec, stack.client, on_event=on_event, stop=stop, abort=abort)

    return uvloop.run(work())


def agents_of(state: StackState) -> tuple[str, ...]:
    """Names of the agents that can be collected from: the stack's own, and those of the workers that are there.

    Raises:
        InputError: there is none.
    """
    from gymctl.errors import InputError

    servers = [(server.name, server.kind) for server in state.servers]
    if state.takes_workers:
        from gymctl.engines.remote_servers import registered_servers

        there = (server for server in registered_servers(state.head_url) if server.state == "running")
        servers += ((server.name, server.kind) for server in there)
    agents = tuple(dict.fromkeys(name for name, kind in servers if kind == "responses_api_agents"))
    if not agents:
        hint = "add one to its configuration"
        if state.role == "worker":
            hint = "collect where the coordinator was brought up"
        elif state.takes_workers:
            hint = "bring up a worker with one (gymctl status lists those that are there)"
        raise InputError(f"the stack {state.name} has no agent", hint)
    return agents


def collect_from_stack(state: StackState, directory: Path, spec: RunSpec, on_event: OnEvent) -> Report:
    """Collect from the running stack: over loopback from a local one, in a job on its network from one of containers.

    Raises:
        InputError, RunError: as the collector.
        EngineError: the job could not be started.
    """
    from gymctl.engines.choice import engine_of
    from gymctl.engines.local.engine import LocalEngine
    from gymctl.rollouts.container_job import Job, run_job

    urls = {server.name: server.address for server in state.servers}
    if state.takes_workers:
        from gymctl.engines.remote_servers import registered_urls

        urls = {**registered_urls(state.head_url), **urls}
    engine = engine_of(directory)
    if not isinstance(engine, LocalEngine):
        return _collect_in_container(engine, spec, urls, on_event)
    import uvloop

    engine.check_running()
    return uvloop.run(run_job(Job(spec, urls), on_event))


def _collect_in_container(
    engine: ComposeEngine | SwarmEngine, spec: RunSpec, urls: dict[str, str], on_event: OnEvent
) -> Report:
    from dataclasses import replace

    from gymctl.engines import protocol
    from gymctl.errors import RunError
    from gymctl.rollouts.container_job import Job
    from gymctl.rollouts.progress import replay
    from gymctl.rollouts.report import Report
    from gymctl.rollouts.tasks import check_paths

    check_paths(spec)
    inside = replace(spec, input=spec.input.resolve(), output=spec.output.resolve())
    lines: list[str] = []
    ends = []

    def on_line(line: str) -> None:
        lines.append(line)
        end = replay([_as_given(line, spec, inside)], on_event)
        if end is not None:
            ends.append(end)

    job = protocol.Job(
        command=("python", "-m", "gymctl.rollouts.container_job"),
        mounts=tuple(_mounts(inside)),
        stdin=Job(inside, urls, watched=True).encode().decode(),
        holds_stdin=True,
    )
    result = engine.run_job(job, on_line)
    if not ends:
        if result.interrupted:  # before it began, or more than once
            typer.echo("interrupted; what is done is kept: --resume goes on", err=True)
            raise KeyboardInterrupt
        said = (result.output or "\n".join(lines[-5:])).splitlines() or ["it said nothing"]
        message = f"the collector's container ended with code {result.code}: {said[-1]}"
        raise RunError("\n  | ".join([f"{message}; what is done is kept: --resume goes on", *said[:-1]]))
    end = ends[-1]
    if hasattr(end, "report"):
        return Report.from_json(end.report)
    raise _error(end.message, end.exit_code)


def _as_given(line: str, spec: RunSpec, inside: RunSpec) -> str:
    """A line of the job with the user's own spelling of the two paths."""
    for given, resolved in ((spec.output, inside.output), (spec.input, inside.input)):
        before, after = (json.dumps(str(path.with_suffix("")))[1:-1] for path in (resolved, given))
        line = line.replace(before, after)
    return line


def _mounts(spec: RunSpec) -> Iterator[Mount]:
    """The folder of the output, and the input where it lies elsewhere; inside they have the paths they have here."""
    from gymctl.engines.protocol import Mount

    folder = spec.output.parent
    yield Mount(folder, str(folder), read_only=False)
    if spec.input.parent != folder:
        yield Mount(spec.input, str(spec.input))


def _error(message: str, exit_code: int) -> Exception:
    from gymctl.errors import InputError, RunError

    return InputError(message) if exit_code == InputError.exit_code else RunError(message)


def print_report(report: Report, *, as_json: bool) -> None:
    """The table of rewards, the files, and a sentence; or all of it as JSON."""
    if as_json:
        typer.echo(json.dumps(report.to_json()))
        return
    from rich.table import Table

    from gymctl.cli.output import wide_console
    from gymctl.rollouts.report import HEADINGS

    console = wide_console()
    table = Table(*HEADINGS, box=None, pad_edge=False, header_style="bold")
    for row in report.table_rows():
        table.add_row(*row)
    console.print(table)
    for failure_class, example in report.failure_examples.items():
        console.print(f"{failure_class}: {example}", style="red", markup=False, highlight=False, soft_wrap=True)
    console.print(report.summary(), markup=False, highlight=False, soft_wrap=True)
    for what, path in report.files.items():
        console.print(f"  {what}: {path}", markup=False, highlight=False, soft_wrap=True)
