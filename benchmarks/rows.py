"""Request bodies for the driver: rows of the smallest environment as a collector sends them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

COUNT = 256  # different bodies; the driver goes round
CITIES = ("Lisbon", "Oslo", "Nairobi", "Osaka", "Quito", "Perth", "Tunis", "Turku")
TOOL = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city, now.",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "The name of the city."}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
USAGE = {
    "input_tokens": 50,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 10,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 60,
}


def create_params(index: int) -> dict[str, Any]:
    """Create params of the Responses API: two messages and a tool."""
    return {
        "input": [
            {"role": "developer", "content": "Ask the tool about every city before you answer. Be brief and exact."},
            {"role": "user", "content": f"Question {index}: is it wet in {CITIES[index % len(CITIES)]} today?"},
        ],
        "tools": [TOOL],
    }  # fmt: skip


def rollout(index: int) -> dict[str, Any]:
    """A row as a collector posts it to an agent's ``/run``."""
    return {
        "responses_create_params": create_params(index),
        "agent_ref": {"type": "responses_api_agents", "name": "agent"},
        "_ng_task_index": index,
        "_ng_rollout_index": 0,
    }


def to_verify(index: int) -> dict[str, Any]:
    """A row with its response, for ``/verify``."""
    call = {
        "type": "function_call", "id": f"fc_{index}", "call_id": f"call_{index}", "name": "get_weather",
        "arguments": '{"city":"Lisbon"}', "status": "completed",
    }  # fmt: skip
    content = [{"type": "output_text", "text": "It is mild.", "annotations": []}]
    output = [
        call,
        {"type": "function_call_output", "call_id": f"call_{index}", "output": '{"city":"Lisbon","weather":"mild"}'},
        {"type": "message", "id": f"msg_{index}", "role": "assistant", "status": "completed", "content": content},
    ]
    response = {
        "id": f"resp_{index}", "object": "response", "created_at": 1760000000.0, "status": "completed",
        "model": "bench", "output": output, "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
        "usage": USAGE,
    }  # fmt: skip
    return {**rollout(index), "response": response}


def write(path: Path, make: Callable[[int], dict[str, Any]], count: int = COUNT) -> Path:
    """Write ``count`` bodies, one a line."""
    path.write_text("".join(json.dumps(make(index)) + "\n" for index in range(count)))
    return path
