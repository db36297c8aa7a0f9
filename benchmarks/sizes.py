"""What rendering, starting and asking cost as a stack grows: an agent, its environment and so on, one model for all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks import machine
from benchmarks.commands import gymctl, seconds
from benchmarks.sides import Side, entry
from benchmarks.twelve import container_processes, servers_of

NAME = "gymctl-bench-size"
SIZES = (3, 12, 30, 100)


def measure(side: Side, repeats: int) -> Iterator[tuple[int, dict[str, float]]]:
    """For each number of servers: seconds of ``render``, ``up`` (images built), ``status`` and ``down``, and memory."""
    for repeat in range(repeats):
        for size in SIZES:
            folder = side.folder / f"size-{size}-{repeat}"
            folder.mkdir(parents=True)
            stack = "".join(entry(server) for server in servers_of(size))
            (folder / "stack.yaml").write_text(f"head_server: {{host: 127.0.0.1, port: {side.port}}}\n{stack}")
            yield size, _measured(side, folder, first=repeat == 0 and size == SIZES[0])


def _measured(side: Side, folder: Path, *, first: bool) -> dict[str, float]:
    up = ("up", "stack.yaml", "--name", NAME, "--timeout", 600)
    values = {"render_s": seconds(side, folder, "render", "stack.yaml", "-o", "rendered.yaml")}
    try:
        if first:  # the images
            gymctl(side, folder, *up)
            gymctl(side, folder, "down")
        values["up_s"] = seconds(side, folder, *up)
        values["status_s"] = seconds(side, folder, "status")
        everyone = [pid for root in container_processes(NAME).values() for pid in machine.family(root)]
        values["memory_mb"] = machine.memory_mb(everyone)
    finally:
        values["down_s"] = seconds(side, folder, "down")
    return values
