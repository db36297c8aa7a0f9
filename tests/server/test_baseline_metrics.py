"""The numbers are what nemo-gym 0.4.0's compute_aggregate_metrics gave for these rows."""

import json
import sys
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gymctl.config import exact_json
from gymctl.server.metrics import baseline_metrics

ROWS = [
    {
        "_ng_task_index": 0,
        "_ng_rollout_index": 0,
        "reward": 1.0,
        "ok": True,
        "steps": 3,
        "response": {"usage": {"input_tokens": 10, "output_tokens": 4, "input_tokens_details": {"cached_tokens": 0}}},
        "label": "x",
        "agent_ref": {"name": "a"},
    },
    {
        "_ng_task_index": 0,
        "_ng_rollout_index": 1,
        "reward": 0.0,
        "ok": False,
        "steps": 4,
        "response": {"usage": {"input_tokens": 12, "output_tokens": 8}},
    },
    {"_ng_task_index": 2, "_ng_rollout_index": 0, "reward": 0.5, "ok": True, "extra": 2.5, "response": {}},
]

AGENT = {
    "mean/reward": 0.5,
    "mean/ok": 0.6666666666666666,
    "mean/steps": 3.5,
    "mean/input_tokens": 11.0,
    "mean/output_tokens": 6.0,
    "mean/extra": 2.5,
    "max/reward": 1.0,
    "max/ok": 1.0,
    "max/steps": 4.0,
    "max/input_tokens": 12.0,
    "max/output_tokens": 8.0,
    "max/extra": 2.5,
    "min/reward": 0.0,
    "min/ok": 0.0,
    "min/steps": 3.0,
    "min/input_tokens": 10.0,
    "min/output_tokens": 4.0,
    "min/extra": 2.5,
    "median/reward": 0.5,
    "median/ok": 1.0,
    "median/steps": 3.5,
    "median/input_tokens": 11.0,
    "median/output_tokens": 6.0,
    "median/extra": 2.5,
    "std/reward": 0.5,
    "std/ok": 0.5773502691896258,
    "std/steps": 0.7071067811865476,
    "std/input_tokens": 1.4142135623730951,
    "std/output_tokens": 2.8284271247461903,
}

LONE_TASK = {
    "_ng_task_index": 2,
    "mean/reward": 0.5,
    "mean/ok": 1.0,
    "mean/extra": 2.5,
    "max/reward": 0.5,
    "max/ok": 1.0,
    "max/extra": 2.5,
    "min/reward": 0.5,
    "min/ok": 1.0,
    "min/extra": 2.5,
    "median/reward": 0.5,
    "median/ok": 1.0,
    "median/extra": 2.5,
    "std/reward": 0.0,
    "std/ok": 0.0,
    "std/extra": 0.0,
    "sample": {"agent_ref": {"name": "agent"}},
    "num_rollouts": 1,
    "expected_num_rollouts": 1,
    "missing_num_rollouts": 0,
    "reward_profile_completion_pct": 100.0,
    "rollout_infos": [
        {"rollout_id": "2:0", "_ng_task_index": 2, "_ng_rollout_index": 0, "reward": 0.5, "ok": 1, "extra": 2.5}
    ],
}


def test_agent_metrics_are_upstreams() -> None:
    metrics = baseline_metrics(ROWS)
    assert metrics["agent_metrics"] == pytest.approx(AGENT)
    assert metrics["key_metrics"] == pytest.approx({k: v for k, v in AGENT.items() if k.startswith("mean/")})


def test_a_task_with_one_rollout_has_zero_deviation() -> None:
    assert baseline_metrics(ROWS)["group_level_metrics"][1] == LONE_TASK


def test_a_task_with_repeats_lists_them() -> None:
    group = baseline_metrics(ROWS)["group_level_metrics"][0]
    assert group["std/steps"] == pytest.approx(0.7071067811865476)
    assert "mean/extra" not in group
    assert group["num_rollouts"] == group["expected_num_rollouts"] == 2
    assert group["rollout_infos"][0] == {
        "rollout_id": "0:0",
        "_ng_task_index": 0,
        "_ng_rollout_index": 0,
        "reward": 1.0,
        "input_tokens": 10,
        "output_tokens": 4,
        "ok": 1,
        "steps": 3,
    }


def test_a_value_that_stands_alone_in_a_group_has_no_deviation() -> None:
    rows = [
        {"_ng_task_index": 0, "_ng_rollout_index": 0, "reward": 1.0, "x": 1},
        {"_ng_task_index": 0, "_ng_rollout_index": 1, "reward": 2.0},
    ]
    agent = baseline_metrics(rows)["agent_metrics"]
    assert agent["std/reward"] == pytest.approx(0.7071067811865476)
    assert agent["mean/x"] == 1.0
    assert "std/x" not in agent


def test_no_rows_and_duplicate_rows() -> None:
    assert baseline_metrics([]) == {"group_level_metrics": [], "agent_metrics": {}, "key_metrics": {}}
    assert baseline_metrics([ROWS[0], ROWS[0]]) == baseline_metrics([ROWS[0]])


NUMBERS = (
    st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([sys.float_info.max, -sys.float_info.max, 5e-324, 10**400, -(10**400), 2**64 + 1, 0, True])
    | st.integers()
    | st.just(Decimal("1e400"))
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(["reward", "distance", "n"]), NUMBERS), max_size=6))
def test_any_finite_numbers_have_metrics(rows: list[dict[str, Any]]) -> None:
    indexed = [{**row, "_ng_task_index": number // 2, "_ng_rollout_index": number} for number, row in enumerate(rows)]
    metrics = exact_json.dumps_finite(baseline_metrics(indexed))
    agent = json.loads(metrics)["agent_metrics"]
    for name in ("reward", "distance", "n"):
        floats = [float(row[name]) for row in rows if name in row and abs(row[name]) <= sys.float_info.max]
        assert (f"mean/{name}" in agent) == bool(floats)
        if floats:
            assert agent[f"min/{name}"] == min(floats)
            assert min(floats) <= agent[f"median/{name}"] <= max(floats)


def test_the_mean_of_the_largest_numbers_is_one_of_them() -> None:
    largest = sys.float_info.max
    agent = baseline_metrics([{"x": largest, "_ng_rollout_index": number} for number in range(2)])["agent_metrics"]
    assert agent["mean/x"] == agent["median/x"] == agent["max/x"] == largest
    agent = baseline_metrics([{"x": sign * largest, "_ng_rollout_index": sign} for sign in (0, 1, -1)])["agent_metrics"]
    assert agent["mean/x"] == 0.0


def test_what_a_row_holds_is_repeated_exactly() -> None:
    row = {"_ng_task_index": 0, "reward": 1.0, "identity": 2**64 + 1, "exact": Decimal("0.1234567890123456789")}
    (info,) = baseline_metrics([row])["group_level_metrics"][0]["rollout_infos"]
    assert (info["identity"], info["exact"]) == (row["identity"], row["exact"])
