"""The stack that runs in a directory, as the page shows it."""

from __future__ import annotations

import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gymctl.errors import GymctlError, InputError
from gymctl.operations import stack as stack_operations
from gymctl.operations import status as status_operations

_FRESH_S = 1.5
_MOST_LINES = 500
_MOST_CHARACTERS = 4000
_NO_STACK: dict[str, Any] = {"name": None, "servers": [], "nodes": [], "problem": ""}


class StackView:
    """Asks the engine of a directory, at most once in 1.5 s however many pages are open."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._asked_at = -_FRESH_S
        self._answer: dict[str, Any] = _NO_STACK

    def status(self) -> dict[str, Any]:
        """The servers and nodes. ``name`` is None without a stack; ``problem`` is why its engine does not answer."""
        with self._lock:
            if time.monotonic() - self._asked_at >= _FRESH_S:
                self._answer = self._ask()
                self._asked_at = time.monotonic()
            return self._answer

    def log(self, server: str, tail: int) -> list[str]:
        """The last lines of a server's log, each at most 4,000 characters.

        Raises:
            InputError: no stack was brought up, or it has no such server.
            EngineError: its engine does not answer.
        """
        lines: list[str] = []
        stack_operations.logs(
            [server],
            lambda line: lines.append(line[:_MOST_CHARACTERS]),
            directory=self._directory,
            tail=min(tail, _MOST_LINES),
        )
        return lines[-_MOST_LINES:]

    def _ask(self) -> dict[str, Any]:
        try:
            status = status_operations.status(self._directory)
        except InputError:
            return _NO_STACK
        except GymctlError as error:
            return {**_NO_STACK, "name": "", "problem": str(error)}
        servers = [{**asdict(server), "ok": server.ok} for server in status.servers]
        nodes = [{**asdict(node), "usable": node.usable} for node in status.nodes]
        return {"name": status.name, "servers": servers, "nodes": nodes, "problem": ""}
