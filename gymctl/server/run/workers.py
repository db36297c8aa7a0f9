"""Several processes that serve one port: the kernel spreads connections over them (``SO_REUSEPORT``)."""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

from gymctl.errors import InputError
from gymctl.server.monitoring import forget_process

# A worker that ends sooner than this never served: its fault is the server's, and starting it again would not help.
_SOON_S = 5.0

log = logging.getLogger("gymctl.server")


def listen(host: str, port: int, backlog: int) -> socket.socket:
    """A listening socket on a port that other workers listen on too."""
    return socket.create_server((host, port), family=_family(host), backlog=backlog, reuse_port=True)


def run_workers(count: int, host: str, port: int, work: Callable[[], None]) -> int:
    """Run ``work`` in ``count`` forked processes until SIGTERM or SIGINT; a process that dies is replaced.

    Returns:
        The exit code: 0, or the code of a worker that could not start.

    Raises:
        InputError: the port is in use.
    """
    with socket.socket(_family(host)) as held:  # bound, not listening: it keeps other programs off the port
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            held.bind((host, port))
        except OSError as error:
            raise InputError(
                f"port {port} on {host} is not available: {error.strerror}", "choose another port"
            ) from error
        return _Crew(work).run(count)


class _Crew:
    """The processes at work, by their number, with the time of their start."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._started: dict[int, float] = {}
        self._stopping = False

    def run(self, count: int) -> int:
        """Run the workers until a signal arrives; returns the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        for _ in range(count):
            self._start()
        result = 0
        while self._started:
            pid, status = os.wait()
            code = os.waitstatus_to_exitcode(status)
            forget_process(pid)
            served = time.monotonic() - self._started.pop(pid, time.monotonic())
            if self._stopping:
                continue
            if served < _SOON_S:
                log.error("worker %d exited immediately with code %d", pid, code)
                if code > 0:
                    result = code
                else:
                    result = 1
                self._stop()
            else:
                log.warning("worker %d exited with code %d; starting another", pid, code)
                self._start()
        return result

    def _start(self) -> None:
        pid = os.fork()
        if pid == 0:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            self._work()
            raise SystemExit(0)  # out through the caller, as from a program of its own
        self._started[pid] = time.monotonic()
        if self._stopping:  # the signal came between the fork and the line above
            os.kill(pid, signal.SIGTERM)

    def _stop(self, *_: Any) -> None:
        self._stopping = True
        for pid in self._started:
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                continue


def _family(host: str) -> socket.AddressFamily:
    if ":" in host:
        return socket.AF_INET6
    return socket.AF_INET
