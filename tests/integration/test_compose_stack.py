"""A stack on Docker: up, looked at with our eyes and Compose's, killed, brought back, taken away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
from small_stack import SmallStack

from gymctl.engines.compose.engine import ComposeEngine
from gymctl.engines.compose.watch import ServerFailed
from gymctl.engines.protocol import Job, JobMount, ServerEvent
from gymctl.engines.runner import Completed, run
from gymctl.errors import InputError
from gymctl.stack.compose.model import Service

pytestmark = pytest.mark.docker

TOOL_SERVER = "example_single_tool_call"


def compose(stack: SmallStack, *arguments: str) -> Completed:
    """Compose as a person uses it in the directory: no options of ours."""
    return run(["docker", "compose", *arguments], cwd=stack.directory, timeout=60)


def left_of(stack: SmallStack) -> list[str]:
    label = f"label=com.docker.compose.project={stack.name}"
    listings = (["ps", "--all", "-q"], ["network", "ls", "-q"], ["volume", "ls", "-q"])
    return [run(["docker", *listing, "--filter", label]).stdout for listing in listings]


def test_up_status_and_down(stack: SmallStack) -> None:
    events: list[ServerEvent] = []
    state = stack.up(on_event=events.append)
    names = {server.name for server in state.servers}
    assert {"head", TOOL_SERVER, "policy_model"} <= names
    assert {event.name for event in events if event.health == "healthy"} == names

    statuses = stack.engine.status()
    assert all(status.ok for status in statuses)
    assert all(status.uptime_seconds is not None and status.uptime_seconds >= 0 for status in statuses)
    assert statuses[0].address == state.head_url == f"http://127.0.0.1:{stack.port}"

    ours = {(status.name, status.state, status.health) for status in statuses}
    listed = [json.loads(line) for line in compose(stack, "ps", "-a", "--format", "json").stdout.splitlines()]
    assert ours == {(item["Service"], item["State"], item["Health"]) for item in listed}

    with urllib.request.urlopen(f"{state.head_url}/server_instances") as reply:
        assert {server["process_name"] for server in json.load(reply)} == names - {"head"}

    removed = stack.engine.down()
    assert removed.containers == len(names)
    assert left_of(stack) == ["", "", ""]
    assert [path.name for path in stack.directory.iterdir()] == ["stack.yaml"]
    with pytest.raises(InputError, match="gymctl up"):
        stack.engine.status()


def test_compose_works_beside_us(stack: SmallStack) -> None:
    stack.up()
    assert "listens on" in compose(stack, "logs", TOOL_SERVER).stdout
    compose(stack, "restart", TOOL_SERVER)
    deadline = time.monotonic() + 30
    while not all(status.ok for status in stack.engine.status()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    lines: list[str] = []
    stack.engine.logs([TOOL_SERVER], lines.append, tail=20)
    assert any("listens on" in line for line in lines)
    assert not any("\x1b" in line for line in lines)


def test_killed_and_removed_servers_are_seen_and_brought_back(stack: SmallStack) -> None:
    stack.up()
    compose(stack, "kill", TOOL_SERVER)
    killed = next(status for status in stack.engine.status() if status.name == TOOL_SERVER)
    assert (killed.state, killed.exit_code, killed.ok, killed.uptime_seconds) == ("exited", 137, False, None)
    compose(stack, "rm", "-f", TOOL_SERVER)
    gone = next(status for status in stack.engine.status() if status.name == TOOL_SERVER)
    assert (gone.state, gone.ok) == ("missing", False)

    stack.up()
    assert all(status.ok for status in stack.engine.status())


def test_second_up_changes_nothing(stack: SmallStack) -> None:
    stack.up()
    before = compose(stack, "ps", "-q").stdout
    began = time.monotonic()
    stack.up()
    assert compose(stack, "ps", "-q").stdout == before
    assert time.monotonic() - began < 15


def test_secrets_arrive_are_nowhere_else_and_are_renewed(stack: SmallStack) -> None:
    def key_in_container() -> str:
        """As the entrypoint hands it to a command; the environment of the server's own process is not ours to read."""
        show = ["python", "-c", "import os; print(repr(os.environ['GYM_KEY']))"]
        return compose(stack, "exec", "-T", TOOL_SERVER, "gymctl-entrypoint", *show).stdout.strip()

    stack.up(secrets={"GYM_KEY": "first$\n"})
    assert key_in_container() == repr("first$\n")
    inspected = run(["docker", "inspect", *compose(stack, "ps", "-q").stdout.split()]).stdout
    assert "first$" not in inspected
    assert "first" not in (stack.directory / "compose.yaml").read_text()
    assert "first" not in (stack.directory / ".gymctl" / "stack.json").read_text()

    stack.up(secrets={"GYM_KEY": "second"})
    assert key_in_container() == repr("second")


def test_down_needs_no_file(stack: SmallStack) -> None:
    stack.up()
    (stack.directory / "compose.yaml").unlink()
    stack.engine.down()
    assert left_of(stack) == ["", "", ""]


def test_down_keeps_a_file_that_was_edited(stack: SmallStack) -> None:
    stack.up()
    with (stack.directory / "compose.yaml").open("a") as file:
        file.write("# my note\n")
    assert "was changed" in stack.engine.down().notes[0]
    assert (stack.directory / "compose.yaml").exists()
    assert left_of(stack) == ["", "", ""]


def test_job_runs_on_the_network_as_this_user(stack: SmallStack, tmp_path: Path) -> None:
    stack.up()
    folder = tmp_path / "out, of the ordinary"
    folder.mkdir()
    code = f"""
        import sys, urllib.request, pathlib, os
        print("read", sys.stdin.read())
        print("status", urllib.request.urlopen("http://{TOOL_SERVER}:8080/").status)
        pathlib.Path("/job/out/made").write_text("x")
        print("to the side", file=sys.stderr)
        sys.exit(4)
    """
    lines: list[str] = []
    result = stack.engine.run_job(
        Job(["python", "-c", textwrap.dedent(code)], [JobMount(folder, "/job/out", read_only=False)], stdin="é$"),
        lines.append,
    )
    assert lines == ["read é$", "status 200"]
    assert (result.code, result.output, result.interrupted) == (4, "to the side", False)
    assert (folder / "made").stat().st_uid == os.getuid()


JOB = """
    import signal, time
    told = []
    signal.signal(signal.SIGINT, lambda *_: told.append(1))
    print("ready", flush=True)
    while not told: time.sleep(0.02)
    time.sleep(0.5)
    print("stopped in order", len(told), flush=True)
"""


def test_interrupted_job_ends_in_order_and_leaves_no_container(stack: SmallStack) -> None:
    stack.up()
    program = """
        import sys
        from pathlib import Path
        from gymctl.engines.protocol import Job
        from gymctl.engines.compose.engine import ComposeEngine
        job = Job(["python", "-c", sys.argv[1]])
        result = ComposeEngine(Path.cwd()).run_job(job, lambda line: print(line, flush=True))
        print(result.code, result.interrupted)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), textwrap.dedent(JOB)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=stack.directory,
        process_group=0,
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=30)[0] == "stopped in order 1\n0 True\n"
    assert (
        run(
            ["docker", "ps", "-aq", "--filter", f"label=gymctl.stack={stack.name}", "--filter", "label=gymctl.job"]
        ).stdout
        == ""
    )


def test_down_removes_a_job_that_was_left(stack: SmallStack) -> None:
    state = stack.up()
    run(["docker", "run", "-d", "--label", f"gymctl.stack={stack.name}", "--label", "gymctl.job", "--network",
         f"{stack.name}_stack-egress", "--entrypoint", "sleep", state.image, "600"])  # fmt: skip
    stack.engine.down()
    assert left_of(stack) == ["", "", ""]


def test_job_without_a_stack_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gymctl up"):
        ComposeEngine(tmp_path).run_job(Job(["true"]), print)


def test_what_ends_by_itself_ends_before_those_that_need_it(stack: SmallStack) -> None:
    """As a fetch of weights: what needs it starts after its end, and ``up`` and ``status`` are content."""
    stack.prepare()
    plan = stack.plan()
    first = replace(
        plan.services[0],
        name="fetch",
        kind="vllm",
        config_path="",
        command=("sh", "-c", "sleep 1; echo fetched"),
        working_dir="",
        published=(),
        completes=True,
    )
    services = [replace(item, needs=("fetch",)) if item.name == TOOL_SERVER else item for item in plan.services]
    plan = replace(plan, services=(*services, first))
    events: list[ServerEvent] = []
    stack.engine.up(plan, stack.render(plan=plan), timeout=90, on_event=events.append)
    durations = {(event.name, event.state): event.seconds for event in events}
    assert durations["fetch", "done"] <= durations[TOOL_SERVER, "running"]
    status = {item.name: item for item in stack.engine.status()}
    assert (status["fetch"].state, status["fetch"].ok, status["fetch"].exit_code) == ("done", True, 0)
    assert all(item.ok for item in status.values())
    # started again, it has nothing to wait for
    stack.engine.up(plan, stack.render(plan=plan), timeout=30)


def test_what_should_end_well_and_does_not_ends_the_wait(stack: SmallStack) -> None:
    stack.prepare()
    plan = stack.plan()
    first = replace(plan.services[0], name="fetch", config_path="", working_dir="", published=(), completes=True)
    first = replace(first, command=("sh", "-c", "echo no such model; exit 3"))
    services = [replace(item, needs=("fetch",)) if item.name == TOOL_SERVER else item for item in plan.services]
    plan = replace(plan, services=(*services, first))
    with pytest.raises(ServerFailed) as caught:
        stack.engine.up(plan, stack.render(plan=plan), timeout=90)
    assert caught.value.server == "fetch"
    assert "exited with code 3" in str(caught.value)
    assert "no such model" in str(caught.value)


@pytest.mark.parametrize("tries", [3, 1])
def test_what_may_fail_at_first_is_begun_anew(stack: SmallStack, tries: int) -> None:
    """As a node of Ray on a busy machine: its second begin is the one that works."""
    stack.prepare()
    plan = stack.plan()
    node = replace(
        plan.services[0],
        name="node",
        kind="ray",
        config_path="",
        command=("sh", "-c", "[ -e /tmp/begun ] || { touch /tmp/begun; echo too slow; exit 1; }; exec sleep 600"),
        working_dir="",
        published=(),
        tries=tries,
        fragment=Service(image="", restart="unless-stopped", init=True),
    )
    plan = replace(plan, services=(*plan.services, node))
    if tries == 1:
        with pytest.raises(ServerFailed, match="repeatedly"):
            stack.engine.up(plan, stack.render(plan=plan), timeout=90)
        return
    stack.engine.up(plan, stack.render(plan=plan), timeout=90)
    status = {item.name: item for item in stack.engine.status()}
    assert (status["node"].ok, status["node"].restarts) == (True, 1)
