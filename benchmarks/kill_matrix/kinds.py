"""The kinds of blows. Each is a function of the scene and the collector that is running; it returns when it has struck.

What is random is drawn from the scene's dice, so that a seed repeats it as far as the machine's own timing does.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.kill_matrix.collecting import Collector
from benchmarks.kill_matrix.fleet import AGENT, BACKEND, BOXES, MODEL
from benchmarks.kill_matrix.scene import Scene

OUTAGE_S = 10.0
FREEZE_S = 30.0


def _nothing(scene: Scene) -> None:
    """No preparation."""


@dataclass(frozen=True)
class Kind:
    """``prepare`` runs before the first session, ``strike`` during every one; there may be ``sessions`` of them.

    ``ends``: exit codes that are right for a session that leaves rollouts undone. ``waits_s``: how long it lasts,
    whatever the machine.
    """

    name: str
    strike: Callable[[Scene, Collector], None]
    prepare: Callable[[Scene], None] = _nothing
    relayed: bool = False
    sessions: int = 6
    ends: tuple[int, ...] = ()
    waits_s: float = 0.0


def kill_collector(scene: Scene, collector: Collector) -> None:
    """Kill it at any moment from its start on, up to three times."""
    if scene.session >= 3 or (scene.session and scene.dice.random() < 0.3):
        return
    if scene.dice.random() < 0.8:
        scene.rest_amid(collector)
    else:
        scene.rest(0.0, 1.2)
    if collector.alive:
        collector.kill()
        scene.struck("collector killed")


def kill_server(name: str) -> Callable[[Scene, Collector], None]:
    """Kill one server in the middle of the run, once or twice, and start it again after a moment."""

    def strike(scene: Scene, collector: Collector) -> None:
        """Kill the server, and start it again."""
        if scene.session:
            return
        for _ in range(scene.dice.choice((1, 1, 2))):
            scene.rest_amid(collector)
            scene.fleet.kill(name)
            scene.struck(f"{name} killed")
            scene.rest(0.0, 2.0)
            scene.fleet.launch(name)
            scene.fleet.wait_for(name)

    return strike


def random_retries(scene: Scene) -> None:
    """Whether the model server itself tries again."""
    scene.fleet.use_model_retries(scene.dice.choice((0, 0, 2)))


def some_500(scene: Scene, collector: Collector) -> None:
    """One model call in ten fails."""
    scene.fleet.fault(kind="status", status=500, share=0.1)
    scene.struck("10 % 500", 0)


def some_429(scene: Scene, collector: Collector) -> None:
    """One model call in ten is answered with 429 and ``Retry-After: 1``."""
    scene.fleet.fault(kind="status", status=429, share=0.1, headers={"Retry-After": "1"})
    scene.struck("10 % 429", 0)


def patience(scene: Scene) -> None:
    """A run that outlasts the outage, or one that gives up and is resumed."""
    random_retries(scene)
    scene.options["stall_s"] = scene.dice.choice((2.0, 60.0))
    scene.options["max_attempts"] = scene.dice.choice((3, 20))


def all_500(scene: Scene, collector: Collector) -> None:
    """Every model call fails for ten seconds; a run that gives up before is resumed into the rest of them."""
    if scene.session:
        return
    scene.rest_amid(collector)
    scene.fleet.fault(kind="status", status=500)
    scene.struck("all 500", 0)
    end = threading.Timer(OUTAGE_S, scene.fleet.fault)
    end.start()
    scene.at_end.append(end.join)


def resets(scene: Scene, collector: Collector) -> None:
    """Connections break off, on every hop of ours or at the model."""
    if scene.dice.random() < 0.3:
        scene.fleet.fault(kind="reset", share=0.1)
        scene.struck("model resets", 0)
        return
    before = sum(relay.resets for relay in scene.fleet.relays.values())
    for relay in scene.fleet.relays.values():
        relay.share = 0.01
    collector.wait(scene.seconds)
    after = sum(relay.resets for relay in scene.fleet.relays.values())
    scene.struck(f"{after - before} resets", after - before)


def deadlines(scene: Scene) -> None:
    """Deadlines above or below the freeze."""
    scene.options["deadline_s"] = scene.dice.choice((120.0, 8.0))
    scene.options["stall_s"] = 60.0


def freeze(scene: Scene, collector: Collector) -> None:
    """One server stands still for half a minute, or the model takes calls and does not answer."""
    if scene.session:
        return
    name = scene.dice.choice((AGENT, BOXES, MODEL, BACKEND, ""))
    scene.rest_amid(collector)
    scene.struck(f"{name or 'the model, silent,'} frozen")
    if name:
        scene.fleet.freeze(name, True)
    else:
        scene.fleet.fault(kind="silence")
    time.sleep(FREEZE_S)
    if name:
        scene.fleet.freeze(name, False)
    else:
        scene.fleet.fault()


def small_disk(scene: Scene) -> None:
    """A small file system where this user may mount one, else (or by the dice) a limit on the size of a file."""
    size = scene.dice.randrange(120_000, 500_000)
    if scene.dice.random() < 0.7 and _mounted(scene.output.parent, size):
        scene.strikes.append("tmpfs")
        scene.at_end.append(lambda: _command("umount", "-l", str(scene.output.parent)) and None)
    else:
        scene.strikes.append("file size limit")
        scene.largest_file = size // 2


def fill_disk(scene: Scene, collector: Collector) -> None:
    """Wait until it is full, then make room."""
    if scene.session:
        return
    collector.wait(scene.seconds)
    if scene.largest_file is None:
        _command("mount", "-o", "remount,size=64m", str(scene.output.parent))


def _mounted(folder: Path, size: int) -> bool:
    return os.geteuid() == 0 and _command("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))


def _command(*argv: str) -> bool:
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


KINDS = (
    Kind("collector kill -9", kill_collector, ends=(-9,)),
    Kind("agent killed", kill_server(AGENT)),
    Kind("resources server killed", kill_server(BOXES)),
    Kind("model server killed", kill_server(MODEL)),
    Kind("10 % 500", some_500, random_retries),
    Kind("10 % 429, Retry-After", some_429, random_retries),
    Kind("all 500 for 10 s", all_500, patience, sessions=12, ends=(1,), waits_s=OUTAGE_S),
    Kind("connection resets", resets, relayed=True),
    Kind("30 s freeze", freeze, deadlines, ends=(1,), waits_s=FREEZE_S),
    Kind("full disk", fill_disk, small_disk, ends=(1,)),
)
