"""Run submitted code, one process per test, and report what it printed or returned. This part is ours; the code is not.

It is started with nothing in its memory or its environment but Python (without ``site``: its path is the standard
library), gets a line of JSON for every test and answers with one. It never sees an expected output, and so cannot give
one away. Standard library only, as it is sent by value.
"""

from __future__ import annotations

import atexit
import base64
import fcntl
import io
import json
import os
import select
import signal
import site
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from importlib.machinery import PathFinder
from typing import Any, NamedTuple, NoReturn

import solution_confinement as confinement

_TICK_S = 0.005  # how often limits are looked at that the kernel does not keep
_MOMENT_S = 0.001  # between the close of a process's last pipe and its end there is hardly any time
_MOST_STDERR = 4000
_MOST_FILES = 1000
_FOREIGN = "<submitted>"
_ASIDE = 200  # descriptors from here on are free
_CONFINED = b"confined"
_F_ADD_SEALS = 1033
_SEALS = 0b1111  # against sealing, shrinking, growing, writing
# What solutions of LeetCode's kind take for granted; those that read standard input import for themselves, or do not.
_PRELUDE = """
import bisect, collections, copy, datetime, functools, heapq, io, itertools, json, math, operator, os, random, re
import statistics, string, sys
from bisect import *
from collections import *
from copy import copy, deepcopy
from functools import *
from heapq import *
from itertools import *
from math import *
from typing import *
"""


def main(job: dict[str, Any]) -> None:
    """Serve tests until standard input ends."""
    orders = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    confinement.drop_identity(job["uid"], search=job["search"])
    os.chdir(job["scratch"])
    sys.path += job["packages"]
    PathFinder.find_spec("no module")  # which reads each folder of the path: later this is not permitted
    test = _Test(
        code=job["code"],
        limits=job["limits"],
        scratch=job["scratch"],
        ruleset=confinement.file_rules(job["scratch"], job["readable"], job["packages"]),
        names=_names(),
    )
    for line in orders:
        answers.write(json.dumps(test.run(json.loads(line))).encode() + b"\n")
        answers.flush()
        for entry in os.scandir(os.fsencode(job["scratch"])):
            os.unlink(entry.path)  # noqa: PTH108


def _names() -> dict[str, Any]:
    """What submitted code finds defined; made once for all tests."""
    sys.setrecursionlimit(50_000)
    site.setquit()  # exit and quit, which ``site`` itself would have defined
    names: dict[str, Any] = {}
    exec(_PRELUDE, names)  # noqa: S102 - our own text
    return names


class _Test(NamedTuple):
    """What all tests of a submission have in common."""

    code: str
    limits: Mapping[str, Any]
    scratch: str
    ruleset: int
    """The descriptor of the rules about files."""
    names: Mapping[str, Any]

    def run(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """One test: ``{"outcome", "seconds", "stdout", "value", "stderr"}``, texts cut where a limit was reached."""
        stdin = _sealed("" if order.get("fn_name") else order["input"])
        pipes = [os.pipe() for _ in range(4)]
        runner = os.getpid()
        pid = os.fork()
        if pid == 0:
            _become(self, order, runner, stdin, [writing for _, writing in pipes])
        for descriptor in (stdin, *(writing for _, writing in pipes)):
            os.close(descriptor)
        report, *readings = (reading for reading, _ in pipes)
        with _Watch(pid, readings, self.limits, self.scratch) as watch:
            problem = _problem(report)
            began = time.monotonic()
            texts, outcome = watch.until(began + self.limits["seconds"])
        stdout, stderr, value = (bytes(text).decode("utf-8", "replace") for text in texts)
        if problem:
            outcome = "no sandbox"
            stderr = problem
        return {
            "outcome": outcome,
            "seconds": round(time.monotonic() - began, 4),
            "stdout": stdout,
            "stderr": stderr[-_MOST_STDERR:],
            "value": value,
        }


def _problem(report: int) -> str:
    """Why the child could not be confined; empty when it was. Submitted code cannot write there."""
    text = b""
    while part := os.read(report, 1 << 12):
        text += part
    os.close(report)
    if text == _CONFINED:
        return ""
    return text.decode("utf-8", "replace") or "the process ended before it was confined"


def _sealed(text: str) -> int:
    """The descriptor of a file in memory that holds ``text`` and cannot be changed: no limit would count it."""
    descriptor = os.memfd_create("stdin", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    _write_all(descriptor, text.encode("utf-8", "surrogatepass"))
    os.lseek(descriptor, 0, os.SEEK_SET)
    fcntl.fcntl(descriptor, _F_ADD_SEALS, _SEALS)
    return descriptor


def _write_all(descriptor: int, text: bytes) -> None:
    while text:
        text = text[os.write(descriptor, text) :]


class _Watch:
    """Reads the output of a test's process, and kills it at the first limit that the kernel does not enforce."""

    def __init__(self, pid: int, readings: list[int], limits: Mapping[str, Any], scratch: str) -> None:
        self._pid = pid
        self._limits = limits
        self._scratch = os.fsencode(scratch)
        self._texts = {reading: bytearray() for reading in readings}
        self._open = set(readings)
        self._status: int | None = None

    def __enter__(self) -> _Watch:
        return self

    def __exit__(self, *_: object) -> None:
        """Whatever happened here, the process does not live on."""
        self._end()

    def until(self, deadline: float) -> tuple[list[bytearray], str]:
        """The output on its three pipes, and how it ended."""
        outcome = ""
        while not outcome and self._status is None:
            left = deadline - time.monotonic()
            if left <= 0:
                outcome = "time"
                break
            self._read(min(_TICK_S if self._open else _MOMENT_S, left))
            outcome = self._excess() or self._crowd()
            if not self._open:  # it has ended, or closed them itself and lives on
                self._look_for_end()
        status = self._end()
        while self._open:
            self._read(0.0, last=True)
        return list(self._texts.values()), outcome or self._excess() or _ending(status)

    def _look_for_end(self) -> None:
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        if pid:
            self._status = status

    def _end(self) -> int:
        if self._status is None:
            os.kill(self._pid, signal.SIGKILL)
            _, self._status = os.waitpid(self._pid, 0)
        return self._status

    def _read(self, patience: float, *, last: bool = False) -> None:
        ready = select.select(list(self._open), [], [], patience)[0]
        for reading in ready:
            text = os.read(reading, 1 << 16)
            self._texts[reading] += text
            if not text:
                self._close(reading)
        for reading in self._open - set(ready) if last else ():
            self._close(reading)

    def _close(self, reading: int) -> None:
        self._open.discard(reading)
        os.close(reading)

    def _excess(self) -> str:
        if max(map(len, self._texts.values())) > self._limits["output"]:
            return "output"
        used = 0
        for files, entry in enumerate(os.scandir(self._scratch)):
            used += entry.stat(follow_symlinks=False).st_size
            if used > self._limits["disk"] or files > _MOST_FILES:
                return "disk"
        return ""

    def _crowd(self) -> str:
        threads = 0
        with suppress(OSError), open(f"/proc/{self._pid}/status") as file:  # noqa: PTH123
            threads = next((int(line.split()[1]) for line in file if line.startswith("Threads:")), 0)
        return "threads" if threads > self._limits["threads"] else ""


def _ending(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code == 0:
        return "ended"
    if code > 0:
        return "raised"
    return "time" if code == -signal.SIGXCPU else "crashed"


def _become(test: _Test, order: Mapping[str, Any], runner: int, stdin: int, writings: list[int]) -> NoReturn:
    """The child's whole life. ``writings``: for the report on its confinement, then its descriptors 1 to 3."""
    status = 1
    try:
        os.dup2(stdin, 0)
        for place, writing in enumerate(writings):
            os.dup2(writing, _ASIDE + place)
        for place in (1, 2, 3):
            os.dup2(_ASIDE + place, place)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), write_through=True)
        _confine(test, runner)
        os.closerange(4, 4096)
        _do(test.code, order, dict(test.names))
        status = 0
    except BaseException as error:  # noqa: BLE001 - whatever the code raises
        sys.stderr.write(_traceback(error))
    finally:
        with suppress(BaseException):
            sys.stdout.flush()
        os._exit(status)


def _confine(test: _Test, runner: int) -> None:
    """Confine this process, and report it; without that nothing is run."""
    try:
        confinement.confine(test.limits, test.ruleset, runner)
    except confinement.SandboxMissing as missing:
        os.write(_ASIDE, str(missing).encode())
        os._exit(1)
    os.write(_ASIDE, _CONFINED)


def _do(code: str, order: Mapping[str, Any], names: dict[str, Any]) -> None:
    """Run the code as a program, or call its function and write what it returns to descriptor 3."""
    name = order.get("fn_name")
    space = {**names, "__name__": "__main__" if not name else "solution", "__file__": _FOREIGN}
    with suppress(SystemExit):  # what was printed until then counts
        exec(compile(code, _FOREIGN, "exec"), space)  # noqa: S102 - this is what the sandbox is for
        if name:
            owner = space["Solution"]() if isinstance(space.get("Solution"), type) else None
            function = getattr(owner, name) if owner is not None else space[name]
            value = function(*[json.loads(line) for line in order["input"].split("\n")])
            _write_all(3, json.dumps(value, default=_plain).encode())
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()  # fast output is often written there


def _traceback(error: BaseException) -> str:
    """The traceback from where the submitted code begins."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename != _FOREIGN:
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames, limit=-10, chain=False))


def _plain(value: Any) -> Any:
    """What JSON has no name for: sets and other collections as lists, bytes as text."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return list(value) if hasattr(value, "__iter__") else repr(value)
