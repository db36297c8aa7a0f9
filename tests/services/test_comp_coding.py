"""Submitted programs: what passes, what does not, and that none gets out of its sandbox."""

from __future__ import annotations

import asyncio
import ctypes
import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from harmful_programs import HARMFUL
from service_stack import environment, example_rows, open_stack, post, service

from gymctl.errors import InputError
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
    body: dict[str, Any] = reply.json()
    return body


def test_every_harmful_program_ends_as_a_failed_test_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: what is left behind becomes a child of this
    before = children(os.getpid())
    codes = [code for code, _, _ in HARMFUL.values()]
    replies = verdicts(*(row(fenced(code)) for code in (*codes, SUM)), memory_limit_mb=512)
    assert children(os.getpid()) <= before
    assert list(tmp_path.iterdir()) == []
    assert [reply.status for reply in replies] == [200] * (len(HARMFUL) + 1)
    *outcomes, after = (reply.json() for reply in replies)
    assert len(outcomes) >= 60
    for name, verdict in zip(HARMFUL, outcomes, strict=True):
        check_harmful(name, verdict["reward"], verdict["unit_tests"], verdict["metadata"]["error"])
    assert after["reward"] == 1.0
    assert not Path("/tmp/escaped").exists()


def check_harmful(name: str, reward: float, tests: list[dict[str, Any]], error: str) -> None:
    """A harmful program's verdict is a failed test, for the reason that it is to have, within its limits."""
    (test,) = tests
    _, outcomes, message = HARMFUL[name]
    assert (reward, test["passed"]) == (0.0, False), name
    assert test["outcome"] in outcomes, (name, test, error)
    assert message in error, (name, error)
    assert test["seconds"] < 4, name


def children(parent: int) -> set[int]:
    tasks = Path(f"/proc/{parent}/task").iterdir()
    found: set[int] = set()
    for task in tasks:
        with suppress(FileNotFoundError):  # the thread has ended
            found |= {int(pid) for pid in (task / "children").read_text().split()}
    return found


PROGRAM_OF_A_USER = """
import json, sys
from pathlib import Path
folder = Path(sys.argv[1]); sys.path.insert(0, sys.argv[1])
import solution_tests
sources = {"solution_confinement": (folder / "solution_confinement.py").read_text() + sys.argv[2]}
limits = json.loads(sys.argv[3])
for code in json.load(sys.stdin):
    print(json.dumps(solution_tests.tested(code, [("1 2\\n", "3\\n")], None, limits, sources)[0]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests run as an ordinary user")
@pytest.mark.parametrize(
    "kernel", ["", "\ndef landlock_version(): return 1\n"], ids=["this one", "Linux 5.13's Landlock"]
)
def test_harmful_programs_of_an_ordinary_user(kernel: str) -> None:
    """The server's own user, from whom a program does not differ: its files are protected by the sandbox alone."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        folder, scratch = Path(place, "comp_coding"), Path(place, "scratch")
        shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
        scratch.mkdir()
        for path in (Path(place), folder):
            path.chmod(0o755)
        os.chown(scratch, 12345, 12345)
        codes = [code for code, _, _ in HARMFUL.values()]
        done = subprocess.run(
            ["/usr/bin/python3", "-c", PROGRAM_OF_A_USER, folder, kernel, json.dumps({**LIMITS, "seconds": 1.0})],
            input=json.dumps([*codes, SUM]), capture_output=True, text=True, check=False, user=12345, group=12345,
            extra_groups=[], env={"PATH": os.environ["PATH"], "TMPDIR": str(scratch)}, cwd="/",
        )  # fmt: skip
        assert list(scratch.iterdir()) == []
    assert done.returncode == 0, done.stderr
    *results, after = map(json.loads, done.stdout.splitlines())
    for name, result in zip(HARMFUL, results, strict=True):
        test = {**result, "passed": result["outcome"] == "passed"}
        check_harmful(name, float(test["passed"]), [test], result["stderr"].strip().rpartition("\n")[2])
    assert after["outcome"] == "passed"


def test_each_test_has_a_result() -> None:
    tests = (("1 2\n", "3"), ("2 2\n", "5"), ("x\n", "0"), ("3 4\n", " 7.0 \n"))
    reply = verdict(SUM, *tests, stop_at_first_failure=False)
    assert reply["result"] == [True, -2, -4, True]
    assert [test["outcome"] for test in reply["unit_tests"]] == ["passed", "wrong", "raised", "passed"]
    assert reply["reward"] == 0.0
    wrong = reply["metadata"]
    assert (wrong["test"], wrong["error_code"], wrong["error_message"]) == (1, -2, "Wrong Answer")
    assert (wrong["inputs"], wrong["output"], wrong["expected"]) == ("2 2\n", "4\n", "5")
    assert reply["extracted_model_code"] == SUM
    assert reply["verifier_metadata"]["kept"] == 1
    assert verdict(SUM, *tests)["result"] == [True, -2]  # and there it stops


@pytest.mark.parametrize(
    ("code", "stdin", "expected"),
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
        ("import os, sys; sys.stderr = open(os.devnull, 'w'); print(3, file=sys.stderr); print(3)", "", "3"),
        ("import sqlite3, ssl, zoneinfo, asyncio; asyncio.run(asyncio.sleep(0)); print(3); exit()", "", "3"),
        ("print(sorted({'b', 'a'}), gcd(4, 6), Counter('aa'))", "", "['a', 'b'] 2 Counter({'a': 2})"),
        ("print('é🙂', input())", "ß\n", "é🙂 ß"),
        ("print('1.50 2')", "", "1.5 2.0"),
        ("print('a\\nb\\n\\n')", "", "a  \n  b"),
    ],
)  # fmt: skip
def test_programs_that_pass(code: str, stdin: str, expected: str) -> None:
    reply = verdict(code, (stdin, expected))
    assert reply["reward"] == 1.0, reply["metadata"]
    assert reply["metadata"] == {}


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
    reply = verdict(f"print({printed!r})", ("", "3"))
    assert (reply["reward"], reply["unit_tests"][0]["outcome"]) == (0.0, "wrong")


def test_a_tests_scratch_folder_is_empty_and_its_environment_bare() -> None:
    code = "import os\nprint(os.listdir('.'), sorted(os.environ.items()))\nprint(os.getcwd())\nopen('x', 'w')"
    os.environ["POLICY_API_KEY"] = "sk-planted"
    try:
        reply = verdict(code, ("", "?"), ("", "?"), stop_at_first_failure=False, debug=True)
    finally:
        del os.environ["POLICY_API_KEY"]
    for test in reply["unit_tests"]:
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
    reply = verdict(code, ("the input\n", expected), debug=True)
    assert reply["unit_tests"][0]["stdout"].split() == ["True", "False", "True"]


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
    (tested,) = verdicts(row(text), reasoning_format_penalty=None)
    punished, without_code = verdicts(row(text), row("<think>hm</think>"), reasoning_format_penalty=-0.2)
    assert (plain.json()["reward"], plain.json()["reasoning_format_violation_rate"]) == (0.0, 1.0)  # as NeMo Gym
    assert tested.json()["reward"] == 1.0
    assert (punished.json()["reward"], without_code.json()["reward"]) == (-0.2, 0.0)


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


LIMITS = {
    "seconds": 2.0, "memory": 1 << 29, "disk": 16 << 20, "output": 4 << 20, "threads": 64, "debug": True,
    "stop_early": True,
}  # fmt: skip


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """``sandbox(code, further text of the confinement, further text of the runner, limits)``: the test's result."""
    monkeypatch.syspath_prepend(str(FOLDER))
    import solution_tests

    def run(code: str, confinement: str = "", runner: str = "", **limits: Any) -> dict[str, Any]:
        text = {
            "solution_confinement": (FOLDER / "solution_confinement.py").read_text() + confinement,
            "solution_runner": (FOLDER / "solution_runner.py").read_text() + runner,
        }
        results: list[dict[str, Any]] = solution_tests.tested(code, [("1 2", "3")], None, {**LIMITS, **limits}, text)
        return results[0]

    yield run
    for name in ("solution_tests", "solution_sandbox"):
        sys.modules.pop(name)


@pytest.mark.parametrize(
    ("confinement", "reason"),
    [
        ("def landlock_version(): return 0", "does not support Landlock"),
        ("MACHINES = {}", "the system call filter does not support"),
        ("def refuse_system_calls(): raise SandboxMissing('not here')", "not here"),
        ("def confine(*_): os._exit(0)", "ended before it was confined"),
        ("def drop_identity(*_, **__): raise SandboxMissing('cannot switch')", "cannot switch"),
    ],
)
def test_without_what_confines_it_nothing_is_run(
    sandbox: Callable[..., Any], confinement: str, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(Exception, match=reason) as caught:
        sandbox(SUM, f"\n{confinement}\n")
    assert type(caught.value).__name__ == "SandboxFailed"


def test_what_ends_the_sandbox_with_one_program_alone_is_that_programs_failure(sandbox: Callable[..., Any]) -> None:
    dying = "\nclass _Test(_Test):\n    def run(self, order):\n        if 'die' in self.code: os._exit(1)\n"
    dying += "        return super().run(order)\n"
    assert sandbox("die", runner=dying)["outcome"] == "crashed"
    assert sandbox(SUM, runner=dying)["outcome"] == "passed"


def test_code_is_never_run_as_root(sandbox: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    import solution_sandbox

    assert sandbox("import os; print(0 in os.getresuid() + os.getresgid())", debug=True)["stdout"] == "False\n"
    if os.geteuid() == 0:
        monkeypatch.setattr(solution_sandbox, "_OWN_USERS", ((5_000_000_000, 1),))
        with pytest.raises(solution_sandbox.SandboxFailed, match="not run as root"):
            sandbox(SUM)


def test_packages_that_are_allowed_can_be_imported_and_no_others(sandbox: Callable[..., Any]) -> None:
    code = (
        "import pluggy, os\n"
        "print(pluggy.__name__)\n"
        "folder = os.path.dirname(os.path.dirname(pluggy.__file__))\n"
        "print(open(os.path.join(folder, 'orjson', '__init__.py')).read())"
    )
    result = sandbox(code, packages=["pluggy"])
    assert result["stdout"] == "pluggy\n"
    assert "Permission denied" in result["stderr"]
    assert "Permission denied" in sandbox("import orjson", packages=["pluggy"])["stderr"]
    assert "ModuleNotFoundError" in sandbox("import pluggy")["stderr"]


def test_a_package_that_is_not_there_is_refused_at_the_start() -> None:
    with pytest.raises(InputError, match="'no-such-package' of allowed_packages is not installed"):
        verdicts(row(fenced(SUM)), allowed_packages=["no-such-package"])


def test_folders_of_killed_processes_are_removed_and_those_of_others_are_not(
    sandbox: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import solution_sandbox

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("solution-left", "solution-used", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    (tmp_path / "solution-left").chmod(0)
    (tmp_path / "solution-link").symlink_to(tmp_path / "other")
    held = solution_sandbox._hold(str(tmp_path / "solution-used"))
    solution_sandbox.sweep()
    os.close(held)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "solution-link", "solution-used"]
    assert (tmp_path / "other" / "file").exists()


class Filter:
    """The filter of one kind of machine, run as the kernel would."""

    def __init__(self, machine: str) -> None:
        calls = __import__("solution_system_calls")
        self.audit = calls.MACHINES[machine].audit
        self.steps = calls.filter_steps(machine)

    def __call__(self, number: int, *arguments: int) -> int | None:
        """The error that a system call ends with; None when it is let through."""
        data = struct.pack("IIQ6Q", number, self.audit, 0, *(*arguments, *[0] * 6)[:6])
        place = value = 0
        while True:
            operation, if_so, if_not, operand = self.steps[place]
            place += 1
            if operation == 0x20:
                (value,) = struct.unpack_from("I", data, operand)
            elif operation == 0x54:
                value &= operand
            elif operation == 0x06:
                return None if operand == 0x7FFF0000 else operand & 0xFFFF
            else:
                holds = {0x15: value == operand, 0x25: value > operand, 0x45: bool(value & operand)}[operation]
                place += if_so if holds else if_not


@pytest.mark.parametrize(
    ("machine", "openat", "fcntl", "ioctl", "kill", "clone", "execve", "ptrace", "read"),
    [("x86_64", 257, 72, 16, 62, 56, 59, 101, 0), ("aarch64", 56, 25, 29, 129, 220, 221, 117, 63)],
)
def test_the_filter_of_system_calls(
    monkeypatch: pytest.MonkeyPatch, machine: str, openat: int, fcntl: int, ioctl: int, kill: int, clone: int,
    execve: int, ptrace: int, read: int,
) -> None:  # fmt: skip
    monkeypatch.syspath_prepend(str(FOLDER))
    answer = Filter(machine)
    own = os.getpid()
    assert [answer(read, 0), answer(kill, own, 9), answer(clone, 0x10000), answer(fcntl, 0, 3)] == [None] * 4
    assert [answer(kill, number, 9) for number in (1, 0, -1 & 0xFFFFFFFFFFFFFFFF)] == [1] * 3
    assert [answer(execve), answer(ptrace), answer(clone, 17), answer(fcntl, 0, 1024)] == [1] * 4
    assert [answer(435), answer(437), answer(450), answer(0x40000000 + read)] == [38] * 4  # clone3, openat2, x32
    assert [answer(ioctl, 0, request) for request in (0x5401, 0x5412, 0x40086602)] == [None, 1, 1]
    create, truncate, append = 0o100, 0o1000, 0o2000
    flags = (0, 1 | create | truncate, 2 | append, truncate, 3, 3 | truncate, 1 | 0o4010000, 0o10000000, 0x410000)
    assert [answer(openat, 0, 0, each) for each in flags] == [None, None, None, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("summary", [None, [], [None, "x", {"text": 3}, {}], "text"])
def test_reasoning_of_any_shape_has_a_verdict(summary: Any) -> None:
    reasoning = {"type": "reasoning", "summary": summary}
    answer = {**row(""), "response": response("m", [reasoning, message(fenced(SUM))])}
    (reply,) = verdicts(answer)
    assert reply.json()["reward"] == 1.0
