"""A stack that starts: live lines with a moving clock on a terminal, plain ones elsewhere."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from gymctl.cli.colours import STATE_COLOURS

if TYPE_CHECKING:
    from rich.table import Table

    from gymctl.engines.build.images import BuildEvent
    from gymctl.engines.protocol import ServerEvent
    from gymctl.operations.events import StackEvent

_UNFINISHED = frozenset(
    "waiting building created starting running new pending assigned accepted preparing ready".split()
) | {"rolling back"}
_BUILD_TEXTS = {"start": "building", "done": "built"}


@dataclass
class _Line:
    """What is displayed of one image or server."""

    text: str
    began: float
    """When its clock started, as ``time.monotonic`` has it."""
    seconds: float | None = None
    """What its clock stopped at; None while it moves."""

    def clock(self) -> str:
        """Seconds since it began, or that it took."""
        if self.seconds is None:
            seconds = time.monotonic() - self.began
        else:
            seconds = self.seconds
        return f"{seconds:.1f} s"


class UpDisplay:
    """Takes the events of a stack that starts; one live line per image and per server."""

    def __init__(self) -> None:
        from rich.live import Live

        from gymctl.config.console import Console

        self._console = Console(file=sys.stderr)
        self._lines: dict[str, _Line] = {}
        self._draining: set[str] = set()
        self._live = Live(console=self._console, refresh_per_second=8, get_renderable=self._table)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for line in self._lines.values():  # what did not finish: its clock stops with the display
            if line.seconds is None:
                line.seconds = time.monotonic() - line.began
        if self._console.is_terminal:
            self._live.stop()

    def on_event(self, event: StackEvent) -> None:
        """Take one event of an operation."""
        from gymctl.engines.build.images import BuildEvent
        from gymctl.operations.events import Notice, ServersExpected

        match event:
            case Notice():
                self._print_note(event.text)
            case ServersExpected():
                for name in event.names:
                    self._update(name, "waiting", None)
            case BuildEvent():
                self._on_build(event)
            case _:
                self._on_server(event)

    def _print_note(self, text: str) -> None:
        from rich.text import Text

        self._console.print(Text.assemble(("note:", "yellow"), f" {text}"), soft_wrap=True)

    def _on_build(self, event: BuildEvent) -> None:
        """The build of an image began, reached a step or ended."""
        if event.kind == "note":
            self._console.print(f"{event.image}: {event.text}", soft_wrap=True)
            return
        if event.kind == "done":
            seconds = event.seconds
        else:
            seconds = None
        self._update(event.image, event.text or _BUILD_TEXTS[event.kind], seconds)

    def _on_server(self, event: ServerEvent) -> None:
        """The state of a server changed."""
        from gymctl.engines.protocol import DRAINING

        if event.state == DRAINING:
            self._on_drain(event)
            return
        if event.state == "missing":
            text = "waiting"
        else:
            text = event.health or event.state
        self._update(event.name, text, None if text in _UNFINISHED else event.seconds)

    def _on_drain(self, event: ServerEvent) -> None:
        """An old container finishes its work; ``health`` has what it waits for."""
        if event.health and event.name not in self._draining and not self._console.is_terminal:
            self._console.print(f"{event.name}: {event.state}, {event.health}", soft_wrap=True)
            self._draining.add(event.name)
        self._update(event.name, f"{event.state} {event.health}".rstrip(), None)

    def _update(self, name: str, text: str, seconds: float | None) -> None:
        line = self._lines.setdefault(name, _Line(text, began=time.monotonic()))
        line.text = text
        line.seconds = seconds
        if seconds is not None and not self._console.is_terminal:
            self._console.print(f"{name}: {text} ({line.clock()})", soft_wrap=True)

    def _table(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis")
        table.add_column(no_wrap=True, justify="right")
        for name, line in self._lines.items():
            table.add_row(name, Text(line.text, style=STATE_COLOURS.get(line.text, "")), line.clock())
        return table
