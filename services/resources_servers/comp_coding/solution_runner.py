"""Runs submitted code, one process a test, and tells what it printed or returned. This part is ours; the code is not.

It is started with nothing in its memory or its environment but Python, gets a line of JSON for every test and answers
with one. It never sees an expected output, and so cannot give one away. Standard library only, as it is sent by value.
"""

from __future__ import annotations

import atexit
import base64
import io
import json
import os
import select
import signal
import sys
import threading
import time
import traceback
from contextlib import suppress
from typing import Any, NoReturn

import solution_confinement as confinement

_TICK_S = 0.01
_MOMENT_S = 0.001  # between the close of a process's last pipe and its end there is hardly any time
_MOST_STDERR = 4000
_FOREIGN = "<submitted>"
_ASIDE = 200  # descriptors from here on are free
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
    limits, scratch = job["limits"], job["scratch"]
    orders, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    confinement.drop_identity(job["uid"])
    os.chdir(scratch)
    sys.setrecursionlimit(50_000)
    prepared: dict[str, Any] = {}
    exec(_PRELUDE, prepared)  # noqa: S102 - once for all tests
    for line in orders:
        answer = _run(job["code"], json.loads(line), limits, scratch, prepared)
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()
        for entry in os.scandir(scratch):
            os.unlink(entry.path)  # noqa: PTH108


def _run(code: str, test: dict[str, Any], limits: dict[str, Any], scratch: str, prepared: dict[str, Any]) -> Any:
    """One test: ``{"outcome", "seconds", "stdout", "value", "stderr"}``, texts cut where a limit was reached."""
    began = time.monotonic()
    given = os.memfd_create("stdin")
    if not test.get("fn_name"):
        _write_all(given, test["input"].encode())
    os.lseek(given, 0, os.SEEK_SET)
    pipes = [os.pipe() for _ in range(3)]
    pid = os.fork()
    if pid == 0:
        _become(code, test, limits, scratch, prepared, given, [writing for _, writing in pipes])
    for descriptor in (given, *(writing for _, writing in pipes)):
        os.close(descriptor)
    texts, verdict = _Watch(pid, [reading for reading, _ in pipes], limits, scratch).until(began + limits["seconds"])
    stdout, stderr, value = (bytes(text) for text in texts)
    return {
        "outcome": verdict,
        "seconds": round(time.monotonic() - began, 4),
        "stdout": stdout.decode("utf-8", "replace"),
        "stderr": stderr[-_MOST_STDERR:].decode("utf-8", "replace"),
        "value": value.decode("utf-8", "replace"),
    }


def _write_all(descriptor: int, text: bytes) -> None:
    while text:
        text = text[os.write(descriptor, text) :]


class _Watch:
    """Reads what a test's process says, and kills it at the first limit that the kernel does not keep by itself."""

    def __init__(self, pid: int, readings: list[int], limits: dict[str, Any], scratch: str) -> None:
        self._pid, self._limits, self._scratch = pid, limits, scratch
        self._texts = {reading: bytearray() for reading in readings}
        self._open = set(readings)

    def until(self, deadline: float) -> tuple[list[bytearray], str]:
        """All it said on its three pipes, and how it ended."""
        verdict, ended, status = "", 0, 0
        while not verdict and not ended:
            left = deadline - time.monotonic()
            if left <= 0:
                verdict = "time"
                break
            self._read(min(_TICK_S if self._open else _MOMENT_S, left))
            verdict = self._excess()
            if not self._open:  # it has ended, or closed them itself and goes on
                ended, status = os.waitpid(self._pid, os.WNOHANG)
        if not ended:
            os.kill(self._pid, signal.SIGKILL)
            _, status = os.waitpid(self._pid, 0)
        while self._open:
            self._read(0.0, last=True)
        return list(self._texts.values()), verdict or _ending(status)

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
            with suppress(FileNotFoundError):
                used += entry.stat(follow_symlinks=False).st_size
            if used > self._limits["disk"] or files > 1000:
                return "disk"
        with suppress(OSError), open(f"/proc/{self._pid}/status") as file:  # noqa: PTH123
            threads = next((line.split()[1] for line in file if line.startswith("Threads:")), "0")
            if int(threads) > self._limits["threads"]:
                return "threads"
        return ""


def _ending(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return {0: "ended", 3: "no sandbox"}.get(code, "raised")
    return "time" if code == -signal.SIGXCPU else "crashed"


def _become(
    code: str, test: dict[str, Any], limits: dict[str, Any], scratch: str, prepared: dict[str, Any],
    given: int, writings: list[int],
) -> NoReturn:  # fmt: skip
    """The child's whole life."""
    status = 1
    try:
        os.dup2(given, 0)
        for place, writing in enumerate(writings, 1):
            os.dup2(writing, place + _ASIDE)
        for place in (1, 2, 3):
            os.dup2(place + _ASIDE, place)
        os.closerange(4, 4096)
        sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), write_through=True)
        try:
            confinement.confine(limits, scratch)
        except confinement.SandboxMissing as missing:
            os.write(2, str(missing).encode())
            os._exit(3)
        _do(code, test, prepared)
        status = 0
    except BaseException as error:  # noqa: BLE001 - whatever the code raises
        sys.stderr.write(_told(error))
    finally:
        with suppress(BaseException):
            sys.stdout.flush()
        os._exit(status)


def _do(code: str, test: dict[str, Any], prepared: dict[str, Any]) -> None:
    """Run the code as a program, or call its function and write what it returns to descriptor 3."""
    name = test.get("fn_name")
    space = {**prepared, "__name__": "__main__" if not name else "solution", "__file__": _FOREIGN}
    with suppress(SystemExit):  # what was printed until then counts
        exec(compile(code, _FOREIGN, "exec"), space)  # noqa: S102 - this is what the sandbox is for
        if name:
            owner = space["Solution"]() if isinstance(space.get("Solution"), type) else None
            function = getattr(owner, name) if owner is not None else space[name]
            value = function(*[json.loads(line) for line in test["input"].split("\n")])
            _write_all(3, json.dumps(value, default=_plain).encode())
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()  # fast output is often written there


def _told(error: BaseException) -> str:
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
