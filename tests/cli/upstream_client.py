"""An unmodified client of NeMo Gym: its own interpreter runs its ``RolloutCollectionHelper.run_examples``."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

PYTHONS = {"0.7.0": "GYMCTL_UPSTREAM_07_PYTHON", "0.4.0": "GYMCTL_UPSTREAM_PYTHON"}
CLIENT = """
import asyncio, json, sys
from nemo_gym.rollout_collection import RolloutCollectionHelper
from nemo_gym.server_utils import BaseServerConfig

host, port, rows = sys.argv[1], int(sys.argv[2]), [json.loads(line) for line in open(sys.argv[3])]
for index, row in enumerate(rows):
    row.update(_ng_task_index=index, _ng_rollout_index=0)

async def main():
    head = BaseServerConfig(host=host, port=port)
    futures = RolloutCollectionHelper().run_examples(rows, head_server_config=head)
    done = [await future for future in futures]
    print(json.dumps([result["reward"] for _, result in sorted(done, key=lambda pair: pair[0]["_ng_task_index"])]))

asyncio.run(main())
"""


def interpreter(release: str) -> Path:
    """The Python with that release of NeMo Gym; the test is skipped where the environment names none."""
    path = os.environ.get(PYTHONS[release])
    if not path:
        pytest.skip(f"{PYTHONS[release]} names no interpreter with nemo-gym {release} in it")
    return Path(path)


def client_rewards(release: str, host: str, port: int, rows: Path) -> list[float]:
    """The rewards of the rows, in their order, collected by a client of that release."""
    command = [str(interpreter(release)), "-c", CLIENT, host, str(port), str(rows)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return [float(reward) for reward in json.loads(done.stdout.splitlines()[-1])]
