"""Rewards of NeMo Gym's environments without a server: run by an interpreter that has NeMo Gym installed.

Reads {environment: [rollout, ...]} as JSON from standard input and prints {environment: [reward, ...]}. A rollout has
the columns of its row and its ``response``. The environment's own code judges it, with its own configuration.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import sys
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import yaml
from fastapi.testclient import TestClient

ENVIRONMENTS = "resources_servers"
WRITTEN_BY_MODEL = ("message", "reasoning", "function_call")


def application(environment: str) -> TestClient:
    """The environment's web application, configured as the package configures it."""
    folder = Path(str(importlib.import_module(ENVIRONMENTS).__path__[0])) / environment
    sys.path.insert(0, str(folder))  # as for `python app.py` in that folder
    os.chdir(folder)
    module = importlib.import_module(f"{ENVIRONMENTS}.{environment}.app")
    from nemo_gym.base_resources_server import SimpleResourcesServer
    from nemo_gym.server_utils import ServerClient

    own: list[Any] = [
        member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, SimpleResourcesServer) and member.__module__ == module.__name__
    ]
    (server,) = own
    entries = yaml.safe_load((folder / "configs" / f"{environment}.yaml").read_text()).values()
    (fields,) = [entry[ENVIRONMENTS][environment] for entry in entries if ENVIRONMENTS in entry]
    config = server.model_fields["config"].annotation
    fields = {"host": "127.0.0.1", "port": 1, "name": environment, **fields}
    built = server(config=config(**fields), server_client=MagicMock(spec=ServerClient))
    return TestClient(built.setup_webserver())


def post(client: TestClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    reply = client.post(path, json=body)
    assert reply.status_code == 200, (path, reply.status_code, reply.text[:2000])
    return dict(reply.json())


def steps(output: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """What the model wrote, one list for each of its answers."""
    groups: list[list[dict[str, Any]]] = [[]]
    for item in output:
        if item["type"] in WRITTEN_BY_MODEL and item.get("role", "assistant") == "assistant":
            groups[-1].append(item)
        elif groups[-1]:
            groups.append([])
    return [group for group in groups if group]


def reward(client: TestClient, rollout: dict[str, Any]) -> float:
    """The reward of one rollout; an environment with ``/step`` is played again."""
    columns = {key: value for key, value in rollout.items() if key not in ("reward", "info")}
    if not any(getattr(route, "path", "") == "/step" for route in client.app.routes):  # type: ignore[attr-defined]
        return float(post(client, "/verify", columns)["reward"])
    columns.pop("response")
    post(client, "/reset", columns)
    total = 0.0
    for group in steps(rollout["response"]["output"]):
        total += post(client, "/step", {**columns, "response": {**rollout["response"], "output": group}})["reward"]
    return total


def main() -> None:
    asked = json.load(sys.stdin)
    rewards = {}
    for environment, rollouts in asked.items():
        with application(environment) as client:
            rewards[environment] = [reward(client, rollout) for rollout in rollouts]
    print(json.dumps(rewards))


if __name__ == "__main__":
    main()
