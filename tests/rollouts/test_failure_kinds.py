"""Failures under NeMo Gym's names: each class has one, and what an environment says itself is passed on."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from gymctl.config.upstream import FAILURE_KINDS, MOST_REASON_CHARACTERS
from gymctl.rollouts.episodes import episode_request, episode_result
from gymctl.rollouts.failures import KINDS, Failure, failure_row
from gymctl.rollouts.pending import Pending
from gymctl.rollouts.result_line import NotAResultError, result_line

PAGE = Path(__file__).parents[2] / "docs" / "collect.md"
TASK = {"task_id": {"taskset": "storms", "task_id": "7"}, "task_input": {"city": "Rome"}}


@pytest.mark.parametrize("failure_class", KINDS)
def test_each_class_has_a_name_of_nemo_gym_and_is_on_the_page(failure_class: str) -> None:
    kind = KINDS[failure_class]
    assert kind in FAILURE_KINDS or kind == "gymctl:internal"
    lines = [line for line in PAGE.read_text().splitlines() if line.endswith(f"| `{kind}` |")]
    assert any(f"`{failure_class}`" in line for line in lines)
    failure = Failure(failure_class, "x" * 9000)
    row = orjson.loads(failure_row(failure, Pending(0, 0, 1, 2, {}), 0, counted=True, terminal=False))
    assert (row["mask_sample"], row["failure_kind"], len(row["failure_reason"])) == (True, kind, MOST_REASON_CHARACTERS)


@pytest.mark.parametrize(
    ("fields", "kind", "reason"),
    [
        ({"_ng_failure_class": "judge_failed"}, "judge_failed", "reports this rollout as failed: judge_failed"),
        ({"_ng_failure_class": "Disk full!"}, "environment:disk_full", "Disk full!"),
        (
            {"_ng_failure_class": "x", "failure_kind": "provider_oom_killed", "failure_reason": "137"},
            "provider_oom_killed",
            "137",
        ),
        ({"_ng_no_persist": True}, "kill_shaped", "killed"),
    ],
)
def test_what_an_environment_says_itself_is_passed_on(fields: dict[str, object], kind: str, reason: str) -> None:
    with pytest.raises(NotAResultError) as caught:
        result_line(orjson.dumps({"reward": 0.0, **fields}), {}, "math")
    assert caught.value.failure.kind_name == kind
    assert reason in caught.value.failure.reason


def test_a_result_keeps_what_it_says_of_itself() -> None:
    body = b'{"reward":0.5,"mask_sample":true,"failure_kind":"judge_failed","reward_components":{"a":0.2,"b":0.3}}'
    line, reward, _ = result_line(body, {"_ng_task_index": 1}, "math")
    assert reward == 0.5
    assert line == body[:-1] + b',"_ng_task_index":1}'


def test_a_task_becomes_an_episode_and_its_answer_a_result() -> None:
    row = orjson.dumps({**TASK, "agent_ref": {"name": "a"}, "_ng_task_index": 3})
    request = orjson.loads(episode_request(row, task=3, repeat=1, attempt=2) or b"")
    assert request["task"] == TASK
    assert request["episode_id"]["attempt"] == 2
    assert request["episode_id"]["rollout_id"].startswith("3-1-r")
    answer = {
        "episode_id": request["episode_id"],
        "task_id": TASK["task_id"],
        "result": {"reward": 1.0},
        "failure": None,
    }
    assert orjson.loads(episode_result(orjson.dumps(answer), "turn")) == {"reward": 1.0, "_ng_task_id": TASK["task_id"]}


def test_a_row_that_is_no_task_is_sent_as_it_is() -> None:
    assert episode_request(b'{"task_id": "7", "responses_create_params": {}}', 0, 0, 0) is None


@pytest.mark.parametrize("terminal", [False, True])
def test_an_episode_that_failed_is_a_failure_with_its_kind(terminal: bool) -> None:
    failure = {
        "failure_reason": "no room",
        "failure_kind": "provider_unavailable",
        "terminal": terminal,
        "stage": "seed",
    }
    with pytest.raises(NotAResultError) as caught:
        episode_result(orjson.dumps({"task_id": {}, "result": None, "failure": failure}), "turn")
    raised = caught.value.failure
    assert (raised.kind_name, raised.reason, raised.retriable) == ("provider_unavailable", "no room", not terminal)
    assert raised.message == "turn: the episode failed (seed): no room"


@pytest.mark.parametrize("body", [b"[]", b'{"task_id": {}, "result": 3}', b"nothing"])
def test_an_answer_that_is_no_episode_is_no_result(body: bytes) -> None:
    with pytest.raises(NotAResultError) as caught:
        episode_result(body, "turn")
    assert caught.value.failure.failure_class == "bad_reply"
