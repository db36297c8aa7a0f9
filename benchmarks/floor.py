"""The floor: the same rollouts over servers without features, compared with ours and NeMo Gym's in the same run."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from benchmarks.cases import Plan, Sample, in_turn, rollout_target, start_stacks
from benchmarks.long_rollouts import CONCURRENCY, SHAPES
from benchmarks.native import set_script
from benchmarks.sides import Stack, wait_for

FLOOR = "floor"
_SCRIPT = Path(__file__).with_name("floor_server.py")
_PORT_OFFSET = 60  # after those of the sides
_REPOSITORY = Path(__file__).resolve().parents[1]


def floor(plan: Plan) -> Iterator[Sample]:
    """Short rollouts, then long ones: what is above the floor is the price of the features."""
    target = rollout_target(plan)
    with ExitStack() as stacks:
        running = {side.name: stack for side, stack in start_stacks(plan, stacks)}
        running[FLOOR] = stacks.enter_context(_servers(plan))
        for concurrency in plan.concurrency:
            label = f"rollouts beside the floor, {concurrency:,} concurrent"
            yield from in_turn(plan, running.items(), label, target, concurrency, plan.count, warm=concurrency)
        for shape in SHAPES:
            set_script(plan.backend_port, shape.steps, shape.padding)
            label = f"{shape.label}, beside the floor"
            yield from in_turn(plan, running.items(), label, target, CONCURRENCY, shape.count, warm=CONCURRENCY)


@contextmanager
def _servers(plan: Plan) -> Iterator[Stack]:
    first = plan.backend_port + _PORT_OFFSET
    ports = {"policy_model": first, "environment": first + 1, "agent": first + 2}
    peers = [f"backend={plan.backend_port}", f"model={first}", f"environment={first + 1}"]
    started = time.monotonic()
    log_file = plan.folder / "floor.log"
    with log_file.open("wb") as log:
        processes = _start(ports, peers, log)
    try:
        wait_for(ports, processes[0], log_file, timeout_s=60)
        yield Stack(ports, processes[0].pid, time.monotonic() - started)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _start(ports: dict[str, int], peers: list[str], log: BinaryIO) -> list[subprocess.Popen[bytes]]:
    return [
        subprocess.Popen(
            [sys.executable, str(_SCRIPT), name.removeprefix("policy_"), str(port), *peers],
            env={"PYTHONPATH": str(_REPOSITORY), "PATH": ""},
            stderr=log,
        )
        for name, port in ports.items()
    ]
