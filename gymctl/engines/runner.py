"""The one place where subprocesses start. Never a shell; one error type; Ctrl-C ends the child before it ends us.

A child gets a process group of its own, so that it receives an interrupt once, from gymctl, wherever the signal came
from (a terminal signals a whole group, ``kill`` one process). The third interrupt kills the group.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

from gymctl.config.terminal_text import plain
from gymctl.engines.command_log import logged
from gymctl.engines.interrupts import handle_interrupts
from gymctl.errors import EngineError

OnLine = Callable[[str], None]

_TAIL = 60  # lines of output kept for an error message
_REST_S = 2.0
_PATIENCE = 2  # interrupts a child may take its time over


@dataclass(frozen=True)
class Completed:
    """The result of a command. ``interrupted`` if it was stopped by Ctrl-C, SIGTERM or a closed terminal."""

    argv: tuple[str, ...]
    stdout: str
    stderr: str
    code: int
    interrupted: bool = False


class CommandFailed(EngineError):  # noqa: N818 - a fact about a command, like HopFailed
    """A command ended with another exit code than 0. ``output`` is the end of what it printed."""

    def __init__(self, argv: Sequence[str], code: int | None, output: str, hint: str = "") -> None:
        self.argv = tuple(argv)
        self.code = code
        self.output = output
        how = "did not end in time" if code is None else f"failed (exit code {code})"
        last = [line.strip() for line in output.splitlines() if line.strip()][-1:]
        super().__init__(": ".join([f"`{' '.join(argv[:3])}` {how}", *last]), hint)


def run(
    argv: Sequence[str],
    *,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    cwd: Path | None = None,
    check: bool = True,
) -> Completed:
    """Run a command to its end. ``env`` is laid over this process's environment; ``timeout`` is in seconds.

    Raises:
        CommandFailed: it cannot be started, did not end in time, or (with ``check``) ended with a code other than 0.
        KeyboardInterrupt: after the child has ended, when there was an interrupt.
    """
    with _child(argv, stdin is not None, env, cwd) as (process, interrupts):
        try:
            stdout, stderr = process.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired as expired:
            _kill(process)
            raise CommandFailed(argv, None, plain(_rest(process))) from expired
    return _finished(Completed(tuple(argv), stdout, stderr, process.returncode, bool(interrupts)), check)


def stream(
    argv: Sequence[str],
    on_line: OnLine,
    *,
    on_error_line: OnLine | None = None,
    stdin: str | None = None,
    holds_stdin: bool = False,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    check: bool = True,
    raise_interrupt: bool = True,
) -> Completed:
    """Run a command and pass on each line (without its newline) as it comes; the result holds the last lines only.

    ``on_line`` takes standard output in the calling thread; ``on_error_line`` takes standard error in another one.
    With ``holds_stdin`` the child's standard input stays open after ``stdin``, until it or this process ends.
    With ``raise_interrupt=False`` an interrupt is passed to the child, which handles it itself.

    Raises:
        CommandFailed, KeyboardInterrupt: as for ``run``.
    """
    out: deque[str] = deque(maxlen=_TAIL)
    err: deque[str] = deque(maxlen=_TAIL)
    with _child(argv, stdin is not None, env, cwd) as (process, interrupts):
        assert process.stdout is not None and process.stderr is not None
        side = threading.Thread(target=_drain, args=(process.stderr, err, on_error_line), daemon=True)
        side.start()
        if process.stdin is not None:
            with suppress(BrokenPipeError):
                process.stdin.write(stdin or "")
                process.stdin.flush()
                if not holds_stdin:
                    process.stdin.close()
        _drain(process.stdout, out, on_line)
        process.wait()
        side.join()
    done = Completed(tuple(argv), "\n".join(out), "\n".join(err), process.returncode, bool(interrupts))
    return _finished(done, check, raise_interrupt=raise_interrupt)


class Background:
    """A command that runs in the background. ``poll()`` is its exit code, None while it runs."""

    def __init__(self, process: subprocess.Popen[str], on_line: OnLine | None = None) -> None:
        self._process = process
        self._lines: deque[str] = deque(maxlen=_TAIL)
        assert process.stdout is not None
        self._reader = threading.Thread(target=_drain, args=(process.stdout, self._lines, on_line), daemon=True)
        self._reader.start()

    def poll(self) -> int | None:
        """The exit code, or None while the command runs."""
        return self._process.poll()

    def wait(self) -> int:
        """The exit code, after its end; everything that it printed has been passed on."""
        code = self._process.wait()
        self._reader.join()
        return code

    @property
    def output(self) -> str:
        """The last lines of what it printed so far, on both streams."""
        if self._process.poll() is not None:
            self._reader.join()
        return plain("\n".join(list(self._lines)))


@contextmanager
def background(argv: Sequence[str], *, cwd: Path | None = None, on_line: OnLine | None = None) -> Iterator[Background]:
    """Run a command in parallel with the body; one that still runs when the body ends is interrupted and waited for.

    ``on_line`` takes each line of both its streams, in another thread.

    Raises:
        CommandFailed: it cannot be started.
    """
    process = _popen(argv, piped=False, env=None, cwd=cwd, stderr=subprocess.STDOUT)
    try:
        yield Background(process, on_line)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=20)
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                _kill(process)
                process.wait()


def _finished(done: Completed, check: bool, *, raise_interrupt: bool = True) -> Completed:
    if done.interrupted:
        if raise_interrupt:
            raise KeyboardInterrupt
        return done
    if check and done.code:
        raise CommandFailed(done.argv, done.code, plain(done.stderr.strip() or done.stdout))
    return done


def _drain(source: IO[str], last_lines: deque[str], on_line: OnLine | None) -> None:
    for line in source:
        text = line.rstrip("\r\n")
        last_lines.append(text)
        if on_line is not None:
            on_line(text)


def _popen(
    argv: Sequence[str], *, piped: bool, env: Mapping[str, str] | None, cwd: Path | None, stderr: int
) -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(
            logged(argv),
            stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**os.environ, **env} if env else None,
            cwd=cwd,
            encoding="utf-8",
            errors="replace",
            process_group=0,
        )
    except FileNotFoundError as error:
        raise CommandFailed(argv, 127, f"command not found: {argv[0]!r}") from error
    except OSError as error:
        raise CommandFailed(argv, 126, str(error)) from error


def _kill(process: subprocess.Popen[str]) -> None:
    """Kill a child with all that it started: a grandchild that lives on would hold the pipes that we read."""
    if process.returncode is None:  # not waited for yet, so its process id has not been reused
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _rest(process: subprocess.Popen[str]) -> str:
    """What a killed child has printed; nothing when a grandchild has left its group, and still holds the pipes."""
    try:
        return "".join(process.communicate(timeout=_REST_S))
    except subprocess.TimeoutExpired:
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        return ""


@contextmanager
def _child(
    argv: Sequence[str], piped: bool, env: Mapping[str, str] | None, cwd: Path | None
) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A child and the interrupts passed to it; it has always ended when the block ends."""
    interrupts: list[int] = []
    process: subprocess.Popen[str] | None = None

    def forward(number: int, frame: FrameType | None) -> None:
        """Pass an interrupt on to the child, and kill the child when its patience has ended."""
        interrupts.append(number)
        if process is not None and len(interrupts) > _PATIENCE:
            _kill(process)
        elif process is not None:
            process.send_signal(signal.SIGINT)

    with handle_interrupts(forward):
        process = _popen(argv, piped=piped, env=env, cwd=cwd, stderr=subprocess.PIPE)
        try:
            if interrupts:  # it came while the child was being made
                process.send_signal(signal.SIGINT)
            yield process, interrupts
        finally:
            if process.poll() is None:
                _kill(process)
            process.wait()
            if process.stdin is not None:
                with suppress(BrokenPipeError):
                    process.stdin.close()


def detached(
    argv: Sequence[str], *, stdin: str, log: Path, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start a command that outlives us, in a session of its own; both its streams go to the file ``log``.

    ``env`` is laid over this process's environment.

    Raises:
        CommandFailed: it cannot be started.
    """
    with log.open("ab") as sink:
        try:
            process = subprocess.Popen(
                logged(argv),
                stdin=subprocess.PIPE,
                stdout=sink,
                stderr=sink,
                env={**os.environ, **env} if env else None,
                cwd=cwd,
                encoding="utf-8",
                start_new_session=True,
            )
        except OSError as error:
            raise CommandFailed(argv, 126, str(error)) from error
    assert process.stdin is not None
    with suppress(BrokenPipeError), process.stdin:
        process.stdin.write(stdin)
    return process
