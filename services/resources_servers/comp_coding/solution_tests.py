"""Tests of submitted code: run in the sandbox, compared here. Runs in a worker process or on a node of a Ray cluster.

LiveCodeBench's rules: printed lines are compared without the space around them, and number by number where they differ;
returned values are compared as JSON, tuples as lists.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from solution_sandbox import Sandbox, SandboxFailed

# Upstream's numbers of what went wrong (lcb_integration/testing_util.py)
CODES = {"passed": 1, "wrong": -2, "time": -3}
_RUNTIME_ERROR = -4
_CUT = 300


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
    with Sandbox(code, limits, sources) as sandbox:
        for stdin, expected in tests:
            result = _result(sandbox, stdin, fn_name)
            if result["outcome"] == "ended":
                if fn_name:
                    right = same_value(result["value"], expected)
                else:
                    right = same_lines(result["stdout"], expected)
                if right:
                    result["outcome"] = "passed"
                else:
                    result["outcome"] = "wrong"
            result["value"] = shortened(result["value"])
            if not limits["debug"]:
                result["stdout"] = shortened(result["stdout"])
                result["stderr"] = result["stderr"][-_CUT:]
            results.append(result)
            if limits["stop_early"] and result["outcome"] != "passed":
                break
    return results


def _result(sandbox: Sandbox, stdin: str, fn_name: str | None) -> dict[str, Any]:
    """One test. What ends the sandbox twice, while other code runs in it, is the submitted code's own failure.

    Raises:
        SandboxFailed: nothing runs in it.
    """
    for _ in range(2):
        try:
            return sandbox.run(stdin, fn_name)
        except SandboxFailed as failure:
            problem = str(failure)
            sandbox.start()
    with Sandbox("", sandbox.limits, sandbox.sources) as other:
        other.run("", None)
    return {"outcome": "crashed", "seconds": sandbox.limits["seconds"], "stdout": "", "stderr": problem, "value": ""}


def same_lines(printed: str, expected: str) -> bool:
    """Whether two texts have the same lines: as text, else as numbers."""
    one = _stripped_lines(printed)
    other = _stripped_lines(expected)
    if len(one) != len(other):
        return False
    return all(a == b or _same_numbers(a, b) for a, b in zip(one, other, strict=True))


def _stripped_lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().split("\n")]


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
    if len(text) <= _CUT:
        return text
    return f"{text[: _CUT // 2]}...(shortened)...{text[-_CUT // 2 :]}"
