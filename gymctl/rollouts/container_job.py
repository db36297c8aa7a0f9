"""A collection as a job inside a container: ``python -m gymctl.rollouts.container_job``.

The job's specification is JSON, in the variable ``GYMCTL_JOB`` or on standard input:
``{"run": RunSpec.to_dict(), "urls": {"agent": "http://agent:8081"}}``. With ``"watched": true`` it is the first line of
standard input, and the end of that stops the run in order: the starter is gone. Events go to standard output as
JSON lines, the last of them ``ended`` or ``crashed``. It exits as the command does: 0, 1, 2 for wrong input, 130 when
interrupted; SIGINT, SIGTERM or SIGHUP stops it in order, a second one at once. It imports nothing that a server image
does not have.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import orjson

from gymctl.errors import GymctlError, InputError
from gymctl.rollouts import events
from gymctl.rollouts.collector import collect
from gymctl.rollouts.progress import JsonProgress
from gymctl.rollouts.report import Report
from gymctl.rollouts.spec import RunSpec
from gymctl.server.calls.client import Client
from gymctl.server.calls.http import HttpTransport
from gymctl.server.calls.moving import Look, MovingTransport
from gymctl.server.hop_tokens import TokenFile
from gymctl.server.run.open_files import open_files, raise_file_limit
from gymctl.server.settings import DEFAULT_PATIENCE_S, PATIENCE_VARIABLE, seconds

JOB_VARIABLE = "GYMCTL_JOB"
CONNECTIONS = 1024
_OTHER_FILES = 64  # the run's own, and what the process has open anyway


@dataclass(frozen=True)
class CollectionJob:
    """A run, and where its agents are: base URL by name. ``watched``: it ends when its standard input does.

    ``tokens`` is the path of the file with the tokens of the stack's servers; empty: they need none.
    """

    run: RunSpec
    urls: Mapping[str, str]
    watched: bool = False
    tokens: str = ""

    def encode(self) -> bytes:
        """As the line of JSON that a job reads."""
        values = {
            "run": self.run.to_dict(),
            "urls": dict(self.urls),
            "watched": self.watched,
            "tokens": self.tokens,
        }
        return orjson.dumps(values, option=orjson.OPT_APPEND_NEWLINE)

    @classmethod
    def decode(cls, text: bytes | str) -> CollectionJob:
        """The reverse of ``encode``.

        Raises:
            InputError: it is not such JSON.
        """
        try:
            values = orjson.loads(text)
            return cls(
                run=RunSpec.from_dict(values["run"]),
                urls=dict(values["urls"]),
                watched=bool(values.get("watched")),
                tokens=str(values.get("tokens") or ""),
            )
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"invalid job specification: {error!r}", "expected JSON with run and urls") from error


async def run_job(
    job: CollectionJob, on_event: events.OnEvent, *, stop: asyncio.Event, abort: asyncio.Event, look: Look | None = None
) -> Report:
    """Collect over HTTP; stop in order when ``stop`` is set, at once when ``abort`` is.

    With ``look``, it returns the servers' addresses, which may change during the run.

    Raises:
        InputError, RunError: as ``collect``.
    """
    raise_file_limit()
    requested = connections(job.run)
    possible = open_files() - _OTHER_FILES
    if requested > possible:
        on_event(
            events.RunNote(
                f"using {possible} connections instead of {requested}: the open-file limit (ulimit -n) is low"
            )
        )
    patience = seconds(os.environ, PATIENCE_VARIABLE, DEFAULT_PATIENCE_S)
    tokens = TokenFile(Path(job.tokens)) if job.tokens else None
    connect = partial(HttpTransport, limit=max(1, min(requested, possible)), patience_s=patience, tokens=tokens)
    client = Client(connect(job.urls) if look is None else MovingTransport(look, connect))
    try:
        return await collect(job.run, client, on_event=on_event, stop=stop, abort=abort)
    finally:
        await client.close()


def connections(run: RunSpec) -> int:
    """Connections worth having for a run: one per rollout in flight."""
    if run.concurrency == "auto":
        return CONNECTIONS
    return run.concurrency


def _stop_at_end_of_input(stop: asyncio.Event) -> None:
    """Set ``stop`` when whoever holds the other end of standard input has closed it, or was killed."""
    loop = asyncio.get_running_loop()

    def readable() -> None:
        """Stop the run at the end of standard input, which is the end of the process that started this one."""
        if not os.read(sys.stdin.fileno(), 1 << 16):
            loop.remove_reader(sys.stdin.fileno())
            stop.set()

    loop.add_reader(sys.stdin.fileno(), readable)


def with_signals(stop: asyncio.Event, abort: asyncio.Event) -> None:
    """Make the running loop set ``stop`` at the first SIGINT, SIGTERM or SIGHUP, and ``abort`` at the second."""

    def interrupted() -> None:
        """Stop at the first signal, abort at the next one."""
        (abort if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
            loop.add_signal_handler(number, interrupted)


async def _run_until_stopped(job: CollectionJob, on_event: events.OnEvent) -> Report:
    stop = asyncio.Event()
    abort = asyncio.Event()
    with_signals(stop, abort)
    if job.watched:
        _stop_at_end_of_input(stop)
    return await run_job(job, on_event, stop=stop, abort=abort)


def main() -> int:
    """Run the job of the environment or of standard input; returns the exit code."""
    import uvloop

    lines = JsonProgress(_print)
    try:
        job = CollectionJob.decode(os.environ.get(JOB_VARIABLE) or sys.stdin.buffer.readline())
        report = uvloop.run(_run_until_stopped(job, lines.on_event))
    except GymctlError as error:
        lines.on_event(events.Crashed(str(error), error.exit_code))
        return error.exit_code
    lines.on_event(events.Ended(report.to_json()))
    return report.exit_code


def _print(data: bytes) -> None:
    """Write to standard output. If it is closed, the run ends when its standard input does."""
    with suppress(BrokenPipeError):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    raise SystemExit(main())
