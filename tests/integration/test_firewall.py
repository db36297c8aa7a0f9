"""The rules that plan-nodes prints, in a kernel: network namespaces stand for the machines."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gymctl.config import load_config
from gymctl.config.choices import Firewall
from gymctl.operations.machines import plan_machines
from gymctl.stack.capacity.firewall import rules
from gymctl.stack.capacity.machines import Machine, Opening

SERVER = "import http.server as h; h.HTTPServer(('0.0.0.0', {port}), h.BaseHTTPRequestHandler).serve_forever()"
CALL = "import socket; socket.create_connection(('{address}', {port}), 1).close()"
EDGE = """\
policy_model: {{responses_api_models: {{scripted_model: {{entrypoint: app.py}}}}}}
edge: {{address: 0.0.0.0, clients: [{network}]}}
"""
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


@contextmanager
def listening(machines: dict[str, str], *ports: int) -> Iterator[None]:
    """Servers of the coordinator that answer on ports, while the block runs."""
    inside = ["ip", "netns", "exec", machines[""], sys.executable, "-c"]
    listeners = [subprocess.Popen([*inside, SERVER.format(port=port)], stderr=subprocess.DEVNULL) for port in ports]
    try:
        for port in ports:
            assert any(reached(machines, STRANGER, port) for _ in range(30))
        yield
    finally:
        for listener in listeners:
            listener.kill()
            listener.wait()


def test_the_port_of_an_edge_is_open_to_its_clients_only(machines: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "stack.yaml").write_text(EDGE.format(network=f"{WORKER}.0/24"))
    (machine,) = plan_machines(load_config(["stack.yaml"], cwd=tmp_path, environ={}))
    with listening(machines, 8443):
        run("ip", "netns", "exec", machines[""], "sh", "-e", stdin=rules(machine, Firewall.NFTABLES))
        assert reached(machines, WORKER, 8443)
        assert not reached(machines, STRANGER, 8443)


def test_the_worker_gets_through_and_a_stranger_does_not(machines: dict[str, str]) -> None:
    with listening(machines, 11000, 8080):
        openings = (Opening(11000, "head", (f"{WORKER}.2",)),)
        machine = Machine("coordinator", "coordinator", ("head",), 8, 32, "-", 0, 0, openings)
        for _ in range(2):  # pasted again, the rules replace themselves
            run("ip", "netns", "exec", machines[""], "sh", "-e", stdin=rules(machine, Firewall.NFTABLES))
        assert reached(machines, WORKER, 11000)
        assert not reached(machines, STRANGER, 11000)
        assert reached(machines, STRANGER, 8080)  # no port of the stack
