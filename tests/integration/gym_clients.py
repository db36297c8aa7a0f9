"""Command lines of NeMo Gym's releases that collect from a stack: on this machine, or in containers on its network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gym_stack import read_rows, write_rows

from gymctl import __version__
from gymctl.engines.build.images import build_images
from gymctl.stack import GymBuild, GymSource, ImagePlan

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cli"))
from upstream_client import interpreter

CALLS = Path(__file__).parent / "upstream_calls.py"
INSIDE = "/data"


@dataclass(frozen=True)
class Client:
    """A release of NeMo Gym, and how its programs are run where they reach the head at ``host`` and ``port``."""

    release: str
    host: str
    port: int
    folder: Path
    """A folder of this machine for the files of the client."""
    container: str = ""
    """The container whose network the client joins; empty: it runs on this machine."""

    def run(self, program: str, *arguments: object, timeout: float = 300) -> str:
        """Run a program of its environment; what it printed. ``{data}`` in an argument is the folder."""
        if self.container:
            argv = ["docker", "run", "--rm", "--network", f"container:{self.container}", "--workdir", "/tmp"]
            argv += ["--volume", f"{self.folder}:{INSIDE}", client_image(self.release), program]
            seen = INSIDE
        else:
            argv = [str(interpreter(self.release).parent / program)]
            seen = str(self.folder)
        argv += [str(argument).format(data=seen) for argument in arguments]
        done = subprocess.run(
            argv, cwd=self.folder, capture_output=True, text=True, timeout=timeout, check=False, env=os.environ
        )
        assert done.returncode == 0, f"{argv}\n{done.stdout[-4000:]}\n{done.stderr[-6000:]}"
        return done.stdout

    @property
    def head_options(self) -> list[str]:
        return [f"+head_server.host={self.host}", f"+head_server.port={self.port}"]

    def calls(self, rows: list[dict[str, Any]], models: tuple[str, ...]) -> dict[str, Any]:
        """The rewards of rows that ``run_examples`` collected, and answers to direct calls of ``ServerClient``."""
        self._prepare()
        write_rows(self.folder / "rows.jsonl", rows)
        shutil.copyfile(CALLS, self.folder / CALLS.name)
        words = [f"{{data}}/{CALLS.name}", self.host, self.port, "{data}/rows.jsonl", *models]
        return dict(json.loads(self.run("python", *words).splitlines()[-1]))

    def evaluation(
        self, rows: list[dict[str, Any]], name: str, *options: str
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The results of ``gym eval run --no-serve`` in the order of the rows, and the metrics of each agent."""
        self._prepare()
        write_rows(self.folder / f"{name}.jsonl", rows)
        files = ["--input", f"{{data}}/{name}.jsonl", "--output", f"{{data}}/{name}_out.jsonl"]
        self.run("gym", "eval", "run", "--no-serve", *files, *self.head_options, *options)
        results = sorted(read_rows(self.folder / f"{name}_out.jsonl"), key=_place)
        metrics = json.loads((self.folder / f"{name}_out_aggregate_metrics.json").read_text())
        return results, metrics

    def status(self) -> str:
        """What ``gym env status`` prints."""
        return self.run("gym", "env", "status", *self.head_options)

    def _prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o777)  # the programs in a container do not run as this user


def _place(result: dict[str, Any]) -> tuple[int, int]:
    return result["_ng_task_index"], result["_ng_rollout_index"]


def client_image(release: str) -> str:
    """The image with a release of NeMo Gym that stacks are built on; built unless it is there."""
    plan = ImagePlan(f"gymctl-nemo-gym:{release}-{__version__}", gym=GymBuild(GymSource(release)))
    return build_images([plan])[plan.tag]
