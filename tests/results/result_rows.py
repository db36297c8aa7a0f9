"""Rows as collectors write them, for the tests of ``gymctl.results``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def result(task: int, repeat: int = 0, reward: Any = 1.0, **extra: Any) -> dict[str, Any]:
    """A result of an agent that called one tool."""
    output = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "The tool knows."}]},
        {"type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": '{"city":"Oslo"}'},
        {"type": "function_call_output", "call_id": "c1", "output": '{"weather":"mild"}'},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "It is mild."}]},
    ]
    row: dict[str, Any] = {
        "responses_create_params": {"input": [{"role": "user", "content": f"Question {task}?"}]},
        "agent_ref": {"name": "weather_agent"},
        "_ng_task_index": task,
        "_ng_rollout_index": repeat,
        "response": {
            "output": output,
            "model": "m",
            "status": "completed",
            "usage": {"input_tokens": 10 + task, "output_tokens": 5},
        },
        "reward": reward,
        "_gymctl_timing": {"queue_ms": 1.0, "total_ms": 100.0 + task, "hops": {"model": 60.0, "tool": 10.0}},
    }
    return {**row, **extra}


def failure(task: int, repeat: int = 0, failure_class: str = "timeout", attempt: int = 0) -> dict[str, Any]:
    """The row of a failed attempt."""
    return {
        "_ng_task_index": task,
        "_ng_rollout_index": repeat,
        "agent_ref": {"name": "weather_agent"},
        "_ng_failure_class": failure_class,
        "_ng_failure_terminal": False,
        "_ng_attempt_index": attempt,
        "_gymctl_failure": {
            "message": "weather: POST /verify took too long",
            "hop": "weather",
            "path": "/verify",
            "status": 504,
            "body": "late",
            "retriable": True,
        },
    }


def write(path: Path, rows: Iterable[dict[str, Any]], failures: Iterable[dict[str, Any]] = ()) -> Path:
    """A results file, and its file of failures when there are any."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = "".join(json.dumps(row) + "\n" for row in failures)
    if lines:
        path.with_name(f"{path.stem}_failures.jsonl").write_text(lines)
    return path


def append(path: Path, *rows: dict[str, Any]) -> None:
    """Add rows to a file."""
    with path.open("a") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows)
