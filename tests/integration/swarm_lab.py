"""A real Swarm on one machine: Docker engines in containers on a network of their own; the first is the manager.

The kernel needs no IP_VS as long as services use ``endpoint_mode: dnsrr`` and publish ports in ``mode: host``. Nodes
are reached at ``tcp://ADDRESS:2375`` from this machine alone: their network is a bridge of this engine.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

NODE = Path(__file__).parent / "swarm_node"
IMAGE = "gymctl-test-swarm-node:1"
_PORT = 2375


def docker(*arguments: str, timeout: float = 120, stdin: str | None = None) -> str:
    """What a docker command on this machine's engine prints."""
    done = subprocess.run(
        ["docker", *arguments], input=stdin, capture_output=True, text=True, check=False, timeout=timeout
    )
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


def subnets() -> Iterator[str]:
    """Private ranges outside of 172.17 to 172.18, 10.201 and 192.168, where nested engines have their own networks.

    Docker may have given many of them away: the last ones are of the range for benchmarks (RFC 2544).
    """
    yield from (f"172.31.{third}.0/24" for third in range(240, 256))
    yield from (f"10.{second}.{third}.0/24" for second in range(202, 255) for third in (0, 128, 255))
    yield from (f"198.{second}.{third}.0/24" for second in (18, 19) for third in range(0, 256, 16))


class Lab:
    """``nodes`` engines; ``shared`` is a folder that the manager sees under its own path, for jobs that mount it."""

    def __init__(self, prefix: str, nodes: int = 3, *, shared: Path) -> None:
        self.prefix, self.shared = prefix, shared
        self.names = [f"{prefix}-n{number}" for number in range(1, nodes + 1)]
        self.network = f"{prefix}-swarm"
        self.addresses: dict[str, str] = {}

    @property
    def hosts(self) -> list[str]:
        """The address of each node's engine, the manager's first."""
        return [f"tcp://{self.addresses[name]}:{_PORT}" for name in self.names]

    @property
    def manager(self) -> dict[str, str]:
        """The environment in which docker and gymctl talk to the manager."""
        return {"DOCKER_HOST": self.hosts[0]}

    def up(self, images: Sequence[str] = ()) -> None:
        """Start the nodes, form the Swarm, load ``images`` into every node."""
        docker("build", "--quiet", "--tag", IMAGE, str(NODE), timeout=600)
        self._make_network()
        for name in self.names:
            self._start(name)
        for name in self.names:
            self.wait_for(name)
        address = self.addresses[self.names[0]]
        # nested engines must not hand out the subnet that the outer bridge uses
        self.on(self.names[0], "swarm", "init", "--advertise-addr", address, "--default-addr-pool", "10.201.0.0/16")
        token = self.on(self.names[0], "swarm", "join-token", "--quiet", "worker")
        for name in self.names[1:]:
            self.on(name, "swarm", "join", "--token", token, f"{address}:2377")
        self.load(images)

    def _make_network(self) -> None:
        """One in a range that neither nested engines nor any network of this engine use, wherever that is."""
        for subnet in subnets():
            argv = ["docker", "network", "create", "--subnet", subnet, self.network]
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return
            assert "overlaps" in done.stderr, done.stderr
        raise AssertionError("no range is left for the lab's network")

    def _start(self, name: str) -> None:
        share = f"type=bind,source={self.shared},target={self.shared}"
        docker("run", "--detach", "--privileged", "--name", name, "--hostname", name, "--network", self.network,
               "--mount", share, IMAGE)  # fmt: skip
        form = f'{{{{(index .NetworkSettings.Networks "{self.network}").IPAddress}}}}'
        self.addresses[name] = docker("inspect", "--format", form, name)

    def wait_for(self, name: str, seconds: float = 60) -> None:
        """Until a node's engine answers."""
        deadline = time.monotonic() + seconds
        while subprocess.run(
            ["docker", "exec", name, "docker", "version"], capture_output=True, check=False
        ).returncode:
            assert time.monotonic() < deadline, docker("logs", "--tail", "20", name)
            time.sleep(0.25)

    def on(self, name: str, *arguments: str, timeout: float = 120) -> str:
        """What a docker command on a node prints."""
        return docker("--host", f"tcp://{self.addresses[name]}:{_PORT}", *arguments, timeout=timeout)

    def load(self, images: Sequence[str]) -> None:
        """Copy images of this machine's engine to every node."""
        if not images:
            return
        with TemporaryDirectory() as folder:
            file = f"{folder}/images.tar"
            docker("save", "--output", file, *images)
            with ThreadPoolExecutor() as pool:
                list(pool.map(lambda name: self.on(name, "load", "--quiet", "--input", file, timeout=300), self.names))

    def registry(self) -> str:
        """Start a registry on the manager; its address for all nodes."""
        config = "version: 0.1\nstorage: {filesystem: {rootdirectory: /registry}}\nhttp: {addr: ':5000'}\n"
        start = f'echo "{config}" > /registry.yml && exec docker-registry serve /registry.yml'
        docker("exec", "--detach", self.names[0], "sh", "-c", start)
        return f"{self.addresses[self.names[0]]}:5000"

    def empty(self, name: str) -> None:
        """Remove all images from a node."""
        for image in set(self.on(name, "image", "ls", "--quiet").split()):
            self.on(name, "image", "rm", "--force", image)

    def kill(self, name: str) -> None:
        """A node's power goes off."""
        docker("kill", name)

    def revive(self, name: str) -> None:
        """The node's power comes back; it joins by itself."""
        docker("start", name)
        self.wait_for(name)

    def down(self) -> None:
        """Remove nodes and network."""
        for name in self.names:
            subprocess.run(["docker", "rm", "--force", "--volumes", name], capture_output=True, check=False)
        subprocess.run(["docker", "network", "rm", self.network], capture_output=True, check=False)
