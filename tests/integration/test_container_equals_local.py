"""The same rows give the same rollouts in containers and in one process: rows, rewards, fields."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from command_line import EXAMPLE, Folder
from free_ports import free_port

pytestmark = pytest.mark.docker

TIMING = "_gymctl_timing"


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Folder]]:
    """The folder of each engine's collection, by engine."""
    folders = {}
    for engine in ("local", "compose"):
        folder = Folder(tmp_path_factory.mktemp(engine), free_port())
        try:
            up = folder.up(EXAMPLE, "--engine", engine)
            assert up.returncode == 0, up.stderr
            rows = ["--input", EXAMPLE / "rows.jsonl", "--output", "out.jsonl", "--num-repeats", 2, "--order", "input"]
            done = folder.gymctl("collect", *rows)
            assert done.returncode == 0, done.stderr
        finally:
            down = folder.gymctl("down")
        assert down.returncode == 0, down.stderr
        folders[engine] = folder
    yield folders
    for folder in folders.values():
        folder.clean()


def rollouts(folder: Folder) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder.path / "out.jsonl").read_text().splitlines()]


def without_times(row: dict[str, Any]) -> dict[str, Any]:
    """A rollout whose times are replaced by the names of what was timed: no run takes as long as another."""
    return {**row, TIMING: {**dict.fromkeys(row[TIMING]), "hops": sorted(row[TIMING]["hops"])}}


def test_the_same_rows_rewards_and_fields(collected: dict[str, Folder]) -> None:
    local, compose = rollouts(collected["local"]), rollouts(collected["compose"])
    assert len(local) == 20
    assert [row["reward"] for row in compose] == [row["reward"] for row in local]
    assert [sorted(row) for row in compose] == [sorted(row) for row in local]
    assert [without_times(row) for row in compose] == [without_times(row) for row in local]


def test_the_same_files_and_inputs(collected: dict[str, Folder]) -> None:
    local, compose = collected["local"], collected["compose"]
    assert local.files() == compose.files()
    name = "out_materialized_inputs.jsonl"
    assert (local.path / name).read_bytes() == (compose.path / name).read_bytes()
    assert (compose.path / "out_failures.jsonl").read_bytes() == b""


def test_the_same_metrics(collected: dict[str, Folder]) -> None:
    metrics = [json.loads((folder.path / "out_aggregate_metrics.json").read_text()) for folder in collected.values()]
    assert metrics[0] == metrics[1]
