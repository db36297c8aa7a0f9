"""What is wrong is said in a line or two, with the right exit code; no traceback, nothing half-written."""

from __future__ import annotations

import json
import os
import re
import resource
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest
from cli_stack import EXAMPLE, GOOD, CommandResult, Gymctl, contents
from free_ports import free_port

pytestmark = pytest.mark.processes

GYMCTL = [sys.executable, "-m", "gymctl.cli.main"]

UNKNOWN_REFERENCE = GOOD.replace("name: weather}", "name: wether}")
SAME_PORT = GOOD.replace("entrypoint: app.py, domain", "entrypoint: app.py, port: 9000, domain").replace(
    "{entrypoint: app.py}", "{entrypoint: app.py, port: 9000}"
)
MISSPELT = GOOD.replace("      entrypoint: app.py\n", "      entrypiont: app.py\n")
X = "+policy_model.responses_api_models.scripted_model.x"

# what is in stack.yaml, the arguments, the exit code, what each line of the error says
CONFIGURATIONS = {
    "missing file": ("", ["render", "nope.yaml"], 2, ["nope.yaml: no such file"]),
    "missing folder": ("", ["up", "nope/"], 2, ["nope/: no such file"]),
    "no configuration": ("", ["render"], 2, ["no configuration was given; give one or more YAML files"]),
    "bad YAML": ("a: [1, 2\nb: }", ["render", "stack.yaml"], 2, [r"stack.yaml:2: is not valid YAML"]),
    "tab in YAML": ("a:\n\t- x", ["render", "stack.yaml"], 2, ["stack.yaml:2: .* indent with spaces"]),
    "a list": ("- a", ["render", "stack.yaml"], 2, ["stack.yaml:1: contains a sequence"]),
    "unknown reference": (UNKNOWN_REFERENCE, ["up", "stack.yaml"], 2, ["stack.yaml:11: .*did you mean 'weather'"]),
    "duplicate port": (SAME_PORT, ["up", "stack.yaml"], 2, ["weather: port 9000 is already used by policy_model"]),
    "misspelt key": (MISSPELT, ["render", "stack.yaml"], 2, ["rename entrypiont to entrypoint"]),
    "unset ???": (GOOD, ["render", "stack.yaml", f"{X}=???"], 2, [r"has no value \(\?\?\?\); set it: "]),
    "unresolved ${}": (GOOD, ["up", "stack.yaml", f"{X}=${{no.such}}"], 2, ["refers to no.such, which is not set"]),
    "unset variable": (
        GOOD,
        ["up", "stack.yaml", f"{X}=${{oc.env:GYMCTL_TEST_UNSET}}"],
        2,
        ["environment variable GYMCTL_TEST_UNSET, which is not set; export it"],
    ),
    "unknown server": (
        GOOD.replace("scripted_model:", "scriptd_model:"),
        ["up", "stack.yaml", "--engine", "local"],
        2,
        ["no responses_api_models/scriptd_model/app.py .*did you mean 'scripted_model'"],
    ),
    "unknown engine": (
        GOOD,
        ["up", "stack.yaml", "--engine", "foo"],
        2,
        ["'--engine': 'foo' is not one of 'compose', "],
    ),
    "unknown option": (GOOD, ["up", "stack.yaml", "--frob"], 2, ["no such option: --frob.*; see gymctl up --help"]),
    "unknown command": ("", ["frob"], 2, ["no such command 'frob'; see gymctl --help"]),
    "missing argument": ("", ["why-slow"], 2, ["missing argument .*; see gymctl why-slow --help"]),
    "a timeout that is no number": (GOOD, ["up", "stack.yaml", "--timeout", "x"], 2, ["invalid value for '--timeout'"]),
    "a timeout in the past": (GOOD, ["up", "stack.yaml", "--timeout", "-5"], 2, ["invalid value for '--timeout'"]),
    "a bad name": (GOOD, ["render", "stack.yaml", "--name", "A b"], 2, ["'A b' is not a valid stack name"]),
    "a bad name of a local stack": (
        GOOD,
        ["up", "stack.yaml", "--engine", "local", "--name", "Bad Name"],
        2,
        ["'Bad Name' is not a valid stack name; use lower-case letters"],
    ),
    "a bad slice": (
        GOOD,
        ["render", "stack.yaml", "--slice", "x"],
        2,
        ["'--slice': 'x' is not one of"],
    ),
    "folder of the output": (GOOD, ["render", "stack.yaml", "-o", "no/c.yaml"], 2, ["its directory does not exist"]),
    "status without a stack": ("", ["status"], 2, ["no stack was brought up from .*; start one with `gymctl up"]),
    "logs without a stack": ("", ["logs"], 2, ["no stack was brought up from"]),
    "down without a stack": ("", ["down"], 2, ["no stack was brought up from"]),
    "collect without a stack": (
        "",
        ["collect", "-i", "stack.yaml", "-o", "out.jsonl"],
        2,
        ["no stack was brought up from"],
    ),
    "times of nothing": ("", ["why-slow", "nope.jsonl"], 2, ["file not found: nope.jsonl"]),
}


def check(result: CommandResult, code: int, patterns: list[str]) -> None:
    assert result.code == code, result
    assert len(result.lines) == len(patterns), result.err
    for line, pattern in zip(result.lines, patterns, strict=True):
        assert line.startswith("error: "), result.err
        assert re.search(pattern, line), result.err
    assert result.out == ""


@pytest.mark.parametrize(("text", "arguments", "code", "patterns"), CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_what_is_wrong_before_anything_starts(
    gymctl: Gymctl, folder: Path, text: str, arguments: list[str], code: int, patterns: list[str]
) -> None:
    (folder / "stack.yaml").write_text(text)
    before = contents(folder)
    check(gymctl(*arguments), code, patterns)
    assert contents(folder) == before


def test_every_problem_has_a_line(gymctl: Gymctl, folder: Path) -> None:
    (folder / "stack.yaml").write_text(
        GOOD.replace("name: weather}", "name: a}").replace("name: policy_model}", "name: b}")
    )
    check(gymctl("render", "stack.yaml"), 2, ["stack.yaml:11: .*'a'", "stack.yaml:12: .*'b'"])


def test_compose_file_of_someone_else(gymctl: Gymctl, folder: Path) -> None:
    (folder / "stack.yaml").write_text(GOOD)
    (folder / "compose.yaml").write_text("services: {}\n")
    before = contents(folder)
    for arguments in (["up", "stack.yaml"], ["render", "stack.yaml", "-o", "compose.yaml"]):
        check(gymctl(*arguments), 2, ["compose.yaml was not written by gymctl .*; move it away"])
    assert contents(folder) == before


class Commands(Protocol):
    """Leaves only these commands on the PATH, each a shell script that answers whatever it is asked."""

    def __call__(self, **scripts: str) -> None: ...


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    def only(**scripts: str) -> None:
        for name, script in scripts.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
            (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))

    monkeypatch.delenv("DOCKER_HOST", raising=False)
    return only


DOCKER = {
    "no command": ({}, "", "the docker command does not work: command not found: 'docker'; install docker-ce-cli"),
    "no Compose": (
        {"docker": '[ "$1" = --version ]'},
        "",
        "the Compose plugin does not work: .*; install docker-compose",
    ),
    "no daemon": (
        {"docker": ""},
        "tcp://127.0.0.1:1",
        "no response from a Docker engine at tcp://127.0.0.1:1: Connection refused",
    ),
    "an address that is none": ({"docker": ""}, "foo", "no response from a Docker engine at foo: "),
}


@pytest.mark.parametrize(("scripts", "host", "pattern"), DOCKER.values(), ids=DOCKER)
def test_no_docker(
    gymctl: Gymctl,
    folder: Path,
    commands: Commands,
    monkeypatch: pytest.MonkeyPatch,
    scripts: dict[str, str],
    host: str,
    pattern: str,
) -> None:
    (folder / "stack.yaml").write_text(GOOD)
    commands(**scripts)
    if host:
        monkeypatch.setenv("DOCKER_HOST", host)
    result = gymctl("up", "stack.yaml")
    check(result, 1, [pattern])
    assert re.search(r"or run without Docker: gymctl up --engine local( \[[a-z-]+\])?\n$", result.err)
    assert list(contents(folder)) == ["stack.yaml"]


def test_no_socket_of_docker(folder: Path, commands: Commands) -> None:
    """As its own process: the tests' own guard takes no unix socket."""
    (folder / "stack.yaml").write_text(GOOD)
    commands(docker="")
    done = run("up", "stack.yaml", env={**os.environ, "DOCKER_HOST": "unix:///nonexistent"})
    assert done.returncode == 1
    assert done.stderr.startswith(
        "error: no Docker engine at unix:///nonexistent: the socket does not exist; install or"
    )
    assert done.stderr.count("\n") == 1
    assert list(contents(folder)) == ["stack.yaml"]


def run(
    *arguments: str,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    preexec_fn: Callable[[], None] | None = None,
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*GYMCTL, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=cwd,
        env=env,
        preexec_fn=preexec_fn,
    )


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs a folder that not even root may write")
def test_folder_that_may_not_be_written(gymctl: Gymctl, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "stack.yaml").write_text(GOOD)
    check(
        gymctl("render", "stack.yaml", "-o", "/sys/c.yaml"),
        1,
        ["/sys/c.yaml cannot be written: .*; nothing was changed"],
    )
    check(gymctl("quickstart", "-o", "/sys/q"), 2, ["/sys/q cannot be created: .*; choose another with --output"])
    monkeypatch.chdir("/sys")
    result = gymctl("up", folder / "stack.yaml", "--engine", "local", f"+head_server.port={free_port()}")
    check(result, 1, ["/sys/.gymctl cannot be written: .*; run gymctl in a writable directory"])


def test_disk_that_is_full(folder: Path) -> None:
    (folder / "stack.yaml").write_text(GOOD)

    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    done = run("render", "stack.yaml", "-o", "compose.yaml", preexec_fn=no_room)
    assert done.returncode == 1
    assert re.fullmatch(r"error: \S+compose.yaml cannot be written: File too large; nothing was changed\n", done.stderr)
    assert list(contents(folder)) == ["stack.yaml"]


def test_standard_output_that_is_full_or_closed(folder: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*GYMCTL, "config", "schema"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (1, "error: cannot write: No space left on device\n")

    process = subprocess.Popen([*GYMCTL, "config", "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()  # as `| head` does
    assert process.stderr.read() == b""
    assert process.wait() == 1


BROKEN_SERVERS = {
    "ends at once": ("raise SystemExit('no table')", 2, "app.py cannot be imported: SystemExit: no table"),
    "is no Python": ("def x(:", 2, r"app.py cannot be imported: .* \(line 1\)"),
    "needs a package": ("import no_such_package", 2, "No module named 'no_such_package'; install its dependencies"),
    "has no server": ("x = 1", 2, "must define one server class"),
    "raises": ("1 / 0", 2, "app.py cannot be imported: ZeroDivisionError: division by zero"),
    "fails when it starts": (
        "from gymctl.server import ResourcesServer, VerifyResponse\n"
        "class Mine(ResourcesServer):\n"
        "    async def startup(self): raise RuntimeError('no table')\n"
        "    async def verify(self, body): return VerifyResponse.of(body, reward=1.0)\n",
        1,
        r"weather could not start: RuntimeError: no table \(\S+app.py:3\)",
    ),
}


@pytest.mark.parametrize(("code", "exit_code", "pattern"), BROKEN_SERVERS.values(), ids=BROKEN_SERVERS)
def test_server_of_the_users_own_that_does_not_work(
    gymctl: Gymctl, folder: Path, code: str, exit_code: int, pattern: str
) -> None:
    (folder / "stack.yaml").write_text(GOOD.replace("example_single_tool_call", "mine"))
    app = folder / "resources_servers" / "mine" / "app.py"
    app.parent.mkdir(parents=True)
    app.write_text(code)
    result = gymctl("up", "stack.yaml", "--engine", "local", f"+head_server.port={free_port()}", "--name", "t")
    check(result, exit_code, [pattern])
    assert not (folder / ".gymctl").exists()


def test_server_that_never_gets_healthy(gymctl: Gymctl, folder: Path) -> None:
    (folder / "stack.yaml").write_text(GOOD.replace("example_single_tool_call", "mine"))
    app = folder / "resources_servers" / "mine" / "app.py"
    app.parent.mkdir(parents=True)
    app.write_text(
        BROKEN_SERVERS["fails when it starts"][0].replace(
            "raise RuntimeError('no table')", "import asyncio; await asyncio.sleep(60)"
        )
    )
    for seconds in ("1.5", "5", "30"):  # a busy machine may not have come to the server yet
        port = f"+head_server.port={free_port()}"
        result = gymctl("up", "stack.yaml", "--engine", "local", port, "--timeout", seconds)
        assert result.code == 1
        first, *rest = result.lines
        assert first == f"error: the servers did not start: not all of them responded within {seconds} s"
        if rest:
            break
    assert all(line.startswith("  | ") for line in rest)
    assert rest[-1].endswith("weather starts")
    assert not (folder / ".gymctl").exists()


def test_port_of_another_process(gymctl: Gymctl, folder: Path) -> None:
    (folder / "stack.yaml").write_text(GOOD)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = gymctl("up", "stack.yaml", "--engine", "local", f"+head_server.port={port}")
    check(
        result,
        1,
        [rf"port {port} on 127.0.0.1 is already in use \(needed by head_server\); stop the process"],
    )
    assert list(contents(folder)) == ["stack.yaml"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a local stack that runs."""
    place = tmp_path_factory.mktemp("stack")
    up = run("up", str(EXAMPLE), "--engine", "local", f"+head_server.port={free_port()}", cwd=place)
    assert up.returncode == 0, up.stderr
    yield place
    assert run("down", cwd=place).returncode == 0


ROWS = (EXAMPLE / "rows.jsonl").read_text().splitlines()
NO_AGENT = json.dumps({key: value for key, value in json.loads(ROWS[0]).items() if key != "agent_ref"})
OTHER_AGENT = json.dumps({**json.loads(ROWS[0]), "agent_ref": {"name": "nobody"}})
INPUT = ["--input", "rows.jsonl"]
BOTH = [*INPUT, "--output", "out.jsonl"]

# the rows, the arguments, what each line of the error says
COLLECTIONS = {
    "no input": (ROWS, [], ["no input file was given; add --input rows.jsonl"]),
    "no output": (ROWS, INPUT, ["no output file was given; add --output rollouts.jsonl"]),
    "missing input": (
        ROWS,
        ["-i", "row.jsonl", "-o", "out.jsonl"],
        ["file not found: row.jsonl; did you mean rows.jsonl?"],
    ),
    "an input that is a folder": (ROWS, ["-i", ".", "-o", "out.jsonl"], [". is a directory"]),
    "missing folder": (ROWS, [*INPUT, "-o", "no/out.jsonl"], ["the output directory no does not exist; create it"]),
    "an output that is a folder": (ROWS, [*INPUT, "-o", "."], ["is a directory; specify a file in it"]),
    "an output that is the input": (
        ROWS,
        [*INPUT, "-o", "rows.jsonl"],
        ["rows.jsonl would be overwritten by this run"],
    ),
    "no rows": ([], BOTH, ["rows.jsonl has no rows; give one JSON object per line"]),
    "broken JSON": (
        [ROWS[0], '{"a": ', "[1]"],
        BOTH,
        ["rows.jsonl:2: invalid JSON", "rows.jsonl:3: the row is a list"],
    ),
    "a row without an agent": (
        [ROWS[0], NO_AGENT],
        BOTH,
        [r"rows.jsonl:2: the row names no agent; add .* or --agent NAME"],
    ),
    "an unknown agent": ([OTHER_AGENT], BOTH, ["rows.jsonl:1: the stack has no agent 'nobody' .agents: "]),
    "an unknown agent as default": ([NO_AGENT], [*BOTH, "--agent", "nobody"], ["the stack has no agent 'nobody'"]),
    "concurrency": (ROWS, [*BOTH, "--concurrency", "x"], ["--concurrency is 'x'; it must be a number, or auto"]),
    "no concurrency": (ROWS, [*BOTH, "--concurrency", "0"], ["concurrency is 0; it must be 1 or more"]),
    "limit": (ROWS, [*BOTH, "--limit", "-1"], ["limit is -1; it must be a whole number, 1 or more"]),
    "repeats": (ROWS, [*BOTH, "--num-repeats", "0"], ["num_repeats is 0; it must be a whole number, 1 or more"]),
    "order": (ROWS, [*BOTH, "--order", "x"], ["invalid value for '--order': 'x' is not one of 'completion', 'input'"]),
    "deadline": (ROWS, [*BOTH, "--deadline", "0"], ["the deadline is 0.0 s; it must be above 0"]),
    "a deadline that is no number": (ROWS, [*BOTH, "--deadline", "nan"], ["the deadline is nan s; it must be above 0"]),
    "a stall without end": (
        ROWS,
        [*BOTH, "--stall", "inf"],
        ["stall is inf s; it must be above 0 and at most one year"],
    ),
    "failures of no run": (ROWS, [*BOTH, "--retry-failed"], ["--retry-failed needs --resume; add --resume"]),
    "a deleted option": (ROWS, [*BOTH, "~limit"], ["'~limit': options of collect cannot be deleted"]),
    "an agent nobody needs": (ROWS, [*BOTH, "--agent", "nobody"], ["the stack has no agent 'nobody'"]),
    "repeats that are no number": (
        ROWS,
        [*BOTH, "+num_repeats={_default: 1.5}"],
        ["num_repeats is 1.5; it must be a whole number"],
    ),
    "other digits": (ROWS, [*BOTH, "--num-repeats", "²"], ["--num-repeats contains '²'"]),
    "unknown option": (ROWS, [*BOTH, "--frob"], ["no such option: --frob .*; see gymctl collect --help"]),
    "unknown override": (ROWS, [*BOTH, "+limt=3"], ["collect has no option 'limt'"]),
    "override of another type": (ROWS, [*BOTH, "+limit=x"], [r"\+limit is 'x'; it must be a number"]),
    "override that is no number": (ROWS, [*BOTH, "+num_repeats=true"], [r"\+num_repeats is True; it must be a number"]),
}


@pytest.mark.parametrize(("rows", "arguments", "patterns"), COLLECTIONS.values(), ids=COLLECTIONS)
def test_what_is_wrong_with_a_collection(
    gymctl: Gymctl,
    stack: Path,
    monkeypatch: pytest.MonkeyPatch,
    rows: list[str],
    arguments: list[str],
    patterns: list[str],
) -> None:
    monkeypatch.chdir(stack)
    (stack / "rows.jsonl").write_text("".join(f"{row}\n" for row in rows))
    before = {path: text for path, text in contents(stack).items() if path != ".gymctl/local.log"}
    check(gymctl("collect", *arguments), 2, patterns)
    assert {path: text for path, text in contents(stack).items() if path != ".gymctl/local.log"} == before


def test_unknown_server_of_a_stack(gymctl: Gymctl, stack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(stack)
    check(gymctl("logs", "nobody"), 2, ["the stack has no server 'nobody'; servers: head, policy_model"])
