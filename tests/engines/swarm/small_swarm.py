"""A Swarm as small as it can be: a ``docker`` command and a client of its API, over one file of JSON.

It takes what it is told at once. A task of a service whose image is ``broken`` finds no image on its node; a stack file
that has ``refused`` among its services is refused after those before it were taken.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

COMMAND = """#!{python} -SE
import json, sys
path, words = {path!r}, sys.argv[1:]
state = json.load(open(path))
state["said"].append(words)
services, code = state["services"], 0
if words[:2] == ["stack", "deploy"]:
    text = open(words[words.index("--compose-file") + 1]).read()
    for name, (image, replicas) in json.loads(text.partition(chr(10))[2]).items():
        if name == "refused":
            sys.stderr.write("Error response from daemon: no such network")
            code = 1
            break
        before = services.get(name)
        services[name] = {{"now": [image, replicas], "before": before and before["now"], "update": ""}}
elif words[:2] == ["service", "rollback"] and not state["stuck"]:
    service = services[words[-1].partition("_")[2]]
    service.update(now=service["before"], before=service["now"], update="rollback_completed")
elif words[:2] == ["service", "rm"]:
    del services[words[-1].partition("_")[2]]
elif words[:2] == ["service", "update"]:
    code = 1
json.dump(state, open(path, "w"))
sys.exit(code)
"""
HEADER = "# Rendered by gymctl. Manual changes will be overwritten.\n"


class SmallSwarm:
    """The stack ``demo``: by the name of each server, its image and how many replicas. It is its own API client."""

    def __init__(self, folder: Path, services: Mapping[str, tuple[str, int]]) -> None:
        self._path = folder / "swarm.json"
        self.availability: list[str] = []
        made = {name: {"now": list(now), "before": None, "update": ""} for name, now in services.items()}
        self.write(services=made, said=[], stuck=False)
        command = folder / "bin" / "docker"
        command.parent.mkdir()
        command.write_text(COMMAND.format(python=sys.executable, path=str(self._path)))
        command.chmod(0o755)

    @property
    def api(self) -> SmallSwarm:
        return self

    def read(self) -> Any:
        return json.loads(self._path.read_text())

    def write(self, **changed: Any) -> None:
        before = self.read() if self._path.exists() else {}
        self._path.write_text(json.dumps({**before, **changed}))

    def runs(self) -> dict[str, tuple[str, int]]:
        """Each server's image, and how many replicas it is to have."""
        return {name: tuple(service["now"]) for name, service in self.read()["services"].items()}

    def last_words(self, *words: str) -> list[str]:
        """The last words of the commands that began so."""
        return [line[-1] for line in self.read()["said"] if tuple(line[: len(words)]) == words]

    # what the engine asks of the SDK's client

    def info(self) -> Any:
        return {"Swarm": {"LocalNodeState": "active", "ControlAvailable": True}}

    def services(self, filters: Any = None) -> Any:
        return [
            {
                "ID": name, "Version": {"Index": 1}, "Spec": _spec(name, *service["now"]),
                "UpdateStatus": {"State": service["update"]},
            }
            for name, service in self.read()["services"].items()
        ]  # fmt: skip

    def tasks(self, filters: Any = None) -> Any:
        return [
            _task(name, slot, image)
            for name, (image, replicas) in self.runs().items()
            for slot in range(1, replicas + 1)
        ]

    def containers(self, filters: Any = None) -> Any:
        return []

    def nodes(self) -> Any:
        return [self.inspect_node("n1")]

    def inspect_node(self, identity: str) -> Any:
        spec = {"Role": "manager", "Availability": (self.availability or ["active"])[-1]}
        status, described = {"State": "ready"}, {"Hostname": "one"}
        return {"ID": "n1", "Version": {"Index": 1}, "Spec": spec, "Status": status, "Description": described}

    def update_node(self, identity: str, version: int, spec: Any) -> None:
        self.availability.append(spec["Availability"])

    def secrets(self, filters: Any = None) -> Any:
        return []

    configs = networks = secrets

    def remove_service(self, identity: str) -> None:
        raise AssertionError("nothing is left to be swept away here")

    remove_network = remove_secret = remove_config = remove_service


def stack_file(**services: tuple[str, int]) -> str:
    return HEADER + json.dumps(services)


def small_swarm(monkeypatch: pytest.MonkeyPatch, folder: Path, **services: tuple[str, int]) -> SmallSwarm:
    """One that ``docker`` talks to."""
    made = SmallSwarm(folder, services)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
    return made


def _spec(name: str, image: str, replicas: int) -> Any:
    template = {"ContainerSpec": {"Image": image}}
    return {"Name": f"demo_{name}", "Mode": {"Replicated": {"Replicas": replicas}}, "TaskTemplate": template}


def _task(name: str, slot: int, image: str) -> Any:
    broken = image == "broken"
    status = {"State": "rejected" if broken else "running", "Timestamp": "2026-01-01T00:00:00Z"}
    return {
        "ID": f"{name}.{slot}.{image}", "ServiceID": name, "Slot": slot, "NodeID": "n1", "CreatedAt": "2026-01-01",
        "Status": {**status, "Err": "No such image: broken" if broken else ""},
        "DesiredState": "shutdown" if broken else "running", "Spec": {"ContainerSpec": {"Image": image}},
    }  # fmt: skip
