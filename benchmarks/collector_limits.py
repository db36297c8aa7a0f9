"""The collector at its limits: many rows, big results, many rollouts in flight.

``python -m benchmarks.collector_limits``. A fake agent in a process of its own answers each rollout after a delay with
a result of a given size. The collector is ``python -m gymctl.rollouts.container_job``, as in a container. Linux: its
peak memory is read from ``/proc``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.machine import peak_memory_mb
from gymctl.rollouts import events
from gymctl.rollouts.container_job import CollectionJob
from gymctl.rollouts.spec import RunSpec

AGENT = "fake_agent"


class Agent(asyncio.Protocol):
    """Just enough HTTP: a request is over when its ``content-length`` is there; one at a time on a connection."""

    reply = b""
    delay_s = 0.0
    in_flight = most_in_flight = served = 0

    def __init__(self) -> None:
        self._seen = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer when the request is whole."""
        self._seen += data
        head, separator, body = bytes(self._seen).partition(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        if not separator or len(body) < size:
            return
        self._seen.clear()
        if head.startswith(b"GET /most"):
            self._send(json.dumps([Agent.most_in_flight, Agent.served]).encode())
        elif head.startswith(b"POST /run"):
            Agent.in_flight += 1
            Agent.most_in_flight = max(Agent.most_in_flight, Agent.in_flight)
            asyncio.get_running_loop().call_later(Agent.delay_s, self._answer)
        else:
            self._send(b'{"agent_metrics":{},"key_metrics":{},"group_level_metrics":[]}')

    def _answer(self) -> None:
        Agent.in_flight -= 1
        Agent.served += 1
        self._send(Agent.reply)

    def _send(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        self._transport.writelines([head, body])  # type: ignore[attr-defined]


async def serve(port: int, size: int, delay_s: float) -> None:
    """The fake agent, until killed."""
    text = "x" * max(0, size - 120)
    Agent.reply = json.dumps({"response": {"output": [{"type": "text", "text": text}]}, "reward": 1.0}).encode()
    Agent.delay_s = delay_s
    server = await asyncio.get_running_loop().create_server(Agent, "127.0.0.1", port, backlog=16384)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Measure and print."""
    options = _arguments()
    if options.serve:
        import uvloop

        from gymctl.server.run.open_files import raise_file_limit

        raise_file_limit()
        uvloop.run(serve(options.serve, options.bytes, options.delay))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        _measure(options, Path(folder))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.collector_limits", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="rollouts (100,000)")
    parser.add_argument("--bytes", type=int, default=50_000, help="size of a result (50,000)")
    parser.add_argument("--concurrency", default="16384", help="rollouts in flight, or auto (16384)")
    parser.add_argument("--delay", type=float, default=2.0, help="seconds that the agent takes (2)")
    parser.add_argument("--order", default="completion", choices=("completion", "input"))
    parser.add_argument("--folder", type=Path, help="where the files go; they need rows x bytes of room")
    parser.add_argument("--port", type=int, default=18181, help="of the fake agent (18181)")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def _measure(options: argparse.Namespace, folder: Path) -> None:
    rows = folder / "rows.jsonl"
    with rows.open("w") as file:
        for number in range(options.rows):
            file.write(json.dumps({"responses_create_params": {"input": f"question {number}"}}) + "\n")
    argv = [sys.executable, "-m", "benchmarks.collector_limits", "--serve", str(options.port)]
    agent = subprocess.Popen([*argv, "--bytes", str(options.bytes), "--delay", str(options.delay)])
    try:
        _wait_for(options.port)
        if options.concurrency == "auto":
            concurrency = "auto"
        else:
            concurrency = int(options.concurrency)
        spec = RunSpec(rows, folder / "out.jsonl", agent=AGENT, concurrency=concurrency, order=options.order)
        _collect(CollectionJob(spec, {AGENT: f"http://127.0.0.1:{options.port}"}), options)
        if options.order == "input":
            _resume_time(spec, options)
    finally:
        agent.kill()
        agent.wait()


def _collect(job: CollectionJob, options: argparse.Namespace) -> None:
    import urllib.request

    peak, cpu, seconds, report = _run(job)
    with urllib.request.urlopen(f"http://127.0.0.1:{options.port}/most") as reply:
        most, served = json.load(reply)
    size = job.run.output.stat().st_size
    print(f"{report['done']} of {report['total']} done ({served} served), {size / 1e9:.2f} GB written")
    print(f"most in flight {most}; peak memory of the collector {peak:.0f} MB")
    done = report["done"]
    print(f"{seconds:.1f} s, {done / seconds:.0f} rollouts/s, {cpu / done * 1000:.2f} ms of CPU each")


def _resume_time(spec: RunSpec, options: argparse.Namespace) -> None:
    from dataclasses import replace

    job = CollectionJob(replace(spec, resume=True), {AGENT: f"http://127.0.0.1:{options.port}"})
    peak, _, seconds, _ = _run(job)
    print(f"resuming it when nothing is left: {seconds:.1f} s, peak {peak:.0f} MB")


def _run(job: CollectionJob) -> tuple[float, float, float, dict[str, int]]:
    """Peak MB, CPU seconds, seconds, report."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "gymctl.rollouts.container_job"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(job.encode())
    process.stdin.close()
    peaks = [0.0]
    watcher = threading.Thread(target=_watch, args=(process, peaks), daemon=True)
    watcher.start()
    ends = [event for line in process.stdout if isinstance(event := events.decode(line), events.Ended)]
    _, _, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    process.returncode = 0
    if not ends:
        sys.exit("the collector did not end as it should")
    return max(peaks[0], usage.ru_maxrss / 1024), usage.ru_utime + usage.ru_stime, seconds, ends[0].report


def _watch(process: subprocess.Popen[bytes], peaks: list[float]) -> None:
    while process.returncode is None:
        peaks[0] = max(peaks[0], peak_memory_mb(process.pid))
        time.sleep(0.5)


def _wait_for(port: int) -> None:
    import socket

    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit(f"the fake agent did not start on port {port}")


if __name__ == "__main__":
    main()
