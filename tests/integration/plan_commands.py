"""``gymctl plan`` and ``gymctl up`` in a stack's directory, and what the engine reports about its containers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from small_stack import IMAGE, SmallStack

from gymctl.engines.compose.trial import TRIAL_SUFFIX
from gymctl.engines.compose.update_order import PUBLISHES
from gymctl.engines.docker.containers import PROJECT, SERVICE
from gymctl.engines.docker.daemon import connect

ACTIONS = ("create", "start", "die", "destroy")
_MARKER = "gymctl.test.events"

Happened = dict[str, Counter[str]]
"""How many containers of each service were created, started, ended and removed."""


class Cli:
    """The commands in a stack's directory."""

    def __init__(self, stack: SmallStack) -> None:
        self.stack = stack

    def __call__(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = self.run(*arguments)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end, whatever its exit code."""
        return subprocess.run(
            [sys.executable, "-m", "gymctl.cli.main", *arguments, "stack.yaml", "--name", self.stack.name],
            cwd=self.stack.directory,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    def plan(self, code: int) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
        """The servers that change, by name, and the whole plan."""
        plan = json.loads(self("plan", "--json", code=code).stdout)
        return changed_servers(plan), plan

    def up(self, *options: str) -> tuple[str, Happened]:
        """What it prints, and what happened to the containers of each service by the engine's events."""
        with container_events(self.stack.name, self.stack.images[IMAGE]) as happened:
            output = self("up", "--no-probe", *options).stderr
        return output, happened


def changed_servers(plan: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The servers that a plan changes, by name."""
    return {server["name"]: server for server in plan["servers"] if server["action"] != "unchanged"}


@contextmanager
def container_events(project: str, image: str) -> Iterator[Happened]:
    """Count what happens to the containers of a project while the block runs; complete when the block has ended.

    The engine remembers few events, most of them of health checks: they are read while they happen. A container of
    ``image`` is created and removed last: its event ends the reader, so that none before it is missed.
    """
    client = connect("")
    last = uuid.uuid4().hex
    happened: Happened = {}
    events = client.api.events(since=time.time(), filters={"type": "container"}, decode=True)

    def read() -> None:
        for event in events:
            attributes = event["Actor"]["Attributes"]
            if attributes.get(_MARKER) == last:
                return
            is_of_service = attributes.get(PROJECT) == project and SERVICE in attributes
            if is_of_service and event["Action"] in ACTIONS:
                happened.setdefault(attributes[SERVICE], Counter())[event["Action"]] += 1

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield happened
    finally:
        marker = client.api.create_container(image, ["true"], labels={_MARKER: last})
        client.api.remove_container(marker["Id"])
        reader.join()
        events.close()


def expected_events(
    servers: Mapping[str, Mapping[str, Any]], stopped: Mapping[str, int] = MappingProxyType({})
) -> Happened:
    """What happens to the containers of each service by a plan; ``stopped`` containers exist and do not run."""
    events = {name: _expected(server, stopped.get(name, 0)) for name, server in servers.items()}
    for name, server in servers.items():
        runs = server["running"] > stopped.get(name, 0)
        if server["action"] == "replaced" and server["stop_first"] == PUBLISHES and runs:
            events[f"{name}{TRIAL_SUFFIX}"] = Counter(ACTIONS)
    return {name: +counts for name, counts in events.items() if +counts}


def _expected(server: Mapping[str, Any], stopped: int) -> Counter[str]:
    """What happens to the containers of one service."""
    there, wanted = server["running"], server["replicas"]
    added, surplus = max(0, wanted - there), max(0, there - wanted)
    new = {"create": wanted, "start": wanted}
    possible = {
        "created": new,
        "replaced": {**new, "die": there - stopped, "destroy": there},
        "removed": {"die": there - stopped, "destroy": there},
        "scaled": {"create": added, "start": added, "die": max(0, surplus - stopped), "destroy": surplus},
        "started": {
            "create": added,
            "start": added + max(0, stopped - surplus),
            "die": max(0, surplus - stopped),
            "destroy": surplus,
        },
    }
    return Counter(possible[server["action"]])
