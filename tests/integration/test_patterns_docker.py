"""Every pattern's example on Docker: it comes up and collects, and the rewards are those that its rows say."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet
from command_line import Folder

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
from render_examples import patterns

from gymctl.config import load_config

QUICK = {"policy-and-judge", "staging"}  # the others are no different in kind, and together take minutes
NOWHERE = "http://127.0.0.1:9/"  # in the container: tests ask no search engine


def cases() -> Iterator[ParameterSet]:
    for stack, rows in patterns():
        marks = [] if QUICK & {stack.stem, stack.parent.name} else [pytest.mark.lab]
        yield pytest.param(stack, rows, marks=[pytest.mark.docker, *marks], id=f"{stack.parent.name}/{stack.name}")


@pytest.fixture
def folder(tmp_path: Path, free_port: int) -> Iterator[Folder]:
    made = Folder(tmp_path, free_port)
    yield made
    made.clean()


@pytest.mark.parametrize(("stack", "rows"), list(cases()))
def test_a_pattern_comes_up_and_collects(folder: Folder, stack: Path, rows: Path) -> None:
    shutil.copytree(stack.parent, folder.path, dirs_exist_ok=True)
    if (folder.path / "env.example.yaml").exists():
        (folder.path / "env.example.yaml").rename(folder.path / "env.yaml")
    config = load_config([stack.name], cwd=folder.path, environ={})
    searching = [server for server in config.servers.values() if server.implementation == "google_search"]
    nowhere = [f"++{'.'.join(server.path)}.search_url={NOWHERE}" for server in searching]

    up = folder.up(stack.name, *nowhere, "--timeout", 240)
    assert up.returncode == 0, up.stderr
    assert f"is up: {len(config.servers) + 1} servers" in up.stdout
    collected = folder.gymctl(
        "collect", "--input", rows.relative_to(stack.parent), "--output", "rollouts.jsonl", "--json"
    )
    assert collected.returncode == 0, collected.stdout + collected.stderr
    report = json.loads(collected.stdout)
    assert (report["done"], report["failed"]) == (report["total"], 0)
    results = [json.loads(line) for line in (folder.path / "rollouts.jsonl").read_text().splitlines()]
    assert [row["reward"] for row in results] == [row["scripted_reward"] for row in results]
    assert {row["agent_ref"]["name"] for row in results} == set(config.agent_names)
