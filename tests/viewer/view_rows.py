"""Rows for the page: two agents, tools, failures, all with a seed."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

TASKS = 60
REPEATS = 4
FAILED = 5


def rollout_row(source: random.Random, task: int, repeat: int) -> dict[str, Any]:
    agent = "weather_agent" if task % 3 else "math_agent"
    reward = float(source.random() < 0.5)
    if agent == "math_agent":
        reward = round(source.random(), 3)
    answer = f"Mild, {task}:{repeat}."
    output: list[dict[str, Any]] = [
        {
            "type": "reasoning",
            "summary": [
                {"type": "summary_text", "text": f"The tool knows about city {task}. Draft {source.random()}."}
            ],
        },
        {"type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": '{"city":"Oslo"}'},
        {"type": "function_call_output", "call_id": "c1", "output": '{"weather":"mild"}'},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": answer}],
        },
    ]
    return {
        "responses_create_params": {"input": [{"role": "user", "content": f"What is the weather in city {task}?"}]},
        "response": {
            "output": output,
            "model": "demo",
            "status": "completed",
            "usage": {"input_tokens": source.randrange(100, 900), "output_tokens": source.randrange(5, 700)},
        },
        "reward": reward,
        "expected": "mild",
        "agent_ref": {"name": agent},
        "_ng_task_index": task,
        "_ng_rollout_index": repeat,
        "_gymctl_timing": {
            "queue_ms": 1.0,
            "total_ms": source.uniform(100, 4000),
            "hops": {"seed": 2.0, "model": 60.0, "tool": 10.0, "verify": 5.0},
        },
    }


def failure_row(task: int, repeat: int) -> dict[str, Any]:
    return {
        "_ng_task_index": task,
        "_ng_rollout_index": repeat,
        "agent_ref": {"name": "weather_agent"},
        "_ng_failure_class": "timeout",
        "_ng_failure_terminal": True,
        "_ng_attempt_index": 2,
        "_gymctl_failure": {
            "message": "weather: POST /verify took too long",
            "hop": "weather",
            "path": "/verify",
            "status": 504,
            "body": "late",
        },
    }


def write_run(path: Path, seed: int, tasks: int = TASKS) -> None:
    """A run of ``tasks`` x 4 rollouts, of which 5 failed."""
    source = random.Random(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [rollout_row(source, task, repeat) for task in range(tasks) for repeat in range(REPEATS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows[FAILED:]))
    failures = [failure_row(row["_ng_task_index"], row["_ng_rollout_index"]) for row in rows[:FAILED]]
    path.with_name(f"{path.stem}_failures.jsonl").write_text("".join(json.dumps(row) + "\n" for row in failures))


def append(path: Path, *rows: dict[str, Any]) -> None:
    with path.open("a") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows)
