"""Commands: their output, their failures, and who hears of an interrupt."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from gymctl.engines.runner import CommandFailed, background, run, stream

PYTHON = sys.executable


def test_output_and_input_pass_through() -> None:
    done = run(
        [PYTHON, "-c", "import sys; print(sys.stdin.read().upper()); print('aside', file=sys.stderr)"], stdin="é$"
    )
    assert (done.stdout, done.stderr, done.code) == ("É$\n", "aside\n", 0)


def test_arguments_meet_no_shell() -> None:
    assert run([PYTHON, "-c", "import sys; print(sys.argv[1])", "$HOME; `id`"]).stdout == "$HOME; `id`\n"


def test_environment_is_laid_over_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT", "1")
    done = run([PYTHON, "-c", "import os; print(os.environ['KEPT'], os.environ['NEW'])"], env={"NEW": "2"})
    assert done.stdout == "1 2\n"


def test_failure_carries_code_and_last_line() -> None:
    with pytest.raises(CommandFailed) as caught:
        run([PYTHON, "-c", "import sys; print('\\x1b[31mno luck\\x1b[0m', file=sys.stderr); sys.exit(7)"])
    assert caught.value.code == 7
    assert caught.value.message.endswith("failed (exit code 7): no luck")


def test_failure_can_be_looked_at() -> None:
    assert run([PYTHON, "-c", "raise SystemExit(3)"], check=False).code == 3


def test_missing_command_is_the_same_error() -> None:
    with pytest.raises(CommandFailed, match="command not found: 'no-such-command'"):
        run(["no-such-command"])


def test_command_that_takes_too_long_is_ended() -> None:
    began = time.monotonic()
    with pytest.raises(CommandFailed, match="did not end in time"):
        run([PYTHON, "-c", "import time; time.sleep(60)"], timeout=0.5)
    assert time.monotonic() - began < 10


def test_children_of_a_command_that_takes_too_long_are_ended_with_it() -> None:
    began = time.monotonic()
    with pytest.raises(CommandFailed, match="did not end in time: begun"):
        run(["sh", "-c", "echo begun; sleep 20.713; true"], timeout=0.5)
    assert time.monotonic() - began < 5


def test_one_that_left_the_group_is_not_waited_for() -> None:
    began = time.monotonic()
    with pytest.raises(CommandFailed, match="did not end in time"):
        run(["setsid", "--fork", "sleep", "6"], timeout=0.5)
    assert time.monotonic() - began < 5


def test_stream_gives_lines_as_they_come_and_keeps_the_last() -> None:
    lines: list[str] = []
    aside: list[str] = []
    done = stream(
        [PYTHON, "-c", "import sys\nfor n in range(100): print(n)\nprint('x', file=sys.stderr)"],
        lines.append,
        on_error_line=aside.append,
    )
    assert lines == [str(n) for n in range(100)]
    assert aside == ["x"]
    assert done.stdout.splitlines()[-1] == "99"
    assert len(done.stdout.splitlines()) < 100


def test_background_is_ended_with_its_block() -> None:
    with background([PYTHON, "-c", "import time; print('up', flush=True); time.sleep(60)"]) as command:
        assert command.poll() is None
    assert command.poll() is not None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_reaches_the_child_once_and_waits_for_it(tmp_path: Path, number: signal.Signals) -> None:
    child = """
        import signal, sys, time
        count = []
        signal.signal(signal.SIGINT, lambda *_: count.append(1))
        print("ready", flush=True)
        while not count: time.sleep(0.01)
        time.sleep(0.3)
        print("told", len(count), flush=True)
    """
    parent = """
        import sys
        from gymctl.engines.runner import stream
        done = stream([sys.executable, "-c", sys.argv[1]], lambda line: print(line, flush=True), raise_interrupt=False)
        print("interrupted", done.interrupted, done.code)
    """
    argv = [PYTHON, "-c", textwrap.dedent(parent), textwrap.dedent(child)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, process_group=0)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, number)  # as a terminal does: the whole group
    assert process.communicate(timeout=20)[0] == "told 1\ninterrupted True 0\n"


def test_interrupt_of_an_ordinary_command_is_ours_once_it_has_ended(tmp_path: Path) -> None:
    program = """
        import pathlib, sys
        from gymctl.engines.runner import run
        print("start", flush=True)
        try:
            child = "import pathlib, time; pathlib.Path('up').touch(); time.sleep(60)"
            run([sys.executable, "-c", child], cwd=pathlib.Path(sys.argv[1]))
        except KeyboardInterrupt:
            print("interrupted")
    """
    process = subprocess.Popen(
        [PYTHON, "-c", textwrap.dedent(program), str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    while not (tmp_path / "up").exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20)[0] == "start\ninterrupted\n"
