"""Checks as tasks of a real Ray cluster on this machine, and of one that is gone."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import check_functions
import pytest

from gymctl.server import Client, HopFailed, LocalTransport, ResourcesServer, Settings
from gymctl.server.checks.runner import Work
from gymctl.server.checks.worker_pool import CheckFailed

pytestmark = [pytest.mark.enable_socket, pytest.mark.lab, pytest.mark.filterwarnings("ignore")]

MEMORY = 512 << 20


def free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class RayHead:
    """A cluster of one node, in a process group of its own."""

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="ray-")  # short: sockets lie in it
        self.gcs, self.client = free_ports(2)
        self.address = f"ray://127.0.0.1:{self.client}"

    def start(self) -> None:
        line = (
            f"start --head --block --node-ip-address=127.0.0.1 --port={self.gcs} --num-cpus=2 "
            f"--include-dashboard=false --ray-client-server-port={self.client} --object-store-memory=100000000 "
            f"--disable-usage-stats --temp-dir={self.folder}"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from ray.scripts.scripts import main; main()", *line.split()],
            env={**os.environ, "RAY_AUTH_MODE": "disabled"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.client)) == 0:
                    return
            time.sleep(0.1)
        raise AssertionError("Ray did not start within a minute")

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Iterator[RayHead]:
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    made = RayHead()
    made.start()
    yield made
    made.kill()
    shutil.rmtree(made.folder, ignore_errors=True)


def with_work(address: str, use: Callable[[Work], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        settings = Settings("maths", "resources_servers", "maths", "", 1, {}, whole={"ray_head_node_address": address})
        work = Work(ResourcesServer(settings, Client(LocalTransport({}))), memory=MEMORY)
        try:
            return await use(work)
        finally:
            await work.close()

    return asyncio.run(run())


def test_checks_run_on_the_cluster_within_their_limits(head: RayHead) -> None:
    async def use(work: Work) -> None:
        first = await work.run(check_functions.add, 1, 2, seconds=5)
        assert first.value == 3
        assert set(first.reply_fields["verified_on"]) == {"node", "host"}
        assert first.reply_fields["verified_on"]["host"] == socket.gethostname()
        assert len(first.reply_fields["verified_on"]["node"]) == 56
        for function, arguments, reason in (
            (check_functions.hang_in_c, (), "overran"),
            (check_functions.end_suddenly, (), "died"),
            (check_functions.complain, ("no",), "raised"),
            (check_functions.take, (1 << 30,), "raised"),
        ):
            with pytest.raises(CheckFailed) as caught:
                await work.run(function, *arguments, seconds=1)
            assert caught.value.reason == reason
        sums = await asyncio.gather(*(work.run(check_functions.add, n, 1, seconds=5) for n in range(300)))
        assert [done.value for done in sums] == list(range(1, 301))

    with_work(head.address, use)


def test_a_cluster_that_goes_is_a_503_and_one_that_comes_back_is_used_again(head: RayHead) -> None:
    async def use(work: Work) -> None:
        assert (await work.run(check_functions.add, 1, 2, seconds=5)).value == 3
        head.kill()
        began = time.monotonic()
        with pytest.raises(HopFailed, match=f"the Ray cluster at {head.address} cannot run the check") as caught:
            await work.run(check_functions.add, 1, 2, seconds=5)
        assert time.monotonic() - began < 90
        assert (caught.value.status, caught.value.cause["hop"], caught.value.retry_after) == (503, "ray", 5.0)
        with pytest.raises(HopFailed):  # for a while nobody tries
            await asyncio.wait_for(work.run(check_functions.add, 1, 2, seconds=5), 1)
        head.start()
        await asyncio.sleep(6)
        for _ in range(5):
            try:
                done = await work.run(check_functions.add, 1, 2, seconds=5)
                break
            except HopFailed:
                await asyncio.sleep(6)
        assert done.value == 3

    with_work(head.address, use)
