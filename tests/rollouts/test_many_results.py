"""Metrics of many results are those of few, without holding them."""

from __future__ import annotations

import asyncio
import json
import random
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from gymctl.config import exact_json
from gymctl.errors import RunError
from gymctl.rollouts import metrics
from gymctl.rollouts.metrics import aggregate
from gymctl.server import Call, Client, Reply
from gymctl.server.metrics import baseline_metrics


class Metrics:
    """An agent that answers the baseline, or something of its own, and notes how many rows it was sent."""

    def __init__(self, own: bool) -> None:
        self.own, self.sizes = own, list[int]()

    async def send(self, server: str, call: Call) -> Reply:
        rows = json.loads(call.body)["verify_responses"]
        self.sizes.append(len(rows))
        answer: dict[str, Any] = baseline_metrics(rows)
        if self.own:
            answer["agent_metrics"]["majority"] = len(rows)
        return Reply(200, exact_json.dumps(answer))

    async def close(self) -> None:
        """Nothing to close."""


def write_results(path: Path, tasks: int, repeats: int, pad: int = 0) -> list[dict[str, Any]]:
    rows = [
        {
            "_ng_task_index": task,
            "_ng_rollout_index": repeat,
            "agent_ref": {"name": "alpha"},
            "reward": (task * 7 + repeat) % 5 / 4,
            "response": {"output": ["x" * pad], "usage": {"input_tokens": task, "output_tokens": 2}},
            "solved": bool(task % 2),
        }
        for task in range(tasks)
        for repeat in range(repeats)
    ]
    random.Random(3).shuffle(rows)
    with path.open("w") as out:
        for item in [*rows, rows[0]]:
            out.write(json.dumps(item) + "\n")
    return rows


def aggregated(tmp_path: Path, own: bool) -> tuple[list[dict[str, Any]], list[int]]:
    agent = Metrics(own)
    asyncio.run(aggregate(tmp_path / "out.jsonl", tmp_path / "metrics.json", Client(agent)))
    return json.loads((tmp_path / "metrics.json").read_text()), agent.sizes


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("few", [1000, 10])
def test_metrics_are_the_same_however_they_are_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: bool, few: int
) -> None:
    monkeypatch.setattr(metrics, "FEW", few)
    rows = write_results(tmp_path / "out.jsonl", tasks=30, repeats=3)
    (entry,), sizes = aggregated(tmp_path, own)
    expected = json.loads(exact_json.dumps(baseline_metrics(rows)))
    if own:
        expected["agent_metrics"]["majority"] = 90
    assert entry == {"agent_ref": {"name": "alpha"}, **{part: expected[part] for part in expected}}
    assert sizes == ([90] if few == 1000 else [32, 90] if own else [32])


def test_no_temporary_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "FEW", 1)
    write_results(tmp_path / "out.jsonl", tasks=5, repeats=1)
    aggregated(tmp_path, own=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.json", "out.jsonl"]


def test_a_disk_that_is_full_at_the_metrics_has_all_results(tmp_path: Path) -> None:
    write_results(tmp_path / "out.jsonl", tasks=5, repeats=1)
    with pytest.raises(RunError, match="all results are written"):
        asyncio.run(aggregate(tmp_path / "out.jsonl", tmp_path / "none" / "metrics.json", Client(Metrics(own=False))))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_results(tmp_path: Path) -> None:
    write_results(tmp_path / "out.jsonl", tasks=20_000, repeats=1, pad=500)
    tracemalloc.start()
    aggregated_sizes: list[int] = []
    agent = Metrics(own=False)
    asyncio.run(aggregate(tmp_path / "out.jsonl", tmp_path / "metrics.json", Client(agent)))
    aggregated_sizes += agent.sizes
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert aggregated_sizes == [32]
    assert peak < 12 << 20
