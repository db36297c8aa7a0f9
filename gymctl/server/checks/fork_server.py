"""A process that forks workers. It made the slow imports once: a worker costs milliseconds, and shares its memory.

``pool.py`` runs this file as a script, with an environment that holds no secret, and gives it orders over a socket:
``fork N`` with the worker's end of a channel, ``kill N``. The standard library's fork server is not used because its
children import the program's ``__main__`` again, and it is one for the whole process, with one list of imports.

What a worker has started and left behind becomes a child of this process, and is killed with it or after it.

A worker reads one check after the other from its channel: eight bytes of length, then a pickle.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import importlib.util
import json
import os
import pickle
import resource
import select
import signal
import socket
import sys
from collections.abc import Collection
from contextlib import suppress
from functools import lru_cache
from typing import Any, NoReturn

_LENGTH = 8
_MOST_RESIDENT_KB = 512 * 1024  # a worker that has grown beyond this is replaced by a new one
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    """Obey until the pool hangs up: ``nursery.py FD {"path": ..., "preload": ..., "memory": BYTES}``."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which then hangs up
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    orders = socket.socket(fileno=int(sys.argv[1]))
    options = json.loads(sys.argv[2])
    sys.path[:] = options["path"]
    for name in options["preload"]:
        with suppress(ImportError):  # the check that needs it reports it
            importlib.import_module(name)
    gc.freeze()  # the collector would touch, and thereby copy, every page the workers share
    _obey(orders, int(options["memory"]))


def _obey(orders: socket.socket, memory: int) -> None:
    workers: dict[int, int] = {}  # the pool's number -> process id
    while True:
        ready, _, _ = select.select([orders], [], [], 1.0)
        _reap(workers)
        if not ready:
            _end_orphans(workers.values())
            continue
        order, channels, _, _ = socket.recv_fds(orders, 64, 1)
        if not order:
            break
        verb, _, number = order.decode().partition(" ")
        if verb == "fork":
            workers[int(number)] = _fork(orders, channels[0], memory)
        elif int(number) in workers:
            _kill(workers.pop(int(number)))
        _end_orphans(workers.values())
    for pid in workers.values():
        _kill(pid)
    _end_orphans(())


def _reap(workers: dict[int, int]) -> None:
    for number, pid in list(workers.items()):
        if os.waitpid(pid, os.WNOHANG)[0]:
            del workers[number]


def _end_orphans(workers: Collection[int]) -> None:
    """Kill and reap the children that are not workers; without the kernel's list of them (an option of it), nothing."""
    with suppress(OSError):
        while orphans := [pid for pid in _children() if pid not in workers]:
            for pid in orphans:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def _children() -> list[int]:
    with open(f"/proc/self/task/{os.getpid()}/children") as file:  # noqa: PTH123 - without the import
        return [int(pid) for pid in file.read().split()]


def _kill(pid: int) -> None:
    """Kill a worker's process group: the worker and what it started. Its id is not reused before the wait."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _fork(orders: socket.socket, channel: int, memory: int) -> int:
    pid = os.fork()
    if pid:
        os.close(channel)
        with suppress(OSError):
            os.setpgid(pid, pid)  # both do it: whoever is first
        return pid
    with suppress(OSError):
        os.setpgid(0, 0)
    try:
        orders.close()
        _become_worker(memory)
        _work(socket.socket(fileno=channel))
    finally:
        os._exit(0)


def _become_worker(memory: int) -> None:
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # nothing else could end a worker whose fork server has died
    libc.prctl(_PR_SET_DUMPABLE, 0)  # its memory is closed to what it starts
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    limit_memory(memory)


def limit_memory(more: int) -> None:
    """Let this process map ``more`` bytes beyond what it has, and no more."""
    with open("/proc/self/statm") as file:  # noqa: PTH123 - without the import
        now = int(file.read().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = now + more
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def _work(channel: socket.socket) -> None:
    send(channel, b"")  # ready: a check's time begins after this
    while (job := _receive(channel)) is not None:
        fine, value = answer(job)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > _MOST_RESIDENT_KB
        send(channel, _packed(fine, value, grown))
        if grown:
            return


def answer(job: bytes) -> tuple[bool, Any]:
    """Do one check: ``(True, its value)``, or ``(False, what it raised)``."""
    try:
        (path, module, name), arguments = pickle.loads(job)  # noqa: S301 - the server's own
        return True, getattr(_module(path, module), name)(*arguments)
    except BaseException as error:  # noqa: BLE001 - whatever a check raises is its answer, SystemExit too
        return False, f"{type(error).__name__}: {error}"


def _packed(fine: bool, value: Any, grown: bool) -> bytes:
    try:
        return pickle.dumps((fine, value, grown))
    except Exception as error:  # noqa: BLE001 - pickling runs the value's own code
        return pickle.dumps((False, f"its result cannot be sent: {error}", grown))


@lru_cache(maxsize=64)
def _module(path: str, name: str) -> Any:
    """The module a check is in: by name when that leads to the same file, else from the file."""
    with suppress(ImportError, ValueError):
        module_spec = importlib.util.find_spec(name)
        if name != "__main__" and module_spec is not None and module_spec.origin == path:
            return importlib.import_module(name)
    spec = importlib.util.spec_from_file_location(f"checks_in_{name.replace('.', '_')}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, os.path.dirname(path))  # noqa: PTH120 - its neighbours, as when the server was loaded
    spec.loader.exec_module(module)
    return module


def send(channel: socket.socket, message: bytes) -> None:
    """Write one message."""
    channel.sendall(len(message).to_bytes(_LENGTH, "big") + message)


def _receive(channel: socket.socket) -> bytes | None:
    head = _exactly(channel, _LENGTH)
    if head is None:
        return None
    return _exactly(channel, int.from_bytes(head, "big"))


def _exactly(channel: socket.socket, count: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < count:
        part = channel.recv(min(1 << 20, count - len(parts)))
        if not part:
            return None
        parts += part
    return bytes(parts)


def _end() -> NoReturn:
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
    _end()
