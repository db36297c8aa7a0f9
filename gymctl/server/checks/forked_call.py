"""A check in a forked child with a time limit, for a process that is not ours to kill: a worker of a Ray cluster.

Nodes of a cluster may lack gymctl, so this module and ``nursery.limit_memory`` are sent there by value: what a function
here uses, it uses from the standard library, Ray itself, or that one function.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import pickle
import select
import signal
import socket
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from gymctl.server.checks.fork_server import limit_memory

_PR_SET_PDEATHSIG = 1


class ProcessLimits(NamedTuple):
    """Seconds and bytes that one check may take, and the modules to import before the first one."""

    seconds: float
    memory: int
    preload: tuple[str, ...]


def on_node(function: Callable[..., Any], arguments: Sequence[Any], limits: ProcessLimits) -> tuple[str, Any, str, str]:
    """What a Ray task does: ``(outcome, value, node id, host name)``."""
    import ray

    for name in limits.preload:
        with suppress(ImportError):  # the check that needs it reports it
            importlib.import_module(name)
    outcome, value = run_limited(function, arguments, limits)
    return outcome, value, ray.get_runtime_context().get_node_id(), socket.gethostname()


def run_limited(function: Callable[..., Any], arguments: Sequence[Any], limits: ProcessLimits) -> tuple[str, Any]:
    """``("value", ...)``, ``("raised", text)``, ``("overran", None)`` or ``("died", None)``."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # Python 3.12 warns about forks in processes with threads; the child uses none of them
        pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            _answer(writing, function, arguments, limits.memory)
        finally:
            os._exit(0)
    os.close(writing)
    try:
        return _await(reading, limits.seconds)
    finally:
        os.close(reading)
        for kill in (os.killpg, os.kill):
            with suppress(ProcessLookupError, PermissionError):
                kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _answer(writing: int, function: Callable[..., Any], arguments: Sequence[Any], memory: int) -> None:
    os.setpgid(0, 0)  # what the check starts ends with it
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        limit_memory(memory)
        outcome = pickle.dumps(("value", function(*arguments)))
    except BaseException as error:  # noqa: BLE001 - whatever a check raises is its answer, SystemExit too
        outcome = pickle.dumps(("raised", f"{type(error).__name__}: {error}"))
    with open(writing, "wb") as file:
        file.write(outcome)


def _await(reading: int, seconds: float) -> tuple[str, Any]:
    deadline = time.monotonic() + seconds
    parts = bytearray()
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([reading], [], [], left)[0]:
            continue
        part = os.read(reading, 1 << 20)
        if not part:
            break
        parts += part
    else:
        return "overran", None
    if not parts:
        return "died", None
    try:
        outcome, value = pickle.loads(parts)  # noqa: S301 - the child's own
    except (pickle.UnpicklingError, EOFError):
        return "died", None
    return outcome, value
