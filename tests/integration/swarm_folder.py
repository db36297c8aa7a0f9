"""The command line against the manager of a Swarm: its own processes, in a folder that the manager sees."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

from command_line import GYMCTL
from swarm_lab import Lab

from gymctl.engines.build.images import build_images
from gymctl.operations.configuration import PlanOptions, load, plan

BASE = os.environ.get("GYMCTL_BASE_IMAGE", "python:3.12-slim")
REPOSITORY = Path(__file__).parents[2]
TOOL = "example_single_tool_call"
AGENT = f"{TOOL}_simple_agent"


class SwarmFolder:
    """A folder to run gymctl in, against the manager of a Swarm."""

    def __init__(self, lab: Lab, path: Path) -> None:
        self.lab, self.path = lab, path
        self.environ = {**os.environ, **lab.manager}
        self.hosts = [word for host in lab.hosts[1:] for word in ("--host", host)]

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*GYMCTL, *map(str, arguments)], cwd=self.path, env=self.environ, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def gymctl(self, *arguments: object, code: int = 0) -> str:
        """Run one command to its end and see its exit code; what it printed."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=400)
        assert process.returncode == code, f"{process.returncode} {out} {err}"
        return out + err

    def up(self, *arguments: object, code: int = 0) -> str:
        return self.gymctl("up", "--engine", "swarm", "--name", self.path.name, *self.hosts, *arguments, code=code)

    def status(self) -> dict[str, dict[str, Any]]:
        """Each server's status as JSON says it, well or not."""
        process = self.start("status", "--json")
        return {server["name"]: server for server in json.loads(process.communicate(timeout=60)[0])}

    def rows(self, environments: list[str]) -> Path:
        """The example rows of environments, each with its agent."""
        rows = []
        for name in environments:
            text = (REPOSITORY / "services" / "resources_servers" / name / "data" / "example.jsonl").read_text()
            agent = {"type": "responses_api_agents", "name": f"{name}_simple_agent"}
            rows += [{**json.loads(line), "agent_ref": agent} for line in text.splitlines()]
        path = self.path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    def collecting(self, repeats: int) -> subprocess.Popen[str]:
        """A collection that runs beside us, well under way."""
        rows = self.rows([TOOL])
        options = ["--num-repeats", repeats, "--concurrency", 24]
        process = self.start("collect", "-i", rows.name, "-o", "out.jsonl", *options)
        deadline = time.monotonic() + 60
        while self.count() < repeats:  # a fifth: there are five rows
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        return process

    def count(self) -> int:
        output = self.path / "out.jsonl"
        return output.read_bytes().count(b"\n") if output.exists() else 0

    def results(self, collection: subprocess.Popen[str], count: int) -> list[dict[str, Any]]:
        """Wait for the collection's end: every row is there, exactly once; the failed attempts."""
        out, err = collection.communicate(timeout=500)
        assert collection.returncode == 0, out + err
        rows = [json.loads(line) for line in (self.path / "out.jsonl").read_text().splitlines()]
        seen = Counter((row["_ng_task_index"], row["_ng_rollout_index"]) for row in rows)
        assert len(rows) == len(seen) == count
        assert all(row["reward"] == 1.0 for row in rows)
        print(out)
        return [json.loads(line) for line in (self.path / "out_failures.jsonl").read_text().splitlines()]


def stack_images(path: Path, *arguments: str) -> list[str]:
    """The images of the stack in a folder, built by this machine's engine, with those that they are built on.

    A node that has them builds nothing: an image is named by what it is built from.
    """
    config = load("stack.yaml", *arguments, directory=path)
    planned = plan(config, PlanOptions(name=path.name, is_swarm=True), directory=path)
    return [BASE, *build_images(planned.images, directory=path).values()]
