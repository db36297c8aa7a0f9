"""The fake model endpoint and the load driver: small C programs, so that neither is what is measured."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_SOURCES = Path(__file__).parent


@dataclass(frozen=True)
class Load:
    """What one run of the driver found: counts of requests, ``rate`` in ok requests per second, latencies in ms."""

    count: int
    ok: int
    bad_status: int
    bad_body: int
    broken: int
    unfinished: int
    seconds: float
    rate: float
    p50_ms: float
    p99_ms: float
    max_ms: float

    @property
    def failed(self) -> int:
        """Requests without a good answer."""
        return self.count - self.ok


@cache
def program(name: str) -> Path:
    """The compiled program ``name``, built on first use.

    Raises:
        RuntimeError: a C compiler is missing.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        raise RuntimeError("the benchmarks need a C compiler (cc, gcc or clang)")
    built = Path(tempfile.mkdtemp(prefix="gymctl-bench-")) / name
    subprocess.run([compiler, "-O2", "-o", built, _SOURCES / f"{name}.c"], check=True)
    return built


@contextmanager
def backend(port: int) -> Iterator[None]:
    """A model's endpoint on the loopback interface that answers at once."""
    process = subprocess.Popen([program("backend"), str(port)])
    try:
        _until_it_answers(port)
        yield
    finally:
        process.terminate()
        process.wait()


def set_delay(port: int, milliseconds: float) -> None:
    """Let the endpoint wait before every answer."""
    urllib.request.urlopen(f"http://127.0.0.1:{port}/set?delay_ms={milliseconds:g}", timeout=5).read()


def set_script(port: int, steps: int, padding: int) -> None:
    """Let the endpoint call ``steps`` tools before it answers, with ``padding`` bytes more in the arguments of each."""
    urllib.request.urlopen(f"http://127.0.0.1:{port}/set?steps={steps}&padding={padding}", timeout=5).read()


def drive(
    port: int,
    path: str,
    bodies: Path,
    *,
    concurrency: int,
    count: int,
    expected: str,
    header: str = "",
    timeout_s: float = 900,
) -> Load:
    """POST ``count`` bodies over ``concurrency`` connections; an answer is good if it contains ``expected``.

    ``header`` is sent with each of them: ``name: value``, or nothing.
    """
    command = [
        str(program("driver")),
        str(port),
        path,
        str(bodies),
        str(concurrency),
        str(count),
        str(timeout_s),
        expected,
        header,
    ]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return Load(**json.loads(output))


def _until_it_answers(port: int) -> None:
    for _ in range(100):
        try:
            set_delay(port, 0)
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"the fake endpoint does not answer on port {port}")
