"""Convert rollouts of ``write_rollouts`` into a log of inspect, with inspect's own recorder.

``VENV/bin/python benchmarks/inspect_log.py rollouts.jsonl FOLDER`` runs with the Python of a virtual environment that
has inspect-ai, and needs nothing else. A rollout becomes a sample: its conversation the messages, its reward the score,
its task the id and its repeat the epoch.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inspect_ai.log import EvalConfig, EvalDataset, EvalPlan, EvalResults, EvalSample, EvalSpec, EvalStats
from inspect_ai.log._recorders.create import create_recorder_for_format
from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageTool,
    ChatMessageUser,
    ContentReasoning,
    ContentText,
    ModelOutput,
    ModelUsage,
)
from inspect_ai.scorer import Score
from inspect_ai.tool import ToolCall

# Samples that are kept in memory until they are written. The recorder looks through them at each sample and through
# all summaries at each writing, so that much smaller and much larger numbers are slower.
_AT_ONCE = 300
_STARTED = datetime(2026, 1, 1, tzinfo=UTC)


async def convert(rollouts: Path, folder: Path) -> None:
    """Write the log."""
    recorder = create_recorder_for_format("eval", str(folder))
    spec = EvalSpec(
        created=_STARTED,
        task="rollouts",
        task_id="rollouts",
        run_id="rollouts",
        dataset=EvalDataset(name="rollouts"),
        model="openai/model",
        config=EvalConfig(epochs=8),
    )
    await recorder.log_init(spec)
    await recorder.log_start(spec, EvalPlan())
    (log,) = recorder.data.values()  # the recorder's flush() would copy the whole log each time
    count = 0
    for row in _rows(rollouts):
        await recorder.log_sample(spec, _sample(row))
        count += 1
        if count % _AT_ONCE == 0:
            await log.write_buffered_samples()
    results = EvalResults(total_samples=count, completed_samples=count)
    stats = EvalStats(started_at=_STARTED, completed_at=_STARTED)
    await recorder.log_finish(spec, "success", stats, results, None, header_only=True)


def _rows(rollouts: Path) -> Iterator[dict[str, Any]]:
    with rollouts.open("rb") as source:
        for line in source:
            yield json.loads(line)


def _sample(row: dict[str, Any]) -> EvalSample:
    request = row["responses_create_params"]["input"]
    messages: list[ChatMessage] = [ChatMessageUser(content=message["content"]) for message in request]
    messages += _messages(row["response"]["output"])
    tokens = row["response"]["usage"]
    usage = ModelUsage(
        input_tokens=tokens["input_tokens"],
        output_tokens=tokens["output_tokens"],
        total_tokens=tokens["input_tokens"] + tokens["output_tokens"],
    )
    return EvalSample(
        id=row["_ng_task_index"],
        epoch=row["_ng_rollout_index"] + 1,
        uuid=f"{row['_ng_task_index']}-{row['_ng_rollout_index']}",
        input=request[0]["content"],
        target="",
        messages=messages,
        output=ModelOutput.from_content("openai/model", messages[-1].text),
        scores={"reward": Score(value=row["reward"])},
        metadata={"agent": row["agent_ref"]["name"], "score": row["score"]},
        model_usage={"openai/model": usage},
        total_time=row["_gymctl_timing"]["total_ms"] / 1000,
    )


def _messages(output: list[dict[str, Any]]) -> Iterator[ChatMessage]:
    """The items of a response as messages: reasoning belongs to the call or the text after it."""
    reasoning = ""
    for item in output:
        if item["type"] == "reasoning":
            reasoning = item["summary"][0]["text"]
        elif item["type"] == "function_call":
            call = ToolCall(id=item["call_id"], function=item["name"], arguments=json.loads(item["arguments"]))
            yield ChatMessageAssistant(content=[ContentReasoning(reasoning=reasoning)], tool_calls=[call])
        elif item["type"] == "function_call_output":
            yield ChatMessageTool(content=item["output"], tool_call_id=item["call_id"], function="search")
        else:
            text = item["content"][0]["text"]
            yield ChatMessageAssistant(content=[ContentText(text=text)])


if __name__ == "__main__":
    asyncio.run(convert(Path(sys.argv[1]), Path(sys.argv[2])))
