"""How a stack that starts, or runs, is shown: live lines on a terminal, plain ones elsewhere."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

import typer

from gymctl.config.wording import duration

if TYPE_CHECKING:
    from rich.table import Table

    from gymctl.config.console import Console
    from gymctl.engines.build.images import BuildEvent
    from gymctl.engines.protocol import ServerEvent, ServerStatus
    from gymctl.engines.state import StackState
    from gymctl.operations.events import StackEvent
    from gymctl.rollouts.report import Report

_ON_THE_WAY = (
    "waiting", "created", "starting", "running",
    "new", "pending", "assigned", "accepted", "preparing", "ready", "rolling back",
)  # fmt: skip
_COLOURS = {
    "healthy": "green",
    "done": "green",
    "running": "green",
    "unhealthy": "red",
    "exited": "red",
    "missing": "red",
    "dead": "red",
}


@contextmanager
def interrupt_message() -> Iterator[None]:
    """Print the message of an operation that Ctrl-C ended: what was saved, what is left to clean up."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        for message in interrupt.args:
            typer.echo(message, err=True)
        raise


class UpDisplay:
    """Takes the events of a stack that starts; one live line per image and per server."""

    def __init__(self) -> None:
        from rich.live import Live

        from gymctl.config.console import Console

        self._console = Console(file=sys.stderr)
        self._live = Live(console=self._console, refresh_per_second=8, transient=False)
        self._lines: dict[str, tuple[str, str]] = {}

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def on_event(self, event: StackEvent) -> None:
        """Take one event of an operation."""
        from gymctl.engines.build.images import BuildEvent
        from gymctl.operations.events import Notice, ServersExpected

        match event:
            case Notice():
                self._console.print(f"note: {event.text}", markup=False, highlight=False, soft_wrap=True)
            case ServersExpected():
                for name in event.names:
                    self._show(name, "waiting", 0.0, plain=False)
            case BuildEvent():
                self._on_build(event)
            case _:
                self._on_server(event)

    def _on_build(self, event: BuildEvent) -> None:
        """An image's build went on."""
        if event.kind == "note":
            self._console.print(f"{event.image}: {event.text}", markup=False, highlight=False)
            return
        text = event.text or {"start": "building", "done": "built"}[event.kind]
        self._show(event.image, text, event.seconds, plain=event.kind == "done")

    def _on_server(self, event: ServerEvent) -> None:
        """A server's state changed."""
        text = "waiting" if event.state == "missing" else event.health or event.state
        self._show(event.name, text, event.seconds, plain=text not in _ON_THE_WAY)

    def _show(self, name: str, text: str, seconds: float, *, plain: bool) -> None:
        self._lines[name] = (text, f"{seconds:.1f} s" if seconds else "")
        if self._console.is_terminal:
            self._live.update(self._table())
        elif plain:
            self._console.print(f"{name}: {text} ({seconds:.1f} s)", markup=False, highlight=False, soft_wrap=True)

    def _table(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, show_header=False, pad_edge=False)
        for _ in range(3):
            table.add_column(no_wrap=True, overflow="ellipsis")
        for name, (text, seconds) in self._lines.items():
            table.add_row(name, Text(text, style=_COLOURS.get(text, "")), seconds)
        return table


def print_next_steps(state: StackState) -> None:
    """What to do with a stack that is up."""
    agent = next((server.name for server in state.servers if server.kind == "responses_api_agents"), "AGENT")
    logs = f"docker compose logs -f {state.servers[-1].name}" if state.engine == "compose" else "gymctl logs -f"
    collect = f"  gymctl collect --input rows.jsonl --output rollouts.jsonl --agent {agent}\n"
    number = f"{len(state.servers)} server{'s' if len(state.servers) != 1 else ''}"
    said = f"{state.name} is up: {number}, head at {state.head_url}\n"
    if state.role == "worker":
        said, collect = f"{state.name} is up, registered with the head at {state.head_url}\n", ""
    if state.takes_workers:
        said += "  workers: gymctl up WORKER.yaml --role worker --token-file COPY_OF/.gymctl/head-token\n"
    typer.echo(f"{said}  gymctl status\n{collect}  {logs}\n  gymctl down")


def wide_console() -> Console:
    """A console that never cuts a name short: on a narrow terminal a long row wraps, as ``docker ps`` has it."""
    from gymctl.config.console import Console

    return Console(width=240)


def status_table(statuses: Sequence[ServerStatus]) -> Table:
    """Every server with its state, health, uptime and address; with replicas and nodes where the engine has them."""
    from rich.table import Table
    from rich.text import Text

    placed = any(status.nodes for status in statuses)
    counted = placed or any(status.replicas > 1 for status in statuses)
    more = (*(["replicas"] if counted else []), *(["nodes"] if placed else []))
    table = Table(
        "server", "kind", "state", "health", *more, "uptime", "address", box=None, pad_edge=False, header_style="bold"
    )
    for status in statuses:
        state = f"{status.state} ({status.exit_code})" if status.exit_code else status.state
        if status.restarts:
            state += f", {status.restarts} restarts"
        health = status.health or "-"
        running = status.running if status.running is not None else int(status.ok)
        counts = (f"{running}/{status.replicas}", ", ".join(status.nodes) or "-")[: len(more)]
        table.add_row(
            status.name,
            f"{status.kind}/{status.implementation}" if status.kind not in ("head", "node") else status.kind,
            Text(state, style=_COLOURS.get(status.state, "yellow")),
            Text(health, style=_COLOURS.get(health, "")),
            *counts,
            "-" if status.uptime_seconds is None else duration(status.uptime_seconds),
            f"{status.address} ({status.node})" if status.node else status.address,
        )
    return table


def history_table(statuses: Sequence[ServerStatus]) -> Table:
    """What became of replicas that are no more, in order of time."""
    from rich.table import Table

    table = Table("when", "replica", "on", "what happened", box=None, pad_edge=False, header_style="bold")
    moments = [(moment, status.name) for status in statuses for moment in status.history]
    for moment, name in sorted(moments, key=lambda pair: pair[0].when):
        table.add_row(moment.when[:19].replace("T", " "), f"{name}.{moment.replica}", moment.node, moment.what)
    return table


def print_report(report: Report, *, as_json: bool) -> None:
    """Print the table of rewards, the files, and a sentence; or all of it as JSON."""
    if as_json:
        typer.echo(json.dumps(report.to_json()))
        return
    from rich.table import Table

    from gymctl.rollouts.report import HEADINGS

    console = wide_console()
    table = Table(*HEADINGS, box=None, pad_edge=False, header_style="bold")
    for row in report.table_rows():
        table.add_row(*row)
    console.print(table)
    for failure_class, example in report.failure_examples.items():
        console.print(f"{failure_class}: {example}", style="red", markup=False, highlight=False, soft_wrap=True)
    for line in report.tool_error_lines():
        console.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)
    console.print(report.summary(), markup=False, highlight=False, soft_wrap=True)
    for name, path in report.files.items():
        console.print(f"  {name}: {path}", markup=False, highlight=False, soft_wrap=True)
    if report.failed:
        text = f"To try the failed rollouts again:\n  {_retry_command(sys.argv[1:])}"
        console.print(text, markup=False, highlight=False, soft_wrap=True)


def _retry_command(arguments: list[str]) -> str:
    """The command that tries what failed again; of a command other than ``collect``, the form of it."""
    if arguments[:1] != ["collect"]:
        return "gymctl collect ... --resume --retry-failed"
    same = [argument for argument in arguments if argument not in ("--resume", "--retry-failed", "--force")]
    return shlex.join(["gymctl", *same, "--resume", "--retry-failed"])
