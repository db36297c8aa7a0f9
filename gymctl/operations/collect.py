"""Collect rollouts: from the running stack of a directory, or from servers started in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from gymctl.config.vocabulary import COLLECTOR_ALIAS
from gymctl.engines.collections import registered
from gymctl.engines.protocol import Engine, Job, JobMount, JobResult
from gymctl.engines.stack_directory import stack_directory
from gymctl.engines.state import StackState, find_state, load_state
from gymctl.errors import EngineError, InputError, RunError
from gymctl.operations.collect_options import CollectOptions, run_spec
from gymctl.operations.collector_files import TOKENS_IN_CONTAINER, collector_mounts, with_requested_paths
from gymctl.operations.hop_tokens import stored_token, tokens_file
from gymctl.operations.monitoring import collector_address, stored_metrics_token
from gymctl.operations.report import add_report_page
from gymctl.operations.run_manifest import run_manifest
from gymctl.operations.telemetry import stored_telemetry, traced_run

if TYPE_CHECKING:
    from gymctl.config import Config
    from gymctl.config.rows.row_routes import RowRoutes
    from gymctl.rollouts.events import Ended, OnEvent
    from gymctl.rollouts.report import Report
    from gymctl.rollouts.spec import RunSpec

Work = Callable[[asyncio.Event, asyncio.Event], Awaitable["Report"]]
"""A run; it stops in order when the first event is set, at once when the second is."""

_LAST_LINES = 5


def collect(
    rows: str | Path,
    output: str | Path,
    *,
    directory: Path | None = None,
    on_event: OnEvent | None = None,
    report_page: bool = True,
    **options: Unpack[CollectOptions],
) -> Report:
    """Collect rollouts from the running stack of a directory.

    Args:
        rows: JSONL file of rows.
        output: JSONL file for the results; its folder must exist.
        directory: where the stack was brought up; by default the working directory.
        on_event: takes the values of ``gymctl.rollouts.events`` as rollouts finish and fail.
        report_page: write the page of ``gymctl report`` next to the results.
        options: see ``CollectOptions``.

    Returns:
        The report. Failed rollouts are counted in it and kept in a file; they do not raise.

    Raises:
        InputError: a file or an option is wrong, or no stack with an agent runs there.
        RunError: the run could not continue, e.g. the disk is full.
        EngineError: the collector's container could not be started.
    """
    spec = run_spec({**options, "input": rows, "output": output})
    return collect_run(spec, on_event or (lambda event: None), directory, report_page=report_page)


def collect_run(spec: RunSpec, on_event: OnEvent, directory: Path | None = None, *, report_page: bool = True) -> Report:
    """Do a run on the stack of ``directory``: over loopback where it is local, otherwise in a job on its network.

    By default it is the stack of the working directory, or of one above. With ``report_page`` the page of
    ``gymctl report`` is written next to the results.

    Raises:
        InputError: no stack with an agent runs there, or as the collector.
        RunError: as the collector.
        EngineError: the job could not be started.
    """
    from gymctl.engines.choice import engine_of
    from gymctl.rollouts.container_job import CollectionJob, run_job
    from gymctl.rollouts.trace_export import exporting

    directory = stack_directory(directory)
    state = load_state(directory)
    identity = {"config": state.config_digest, "code": dict(state.code), **spec.identity}
    engine = engine_of(directory)
    spec = replace(spec, identity=identity, agents=agents_of(state), manifest=run_manifest(state, directory))
    routes = routes_of(state, stored_token(directory), spec.manifest["configuration"])
    spec = replace(spec, routes=routes)
    metrics = collector_address(spec.manifest["configuration"], engine)
    spec = replace(spec, metrics=metrics, metrics_token=stored_metrics_token(directory))
    telemetry = stored_telemetry(directory, spec.manifest["configuration"])
    job = CollectionJob(traced_run(spec, telemetry), _server_urls(state), tokens=tokens_file(directory))
    with registered(directory, spec.output), exporting(telemetry, on_event) as take:
        if engine.serves_loopback():
            look = partial(_running_urls, engine, directory)
            report = run_to_end(lambda stop, abort: run_job(job, take, stop=stop, abort=abort, look=look))
        else:
            report = _collect_in_container(engine, job, take)
    if report_page:
        add_report_page(report, spec, on_event)
    return report


def collect_in_process(config: Config, spec: RunSpec, on_event: OnEvent) -> Report:
    """Start every server of ``config`` in this process, without a port, and collect from them."""
    from gymctl.config.rows.row_routes import read_routes
    from gymctl.engines.local.addresses import plan_addresses
    from gymctl.engines.local.servers import build_stack, running
    from gymctl.rollouts.collector import collect as collect_rollouts
    from gymctl.rollouts.trace_export import exporting

    spec = traced_run(replace(spec, routes=read_routes(config.resolved)), config.telemetry)

    async def work(stop: asyncio.Event, abort: asyncio.Event) -> Report:
        """Collect in this process, from servers in this process."""
        async with running(build_stack(config, plan_addresses(config)), listen=False) as stack:
            return await collect_rollouts(spec, stack.client, on_event=take, stop=stop, abort=abort)

    with exporting(config.telemetry, on_event) as take:
        return run_to_end(work)


def check_agents(directory: Path | None = None) -> None:
    """Check that a stack with an agent was brought up in a directory; by default the working directory or one above.

    Raises:
        InputError: none was.
    """
    agents_of(load_state(stack_directory(directory)))


def agents_of(state: StackState) -> tuple[str, ...]:
    """Names of the agents that can be collected from: the stack's own, and those of its running workers.

    Raises:
        InputError: there are none.
    """
    servers = [(server.name, server.kind) for server in state.all_servers]
    if state.takes_workers:
        from gymctl.engines.remote_servers import registered_servers

        running = (server for server in registered_servers(state.head_url) if server.state == "running")
        servers += ((server.name, server.kind) for server in running)
    agents = tuple(dict.fromkeys(name for name, kind in servers if kind == "responses_api_agents"))
    if agents:
        return agents
    hint = "add one to its configuration"
    if state.role == "worker":
        hint = "collect on the coordinator"
    elif state.takes_workers:
        hint = "start a worker with an agent (gymctl status lists registered servers)"
    raise InputError(f"the stack {state.name} has no agent", hint)


def routes_of(state: StackState, token: str = "", saved: Mapping[str, Any] | None = None) -> RowRoutes:
    """Where the configuration of a running stack leads rows to; nowhere, when it is not known.

    Args:
        state: the stack's; its head is asked.
        token: the head's; empty: it needs none.
        saved: the configuration that was saved with the stack, for a head that does not answer here, as on a Swarm.
    """
    from gymctl.config.rows.row_routes import RowRoutes, read_routes
    from gymctl.engines.remote_servers import published_values

    values = published_values(state.head_url, token) or saved
    return read_routes(values) if values else RowRoutes()


def run_to_end(work: Work) -> Report:
    """Do a run in an event loop: the first Ctrl-C stops it in order, the second at once.

    Where this thread runs an event loop already, as in a notebook, the run has another thread.
    """
    import uvloop

    from gymctl.rollouts.container_job import with_signals

    async def main() -> Report:
        """Collect until done, or until a signal stops it."""
        stop = asyncio.Event()
        abort = asyncio.Event()
        with_signals(stop, abort)
        return await work(stop, abort)

    if asyncio._get_running_loop() is not None:
        return _in_a_thread(work)
    return uvloop.run(main())


def _in_a_thread(work: Work) -> Report:
    import uvloop

    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, asyncio.Event]] = Future()

    async def main() -> Report:
        """Collect, after the events that stop it have been handed to the thread that waits."""
        stop = asyncio.Event()
        abort = asyncio.Event()
        started.set_result((asyncio.get_running_loop(), stop, abort))
        return await work(stop, abort)

    with ThreadPoolExecutor(max_workers=1) as pool:
        report = pool.submit(lambda: uvloop.run(main()))
        while True:
            try:
                return report.result()
            except KeyboardInterrupt:
                loop, stop, abort = started.result()
                loop.call_soon_threadsafe(abort.set if stop.is_set() else stop.set)


def _server_urls(state: StackState) -> dict[str, str]:
    """Base URLs of the stack's servers, those of other machines included, by name."""
    urls = {server.name: server.address for server in state.all_servers}
    if not state.takes_workers:
        return urls
    from gymctl.engines.remote_servers import registered_urls

    return {**registered_urls(state.head_url), **urls}


def _running_urls(engine: Engine, directory: Path) -> dict[str, str] | None:
    """Where a stack on loopback is now; None while it does not run. Its ports are then anybody's."""
    try:
        engine.serves_loopback()
    except EngineError:
        return None
    state = find_state(directory)
    if state is None:
        return None
    return _server_urls(state)


def _collect_in_container(engine: Engine, job: Any, on_event: OnEvent) -> Report:
    from gymctl.rollouts.plain_input import plain_input
    from gymctl.rollouts.tasks import check_paths

    spec = job.run
    check_paths(spec)
    inside = replace(spec, input=spec.input.resolve(), output=spec.output.resolve())
    with plain_input(inside.input) as rows:
        mounts = tuple(collector_mounts(inside, rows, job.tokens))
        return _run_job(engine, job, inside, mounts, on_event)


def _run_job(engine: Engine, job: Any, inside: RunSpec, mounts: tuple[JobMount, ...], on_event: OnEvent) -> Report:
    """Collect in a container: ``inside`` is the run with the paths that it has there."""
    from gymctl.rollouts.container_job import CollectionJob
    from gymctl.rollouts.events import Crashed
    from gymctl.rollouts.progress import replay
    from gymctl.rollouts.report import Report

    spec = job.run
    tokens = TOKENS_IN_CONTAINER if job.tokens else ""
    lines: list[str] = []
    ends: list[Ended | Crashed] = []

    def on_line(line: str) -> None:
        """Turn a line of the job's output into events, and keep it for an error message."""
        lines.append(line)
        end = replay([with_requested_paths(line, spec, inside)], on_event)
        if end is not None:
            ends.append(end)

    result = engine.run_job(
        Job(
            command=("python", "-m", "gymctl.rollouts.container_job"),
            mounts=mounts,
            stdin=CollectionJob(inside, job.urls, watched=True, tokens=tokens).encode().decode(),
            holds_stdin=True,
            alias=COLLECTOR_ALIAS,
        ),
        on_line,
    )
    if not ends:
        raise _ended_without_report(result, lines)
    end = ends[-1]
    if isinstance(end, Crashed):
        raise InputError(end.message) if end.exit_code == InputError.exit_code else RunError(end.message)
    return Report.from_json(end.report)


def _ended_without_report(result: JobResult, lines: list[str]) -> BaseException:
    """What to raise for a collector that was killed, by Ctrl-C or by something else."""
    if result.interrupted:  # before it began, or more than once
        return KeyboardInterrupt("interrupted; finished rollouts are saved. Continue with --resume")
    output = (result.output or "\n".join(lines[-_LAST_LINES:])).splitlines() or ["it printed nothing"]
    message = f"the collector's container exited with code {result.code}: {output[-1]}"
    return RunError("\n  | ".join([f"{message}; finished rollouts are saved: continue with --resume", *output[:-1]]))
