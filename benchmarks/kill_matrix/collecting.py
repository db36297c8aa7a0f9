"""One collector process: started, listened to, killed."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.kill_matrix.fleet import ROOT, die_with_parent
from gymctl.rollouts import events
from gymctl.rollouts.container_job import CollectionJob
from gymctl.rollouts.report import Report


@dataclass
class CollectorOutput:
    """Events on a collector's standard output: results that it reported as finished, and how it ended."""

    finished: int = 0
    left_at_start: int = 0
    under_way: threading.Event = field(default_factory=threading.Event)
    report: Report | None = None
    crash: str = ""

    def hear(self, line: bytes) -> None:
        """Take one line."""
        event = events.decode(line)
        match event:
            case events.Started():
                self.finished += event.already_done
                self.left_at_start = event.total - event.already_done
                self.under_way.set()
            case events.Finished():
                self.finished += event.count
            case events.Ended():
                self.report = Report.from_json(event.report)
            case events.Crashed():
                self.crash = event.message
            case _:
                pass


class Collector:
    """``python -m gymctl.rollouts.container_job`` with a job on its standard input.

    Args:
        job: what to collect.
        errors: file for its standard error.
        largest_file: bytes that it may write to one file; None for no limit.
    """

    def __init__(self, job: CollectionJob, errors: Path, largest_file: int | None = None) -> None:
        self.output = CollectorOutput()
        self.started = time.monotonic()
        with errors.open("ab") as error_file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gymctl.rollouts.container_job"],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=error_file,
                preexec_fn=_before_start(largest_file),  # noqa: PLW1509 - two calls, no locks
            )
        assert self.process.stdin is not None
        self.process.stdin.write(job.encode())
        self.process.stdin.close()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.hear(line)

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process.poll() is None

    def wait_under_way(self, seconds: float = 60.0) -> bool:
        """Wait until it has started; False if it ended before, or did not start in time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.alive:
            if self.output.under_way.wait(0.05):
                return True
        return False

    def wait_until_done(self, share: float) -> None:
        """Wait until that share of what this session has to do is done, or it has ended."""
        if self.wait_under_way():
            target = self.output.finished + share * self.output.left_at_start
            while self.alive and self.output.finished < target:
                time.sleep(0.01)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()

    def wait(self, seconds: float) -> int | None:
        """Its exit code when it has ended and its output has been read; None when it still runs after that time."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        self._listener.join(10)
        return code


def _before_start(largest_file: int | None) -> Callable[[], None]:
    def prepare() -> None:
        """Limit the size of files, in the child before it starts."""
        die_with_parent()
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    return prepare
