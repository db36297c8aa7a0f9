"""Tests of submitted code: run in the sandbox, compared here. Runs in a worker process or on a node of a Ray cluster.

LiveCodeBench's rules: printed lines are compared without the space around them, and number by number where they differ;
returned values are compared as JSON, tuples as lists.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import IO, Any, cast

# Their sources come with the job: first this much code, then JSON for every test.
_BOOT = """
import json, sys, types
job = json.loads(sys.stdin.buffer.readline())
for name, text in job.pop("sources").items():
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(text, name + ".py", "exec"), module.__dict__)
sys.modules["solution_runner"].main(job)
"""
_OWN_USERS, _USERS = 1_900_000_000, 100_000_000  # ids that nobody has; a process's own number makes them different
# Upstream's numbers of what went wrong (lcb_integration/testing_util.py)
CODES = {"passed": 1, "wrong": -2, "time": -3}
_RUNTIME_ERROR = -4
_CUT = 300


class SandboxFailed(Exception):  # noqa: N818 - a fact about a check
    """The sandbox could not be set up: nothing is known about the code."""


def tested(
    code: str, tests: Sequence[tuple[str, str]], fn_name: str | None, limits: Mapping[str, Any],
    sources: Mapping[str, str],
) -> list[dict[str, Any]]:  # fmt: skip
    """``{"outcome", "seconds", "stdout", "stderr", "value"}`` for each ``(input, expected output)``, in order.

    The outcome is ``passed``, ``wrong``, ``time``, ``raised``, ``crashed``, ``output``, ``disk`` or ``threads``. With
    ``limits["stop_early"]`` the first that has not passed is the last; texts are whole with ``limits["debug"]``.

    Raises:
        SandboxFailed: the code was not run, as nothing would have kept it in.
    """
    results = []
    with _Sandbox(code, limits, sources) as sandbox:
        for given, expected in tests:
            result = sandbox.run(given, fn_name)
            if result["outcome"] == "ended":
                right = same_value(result["value"], expected) if fn_name else same_lines(result["stdout"], expected)
                result["outcome"] = "passed" if right else "wrong"
            result["value"] = shortened(result["value"])
            if not limits["debug"]:
                result["stdout"], result["stderr"] = shortened(result["stdout"]), result["stderr"][-_CUT:]
            results.append(result)
            if limits["stop_early"] and result["outcome"] != "passed":
                break
    return results


class _Sandbox:
    """The process that runs tests, and its folder."""

    def __init__(self, code: str, limits: Mapping[str, Any], sources: Mapping[str, str]) -> None:
        self._scratch = tempfile.mkdtemp(prefix="solution-")
        uid = _own_user()
        if uid is not None:
            os.chown(self._scratch, uid, uid)
        job = {
            "code": code, "limits": {**limits, "own_user": uid is not None}, "scratch": self._scratch, "uid": uid,
            "sources": dict(sources),
        }  # fmt: skip
        self._process = subprocess.Popen(  # noqa: S603 - Python itself, with a text of our own
            [sys.executable, "-P", "-s", "-B", "-c", _BOOT],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self._scratch,
            env=_environment(self._scratch),
        )  # fmt: skip
        self._orders, self._answers = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)
        self._send(job)

    def __enter__(self) -> _Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        with suppress(ValueError, BrokenPipeError):
            self._process.communicate()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def run(self, given: str, fn_name: str | None) -> dict[str, Any]:
        self._send({"input": given, "fn_name": fn_name})
        answer = self._answers.readline()
        if not answer.endswith(b"\n"):
            _, told = self._process.communicate()
            raise SandboxFailed(f"the sandbox ended: {told.decode('utf-8', 'replace').strip()[-500:]}")
        result: dict[str, Any] = json.loads(answer)
        if result["outcome"] == "no sandbox":
            raise SandboxFailed(result["stderr"])
        return result

    def _send(self, message: Mapping[str, Any]) -> None:
        with suppress(BrokenPipeError):  # the answer that is missing says why
            self._orders.write(json.dumps(message).encode() + b"\n")
            self._orders.flush()


def _environment(scratch: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "PATH") if name in os.environ}
    own = {"HOME": scratch, "TMPDIR": scratch, "LANG": "C.UTF-8", "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"}
    return {**kept, **own}


def _own_user() -> int | None:
    """An id that no other process has, when this one may take it and would still find Python's files."""
    if os.geteuid() != 0:
        return None
    folders = [folder for path in (os.__file__, sys.executable) for folder in Path(path).resolve().parents]
    if any(not folder.stat().st_mode & 0o001 for folder in folders):
        return None
    try:
        with open("/proc/self/uid_map") as file:  # noqa: PTH123
            most = max(int(start) + int(count) for start, _, count in (line.split() for line in file))
    except OSError:
        return None
    uid = _OWN_USERS + os.getpid() % _USERS
    return uid if uid < most else None


def same_lines(printed: str, expected: str) -> bool:
    """Whether two texts have the same lines: as text, else as numbers."""
    one, other = ([line.strip() for line in text.strip().split("\n")] for text in (printed, expected))
    return len(one) == len(other) and all(a == b or _same_numbers(a, b) for a, b in zip(one, other, strict=True))


def _same_numbers(one: str, other: str) -> bool:
    try:
        a, b = ([Decimal(word) for word in line.split()] for line in (one, other))
        return a == b
    except InvalidOperation:  # no number, or one that must not be compared: sNaN
        return False


def same_value(returned: str, expected: str) -> bool:
    """Whether a returned value, as JSON, is the expected one."""
    try:
        return bool(json.loads(returned) == json.loads(expected))
    except (ValueError, RecursionError):  # no JSON, or lists in lists without end
        return False


def code_of(result: Mapping[str, Any]) -> int:
    """A result as upstream's number."""
    return CODES.get(result["outcome"], _RUNTIME_ERROR)


def shortened(text: str) -> str:
    """A text of at most 300 characters, its middle left out."""
    return text if len(text) <= _CUT else f"{text[: _CUT // 2]}...(shortened)...{text[-_CUT // 2 :]}"
