"""Calls of a client of NeMo Gym: ``upstream_calls.py HOST PORT ROWS MODEL...``, run by an interpreter that has it.

Collects the rows with ``RolloutCollectionHelper.run_examples``, and calls models and agents directly with
``ServerClient``. Prints one JSON object: ``rewards`` in the order of the rows, ``direct``: server -> what it answered.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from nemo_gym.rollout_collection import RolloutCollectionHelper
from nemo_gym.server_utils import BaseServerConfig, ServerClient


async def direct_calls(head: BaseServerConfig, rows: list[dict[str, Any]], models: list[str]) -> dict[str, Any]:
    """One call of each model and of each agent, its first row: the status of the reply, the answer, the health."""
    client = ServerClient.load_from_global_config(head)
    answers: dict[str, Any] = {}
    for name in models:
        reply = await client.post(name, "/v1/responses", json={"input": "hello"})
        answers[name] = [reply.status, (await reply.json())["object"], str(client.poll_for_status(name))]
    for row in rows:
        name = row["agent_ref"]["name"]
        if name not in answers:
            reply = await client.post(name, "/run", json=row)
            answers[name] = [reply.status, (await reply.json())["reward"], str(client.poll_for_status(name))]
    return answers


async def main(host: str, port: str, path: str, models: list[str]) -> None:
    rows = [json.loads(line) for line in Path(path).read_text().splitlines()]
    for index, row in enumerate(rows):
        row.update(_ng_task_index=index, _ng_rollout_index=0)
    head = BaseServerConfig(host=host, port=int(port))
    answers = await direct_calls(head, rows, models)
    futures = RolloutCollectionHelper().run_examples(rows, head_server_config=head)
    done = [await future for future in futures]
    rewards = {row["_ng_task_index"]: result.get("reward") for row, result in done}
    print(json.dumps({"rewards": [rewards[index] for index in range(len(rows))], "direct": answers}))


if __name__ == "__main__":
    host, port, path, *models = sys.argv[1:]
    del sys.argv[1:]  # NeMo Gym reads them as options of its own
    asyncio.run(main(host, port, path, models))
