"""``gymctl results`` and NeMo Gym's ``gym eval profile`` agree on what both define.

Needs an interpreter with ``nemo-gym`` installed, named by ``GYMCTL_UPSTREAM_PYTHON``.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest
from result_rows import result

from gymctl.results import Group, Index, read_groups, summarise

pytestmark = pytest.mark.upstream

PYTHON = os.environ.get("GYMCTL_UPSTREAM_PYTHON", "")

_PASS_RATES = """
import json, sys
from collections import defaultdict
from nemo_gym.reward_profile import compute_pass_majority_metrics

tasks = defaultdict(lambda: defaultdict(list))
for line in open(sys.argv[1]):
    row = json.loads(line)
    tasks[row["agent_ref"]["name"]][row["_ng_task_index"]].append(row)
print(json.dumps({name: compute_pass_majority_metrics(list(rows.values()))[0] for name, rows in tasks.items()}))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two agents with uneven repeats, and the rows it was made from."""
    if not PYTHON or not Path(PYTHON).is_file():
        pytest.skip("GYMCTL_UPSTREAM_PYTHON names no interpreter with nemo-gym 0.4.0 in it")
    folder = tmp_path_factory.mktemp("run")
    source = random.Random(7)
    rows = []
    for task in range(30):
        agent = {"name": f"agent_{task % 2}"}
        for repeat in range(source.choice([1, 4, 4, 5])):
            reward = float(source.random() < task / 30)
            row = result(task, repeat, reward, agent_ref=agent, accuracy=bool(reward), score=source.random())
            rows.append(row)
    source.shuffle(rows)
    path = folder / "rollouts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    keys = ("responses_create_params", "agent_ref", "_ng_task_index", "_ng_rollout_index")
    inputs = [{key: row[key] for key in keys} for row in rows]
    (folder / "inputs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in inputs))
    command = [str(Path(PYTHON).with_name("gym")), "eval", "profile"]
    arguments = ["--inputs", "inputs.jsonl", "--rollouts", "rollouts.jsonl"]
    done = subprocess.run(
        [*command, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return path


def _profile(run: Path, name: str) -> list[dict[str, Any]]:
    text = run.with_name(f"rollouts_{name}").read_text()
    if name.endswith(".jsonl"):
        return [json.loads(line) for line in text.splitlines()]
    entries: list[dict[str, Any]] = json.loads(text)
    return entries


def test_agents_agree(run: Path) -> None:
    theirs = {entry["agent_ref"]["name"]: entry for entry in _profile(run, "agent_metrics.json")}
    with Index.open(run) as index:
        ours = summarise(index).agents
    assert {agent.agent for agent in ours} == set(theirs)
    for agent in ours:
        entry = theirs[agent.agent]
        assert agent.reward is not None
        assert agent.reward.value == pytest.approx(entry["mean/reward"])
        assert agent.passed / agent.scored == pytest.approx(entry["mean/accuracy"])
        assert agent.tokens_in / agent.rollouts == pytest.approx(entry["mean/input_tokens"])
        assert agent.tokens_out / agent.rollouts == pytest.approx(entry["mean/output_tokens"])


def test_tasks_agree(run: Path) -> None:
    theirs = {entry["_ng_task_index"]: entry for entry in _profile(run, "reward_profiling.jsonl")}
    with Index.open(run) as index:
        groups = read_groups(index).groups
        statistics = summarise(index).agents
        scores = {rollout.name: rollout.numbers["score"] for rollout in index.rollouts().rollouts}
    assert [group.task for group in groups] == sorted(theirs)
    for group in groups:
        entry = theirs[group.task]
        assert len(group.repeats) == entry["num_rollouts"]
        assert group.mean == pytest.approx(entry["mean/reward"])
        assert (group.spread or 0.0) == pytest.approx(entry["std/reward"])
        _rollouts_agree(group, entry, scores)
    several = [entry for entry in theirs.values() if entry["num_rollouts"] > 1]
    assert sum(agent.groups for agent in statistics) == len(several)
    assert sum(agent.zero_variance for agent in statistics) == sum(entry["std/reward"] == 0 for entry in several)


def _rollouts_agree(group: Group, entry: dict[str, Any], scores: dict[str, float]) -> None:
    for repeat, info in zip(group.repeats, entry["rollout_infos"], strict=True):
        assert (repeat.repeat, repeat.reward) == (info["_ng_rollout_index"], info["reward"])
        assert scores[info["rollout_id"]] == info["score"]


def test_pass_rates_agree(run: Path) -> None:
    done = subprocess.run(
        [PYTHON, "-c", _PASS_RATES, str(run)], capture_output=True, text=True, check=True, timeout=300
    )
    theirs = json.loads(done.stdout)
    with Index.open(run) as index:
        for agent in summarise(index).agents:
            assert {rate.k for rate in agent.pass_at} == {1, 2, 4, 5}
            for rate in agent.pass_at:
                assert rate.estimate.value * 100 == pytest.approx(theirs[agent.agent][f"pass@{rate.k}/accuracy"])
