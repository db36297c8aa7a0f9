"""The rules that plan-nodes prints, in a kernel: network namespaces stand for the machines."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from gymctl.config.choices import Firewall
from gymctl.stack.capacity.firewall import rules
from gymctl.stack.capacity.machines import Machine, Opening

SERVER = "import http.server as h; h.HTTPServer(('0.0.0.0', {port}), h.BaseHTTPRequestHandler).serve_forever()"
CALL = "import socket; socket.create_connection(('{address}', {port}), 1).close()"
WORKER, STRANGER = "10.77.2", "10.77.3"  # each a network of its own with the coordinator, which is .1 in both


def run(*argv: str, check: bool = True, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, check=check, capture_output=True, text=True, timeout=30, input=stdin)


@pytest.fixture
def machines() -> Iterator[dict[str, str]]:
    """Namespaces by the network they share with the coordinator; "" is the coordinator's own."""
    if os.geteuid() or not shutil.which("nft") or not shutil.which("ip"):
        pytest.skip("needs root, nft and ip (packages nftables and iproute2)")
    names = {place: f"gym{os.getpid()}-{place[-1:]}" for place in ("", WORKER, STRANGER)}
    try:
        for name in names.values():
            if run("ip", "netns", "add", name, check=False).returncode:
                pytest.skip("no network namespaces can be made here")
            run("ip", "-n", name, "link", "set", "lo", "up")
        for place in (WORKER, STRANGER):
            here, there = f"to-{place[-1]}", "eth0"
            run(
                "ip", "-n", names[""], "link", "add", here, "type", "veth", "peer", "name", there, "netns", names[place]
            )
            for name, link, number in ((names[""], here, 1), (names[place], there, 2)):
                run("ip", "-n", name, "addr", "add", f"{place}.{number}/24", "dev", link)
                run("ip", "-n", name, "link", "set", link, "up")
        yield names
    finally:
        for name in names.values():
            run("ip", "netns", "del", name, check=False)


def reached(machines: dict[str, str], caller: str, port: int) -> bool:
    call = CALL.format(address=f"{caller}.1", port=port)
    return run("ip", "netns", "exec", machines[caller], sys.executable, "-c", call, check=False).returncode == 0


def test_the_worker_gets_through_and_a_stranger_does_not(machines: dict[str, str]) -> None:
    inside = ["ip", "netns", "exec", machines[""]]
    listeners = [
        subprocess.Popen([*inside, sys.executable, "-c", SERVER.format(port=port)], stderr=subprocess.DEVNULL)
        for port in (11000, 8080)
    ]
    try:
        for port in (11000, 8080):
            assert any(reached(machines, STRANGER, port) for _ in range(30))
        openings = (Opening(11000, "head", (f"{WORKER}.2",)),)
        machine = Machine("coordinator", "coordinator", ("head",), 8, 32, "-", 0, 0, openings)
        for _ in range(2):  # pasted again, the rules replace themselves
            run(*inside, "sh", "-e", stdin=rules(machine, Firewall.NFTABLES))
        assert reached(machines, WORKER, 11000)
        assert not reached(machines, STRANGER, 11000)
        assert reached(machines, STRANGER, 8080)  # no port of the stack
    finally:
        for listener in listeners:
            listener.kill()
            listener.wait()
