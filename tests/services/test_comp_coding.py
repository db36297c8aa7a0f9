"""Submitted programs: what passes, what does not, and that none gets out of its sandbox."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from harmful_programs import HARMFUL
from service_stack import environment, example_rows, open_stack, post, service

from gymctl.server import Reply
from gymctl.server.responses import message, response

pytestmark = [pytest.mark.enable_socket, pytest.mark.processes]  # the channels to the worker processes

FOLDER = service("resources_servers", "comp_coding")
SUM = "a, b = map(int, input().split())\nprint(a + b)"


def fenced(code: str) -> str:
    return f"Here it is:\n```python\n{code}\n```\nIt adds."


def row(text: str, *tests: tuple[str, str], fn_name: str | None = None) -> dict[str, Any]:
    inputs, outputs = zip(*(tests or (("1 2\n", "3\n"),)), strict=True)
    return {
        "responses_create_params": {"input": "Add."},
        "verifier_metadata": {"unit_tests": {"inputs": inputs, "outputs": outputs, "fn_name": fn_name}, "kept": 1},
        "response": response("m", [message(text)]),
    }


def verdicts(*rows: dict[str, Any], **settings: Any) -> list[Reply]:
    async def work() -> list[Reply]:
        own = {"num_processes": 2, "unit_test_timeout_secs": 2.0, **settings}
        async with open_stack(environment("comp_coding"), comp_coding=own) as servers:
            return await asyncio.gather(*(post(servers["comp_coding"], "/verify", each) for each in rows))

    return asyncio.run(work())


def verdict(code: str, *tests: tuple[str, str], fn_name: str | None = None, **settings: Any) -> dict[str, Any]:
    (reply,) = verdicts(row(fenced(code), *tests, fn_name=fn_name), **settings)
    assert reply.status == 200, reply.body
    return reply.json()


def test_every_harmful_program_ends_as_a_failed_test_and_the_server_goes_on() -> None:
    rows = [row(fenced(code)) for code, _, _ in HARMFUL.values()]
    began = time.monotonic()
    *replies, after = verdicts(*rows, row(fenced(SUM)), memory_limit_mb=512)
    assert time.monotonic() - began < 60
    for (name, (_, outcomes, says)), reply in zip(HARMFUL.items(), replies, strict=True):
        found = reply.json()
        assert reply.status == 200, (name, found)
        (test,) = found["unit_tests"]
        assert (found["reward"], test["passed"]) == (0.0, False), name
        assert test["outcome"] in outcomes, (name, found["metadata"])
        assert test["seconds"] < 4, name
        assert says in found["metadata"]["error"], (name, found["metadata"])
    assert after.json()["reward"] == 1.0
    assert not Path("/tmp/escaped").exists()


def test_each_test_has_a_result() -> None:
    tests = (("1 2\n", "3"), ("2 2\n", "5"), ("x\n", "0"), ("3 4\n", " 7.0 \n"))
    found = verdict(SUM, *tests, stop_at_first_failure=False)
    assert found["result"] == [True, -2, -4, True]
    assert [test["outcome"] for test in found["unit_tests"]] == ["passed", "wrong", "raised", "passed"]
    assert found["reward"] == 0.0
    wrong = found["metadata"]
    assert (wrong["test"], wrong["error_code"], wrong["error_message"]) == (1, -2, "Wrong Answer")
    assert (wrong["inputs"], wrong["output"], wrong["expected"]) == ("2 2\n", "4\n", "5")
    assert found["extracted_model_code"] == SUM
    assert found["verifier_metadata"]["kept"] == 1
    assert verdict(SUM, *tests)["result"] == [True, -2]  # and there it stops


@pytest.mark.parametrize(
    ("code", "given", "expected"),
    [
        ("import sys; print(sum(map(int, sys.stdin.buffer.read().split())))", "1 2\n3\n", "6"),
        ("print(sum(map(int, open(0).read().split())))", "1 2\n", "3"),
        ("if __name__ == '__main__': print(input()[::-1])", "abc\n", "cba"),
        ("import sys\nprint(3)\nsys.exit(1)", "", "3"),
        ("import os, atexit\natexit.register(lambda: os.write(1, b'late'))", "", "late"),
        ("import threading\nthreading.Thread(target=lambda: print('there')).start()", "", "there"),
        ("import sys, threading\nsys.setrecursionlimit(10**6)\nthreading.stack_size(2**27)\n"
         "def f(n): return 0 if n == 0 else 1 + f(n - 1)\n"
         "t = threading.Thread(target=lambda: print(f(90000)))\nt.start(); t.join()", "", "90000"),
        ("open('notes', 'w').write('kept'); print(open('notes').read())", "", "kept"),
        ("print(sorted({'b', 'a'}), gcd(4, 6), Counter('aa'))", "", "['a', 'b'] 2 Counter({'a': 2})"),
        ("print('é🙂', input())", "ß\n", "é🙂 ß"),
        ("print('1.50 2')", "", "1.5 2.0"),
        ("print('a\\nb\\n\\n')", "", "a  \n  b"),
    ],
)  # fmt: skip
def test_programs_that_pass(code: str, given: str, expected: str) -> None:
    found = verdict(code, (given, expected))
    assert found["reward"] == 1.0, found["metadata"]
    assert found["metadata"] == {}


@pytest.mark.parametrize(
    ("code", "tests", "reward"),
    [
        ("def add(a, b): return a + b", (("1\n2", "3"), ("[1]\n[2]", "[1, 2]")), 1.0),
        ("class Solution:\n    def add(self, a: int, b: List[int]) -> int:\n        return a + sum(b)",
         (("1\n[2, 3]", "6"),), 1.0),
        ("def add(a, b):\n    print('noise')\n    return (a, b)", (("1\n2", "[1, 2]"),), 1.0),
        ("def add(a, b): return {a: b}", (('"x"\n2', '{"x": 2}'),), 1.0),
        ("def add(a, b): return str(a + b)", (("1\n2", "3"),), 0.0),
        ("def other(a, b): return a + b", (("1\n2", "3"),), 0.0),
        ("def add(a): return a", (("1\n2", "3"),), 0.0),
        ("import os\ndef add(a, b):\n    os.write(3, b'3'); os._exit(0)", (("1\n2", "4"),), 0.0),
        ("import os\ndef add(a, b):\n    os.write(3, b'[' * 60000 + b']' * 60000); os._exit(0)",
         (("1\n2", "[3]"),), 0.0),
    ],
)  # fmt: skip
def test_functions(code: str, tests: tuple[tuple[str, str], ...], reward: float) -> None:
    assert verdict(code, *tests, fn_name="add")["reward"] == reward


@pytest.mark.parametrize("printed", ["sNaN", "NaN", "-sNaN123", "1e999999999999999999999", "Infinity"])
def test_what_is_printed_and_cannot_be_compared_is_wrong(printed: str) -> None:
    found = verdict(f"print({printed!r})", ("", "3"))
    assert (found["reward"], found["unit_tests"][0]["outcome"]) == (0.0, "wrong")


def test_a_tests_scratch_folder_is_empty_and_its_environment_bare() -> None:
    code = "import os\nprint(os.listdir('.'), sorted(os.environ.items()))\nprint(os.getcwd())\nopen('x', 'w')"
    os.environ["POLICY_API_KEY"] = "sk-planted"
    try:
        found = verdict(code, ("", "?"), ("", "?"), stop_at_first_failure=False, debug=True)
    finally:
        del os.environ["POLICY_API_KEY"]
    for test in found["unit_tests"]:
        assert test["stdout"].startswith("[] ")
        assert "sk-planted" not in test["stdout"]
        scratch = test["stdout"].splitlines()[-1]
        assert Path(scratch).name.startswith("solution-")
        assert not Path(scratch).exists()


def test_expected_outputs_are_nowhere_in_the_programs_process() -> None:
    expected = "an answer that nobody guesses"
    code = (
        "import gc, hashlib, sys\n"
        "frame, waiting, texts = sys._getframe(), gc.get_objects(), set()\n"
        "while frame: waiting += frame.f_locals.values(); frame = frame.f_back\n"
        "for one in waiting:\n"
        "  for each in gc.get_referents(one):\n"
        "    if type(each) is str: texts.add(each)\n"
        f"digests = {{hashlib.sha256(each.strip().encode('utf-8', 'replace')).hexdigest() for each in texts}}\n"
        f"print(len(digests) > 1000, {hashlib.sha256(expected.encode()).hexdigest()!r} in digests,"
        f" {hashlib.sha256(b'the input').hexdigest()!r} in digests)"
    )
    found = verdict(code, ("the input\n", expected), debug=True)
    assert found["unit_tests"][0]["stdout"].split() == ["True", "False", "True"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("```\na\n```", "a"),
        ("```python\na\n```\n```py\nb\nc\n```", "b\nc"),
        ("no fence", ""),
        ("```python\nnever closed", ""),
        ("", ""),
    ],
)
def test_the_last_fenced_block_is_the_code(text: str, code: str) -> None:
    (reply,) = verdicts(row(text))
    assert (reply.json()["extracted_model_code"] or "") == code
    assert reply.json()["reward"] == 0.0


def test_think_tags_in_the_answer() -> None:
    text = "<think>hm</think>\n" + fenced(SUM)
    (plain,) = verdicts(row(text))
    (punished,) = verdicts(row(text), reasoning_format_penalty=-0.2)
    assert (plain.json()["reward"], plain.json()["reasoning_format_violation_rate"]) == (1.0, 1.0)
    assert punished.json()["reward"] == -0.2


def test_rows_that_cannot_be_tested_are_refused() -> None:
    without = {key: value for key, value in row(fenced(SUM)).items() if key != "verifier_metadata"}
    uneven = row(fenced(SUM))
    uneven["verifier_metadata"]["unit_tests"]["outputs"] = []
    assert [reply.status for reply in verdicts(without, uneven)] == [422, 422]


def test_the_rows_of_the_example() -> None:
    solutions = [
        "print(sum(map(int, input().split())))",
        "n = int(input()); a = list(map(int, input().split())); best = now = 1\n"
        "for x, y in zip(a, a[1:]): now = now + 1 if y > x else 1; best = max(best, now)\nprint(best)",
        "def second_largest(numbers):\n    rest = sorted(set(numbers))\n    return rest[-2] if len(rest) > 1 else None",
        "class Solution:\n    def merge(self, intervals):\n        done = []\n        for a, b in sorted(intervals):\n"
        "            if done and a <= done[-1][1]: done[-1][1] = max(done[-1][1], b)\n"
        "            else: done.append([a, b])\n        return done",
        "n = int(input()); s = bytearray([1]) * (n + 1)\nfor p in range(2, int(n ** .5) + 1):\n"
        "    if s[p]: s[p * p :: p] = bytes(len(range(p * p, n + 1, p)))\nprint(sum(s[2:]))",
    ]
    rows = [{**each, "response": response("m", [message(fenced(code))])} for each, code in
            zip(example_rows("comp_coding"), solutions, strict=True)]  # fmt: skip
    replies = [reply.json() for reply in verdicts(*rows)]
    assert [reply["reward"] for reply in replies] == [1.0] * 5, [reply["metadata"] for reply in replies]
    assert {reply["difficulty"] for reply in replies} == {"easy", "medium"}


def test_without_what_confines_it_nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    import solution_tests

    sources = {name: (FOLDER / f"{name}.py").read_text() for name in ("solution_confinement", "solution_runner")}
    sources["solution_confinement"] += "\ndef landlock_version(): return 0\n"
    limits = {"seconds": 2.0, "memory": 1 << 29, "disk": 1 << 20, "output": 1 << 20, "threads": 8, "debug": False}
    with pytest.raises(solution_tests.SandboxFailed, match="no Landlock"):
        solution_tests.tested(SUM, [("1 2", "3")], None, {**limits, "stop_early": True}, sources)
    sys.modules.pop("solution_tests")
