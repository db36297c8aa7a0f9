"""The numbers of a run: each against a value computed by hand, or against a property that it must have."""

from __future__ import annotations

import itertools
import math
import statistics
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from result_rows import failure, result, write

from gymctl.results import AgentStatistics, GroupSort, Index, read_groups, summarise
from gymctl.results.intervals import clustered_mean, mcnemar, paired_difference, pass_at, share, student
from gymctl.rollouts.timing import summarise_file

DATA = Path(__file__).parent / "data"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def agent_of(path: Path, threshold: float = 1.0) -> AgentStatistics:
    with Index.open(path) as index:
        (agent,) = summarise(index, threshold).agents
    return agent


def run(path: Path, rewards: list[list[Any]], failures: list[dict[str, Any]] | None = None) -> Path:
    """A run of tasks with these rewards by repeat."""
    rows = [
        result(task, repeat, reward)
        for task, repeats in enumerate(rewards)
        for repeat, reward in enumerate(repeats)
    ]  # fmt: skip
    return write(path, rows, failures or ())


def test_rewards_and_pass_rates(tmp_path: Path) -> None:
    agent = agent_of(run(tmp_path / "r.jsonl", [[1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]]))
    assert (agent.rollouts, agent.tasks, agent.min_repeats, agent.max_repeats) == (16, 4, 4, 4)
    assert agent.reward is not None
    assert agent.reward.value == pytest.approx(7 / 16)
    means = [0.5, 0.0, 1.0, 0.25]
    assert agent.reward.standard_error == pytest.approx(statistics.stdev(means) / 2)
    rates = {rate.k: rate.estimate.value for rate in agent.pass_at}
    assert rates == pytest.approx({1: 7 / 16, 2: (1 - 1 / 6 + 0 + 1 + 0.5) / 4, 4: 3 / 4})
    for rate in agent.pass_at:
        assert rate.estimate.low is not None
        assert rate.estimate.high is not None
        assert 0 <= rate.estimate.low < rate.estimate.value < rate.estimate.high <= 1
    assert (agent.groups, agent.zero_variance, agent.zero_variance_share) == (4, 2, 0.5)
    assert agent.passed == 7


def test_the_threshold_decides_what_passed(tmp_path: Path) -> None:
    path = run(tmp_path / "r.jsonl", [[0.4, 0.6], [0.9, 1.5]])
    assert agent_of(path).passed == 1
    assert agent_of(path, 0.5).passed == 3


def test_uneven_repeats_count_as_rollouts_in_the_mean_and_as_tasks_in_pass_at_1(tmp_path: Path) -> None:
    agent = agent_of(run(tmp_path / "r.jsonl", [[1, 1, 1], [0]]))
    assert agent.reward is not None
    assert agent.reward.value == 0.75
    rates = {rate.k: (rate.estimate.value, rate.tasks) for rate in agent.pass_at}
    assert rates == {1: (0.5, 2), 2: (1.0, 1), 3: (1.0, 1)}


def test_one_task_has_the_error_of_its_repeats_and_one_rollout_none(tmp_path: Path) -> None:
    agent = agent_of(run(tmp_path / "r.jsonl", [[1, 0, 0, 1]]))
    assert agent.reward is not None
    assert agent.reward.standard_error == pytest.approx(statistics.stdev([1, 0, 0, 1]) / 2)
    alone = agent_of(run(tmp_path / "alone.jsonl", [[1]]))
    assert alone.reward is not None
    assert (alone.reward.value, alone.reward.standard_error) == (1.0, None)
    assert alone.pass_at[0].estimate.low is None


def test_perfect_scores_do_not_claim_certainty(tmp_path: Path) -> None:
    agent = agent_of(run(tmp_path / "r.jsonl", [[1] * 8] * 5))
    low = agent.pass_at[0].estimate.low
    assert low is not None
    assert low < 0.6  # five tasks, whatever the number of repeats


def test_failures_masked_and_unscored_rows_are_not_in_the_means(tmp_path: Path) -> None:
    rows = [
        result(0, reward=1),
        result(1, reward=0, mask_sample=True, failure_kind="judge_failed"),
        result(2, reward=None),
        result(3, reward=float("nan")),
        result(0, reward=0),
    ]
    path = write(tmp_path / "r.jsonl", rows, [failure(4), failure(4, failure_class="connect"), failure(0)])
    agent = agent_of(path)
    assert agent.reward is not None
    assert agent.reward.value == 1.0
    assert (agent.rollouts, agent.scored, agent.masked, agent.failed) == (3, 1, 1, 1)
    assert {(part.failure_class, part.hop, part.count) for part in agent.failures} == {
        ("judge_failed", "", 1),
        ("connect", "weather", 1),
    }
    assert (agent.failed_attempts, agent.repeated_lines) == (3, 1)


def test_tokens_tools_and_truncation(tmp_path: Path) -> None:
    rows = [result(task) for task in range(4)]
    rows[0]["response"]["incomplete_details"] = {"reason": "max_output_tokens"}
    rows[1]["response"]["output"][2]["output"] = '{"error": "unknown city"}'
    rows[2]["response"]["output"] = []
    rows[3]["response"]["output"][2]["output"] = '{"detail": "Not Found"}'
    agent = agent_of(write(tmp_path / "r.jsonl", rows))
    assert (agent.truncated, agent.tool_calls, agent.tool_errors, agent.model_never_called) == (1, 3, 2, 1)
    assert (agent.tokens_in, agent.tokens_out) == (10 + 11 + 12 + 13, 20)


@pytest.mark.parametrize(
    ("output", "failed"),
    [
        ('{"error": "x"}', True),
        (' {"error": {"code": 1}}', True),
        ({"error": "x"}, True),
        ('{"detail": "Not Found"}', True),
        ('{"detail": "of a flight", "price": 3}', False),
        ('{"error": null, "value": 1}', False),
        ('{"error": ""}', False),
        ("an error occurred", False),
        ('["error"]', False),
        ('{"text": "no \\"error\\" here"}', False),
        ('{"text": "' + "x" * 5000 + '", "error": "late"}', True),
        (None, False),
        (3, False),
    ],
)
def test_what_counts_as_a_tool_error(tmp_path: Path, output: Any, failed: bool) -> None:
    row = result(0)
    row["response"]["output"][2]["output"] = output
    path = write(tmp_path / "r.jsonl", [row])
    assert agent_of(path).tool_errors == failed
    with Index.open(path) as index:
        (call,) = [item for item in index.transcript(index.rollouts().rollouts[0]).items if item.kind == "tool_call"]
        assert call.failed == failed


def test_times_are_those_of_why_slow(tmp_path: Path) -> None:
    rows = [result(task) for task in range(37)]
    rows[5]["_gymctl_timing"]["hops"] = {"verify": 7.0}
    path = write(tmp_path / "r.jsonl", rows)
    (waterfall,) = summarise_file(path)
    total, *hops = agent_of(path).times
    assert (total.p50_ms, total.p95_ms) == pytest.approx((waterfall.p50_ms, waterfall.p95_ms))
    assert [hop.hop for hop in hops] == [share.hop for share in waterfall.hops]
    assert [hop.p50_ms for hop in hops] == pytest.approx([share.p50_ms for share in waterfall.hops])
    assert [hop.p95_ms for hop in hops] == pytest.approx([share.p95_ms for share in waterfall.hops])


def test_rows_without_indices_are_tasks_of_their_own(tmp_path: Path) -> None:
    agent = agent_of(write(tmp_path / "r.jsonl", [{"reward": 1}, {"reward": 0}, {"reward": 1}]))
    assert (agent.rollouts, agent.tasks, agent.max_repeats, agent.agent) == (3, 3, 1, "")


def test_groups_side_by_side(tmp_path: Path) -> None:
    path = run(tmp_path / "r.jsonl", [[1, 0, 1], [1, 1], [0, 0.5]], [failure(1, 2), failure(3, 0)])
    with Index.open(path) as index:
        groups = read_groups(index).groups
        assert [group.task for group in groups] == [0, 1, 2, 3]
        assert [group.zero_variance for group in groups] == [False, True, False, False]
        assert [group.passed for group in groups] == [2, 2, 0, 0]
        assert groups[0].spread == pytest.approx(statistics.stdev([1, 0, 1]))
        assert [(part.repeat, part.reward, part.failure_class) for part in groups[1].repeats] == [
            (0, 1.0, None),
            (1, 1.0, None),
            (2, None, "timeout"),
        ]
        assert groups[3].mean is None
        assert [group.task for group in read_groups(index, mixed=True).groups] == [0, 2]
        by_mean = read_groups(index, sort=GroupSort.MEAN, limit=2)
        assert ([group.task for group in by_mean.groups], by_mean.total) == ([2, 0], 4)
        by_failures = read_groups(index, sort=GroupSort.FAILURES, descending=True, limit=2)
        assert {group.task for group in by_failures.groups} == {1, 3}


@given(st.integers(1, 8), st.data())
def test_pass_at_k_is_the_share_of_draws_with_a_pass(rollouts: int, data: st.DataObject) -> None:
    passed = data.draw(st.integers(0, rollouts))
    k = data.draw(st.integers(1, rollouts))
    outcomes = [number < passed for number in range(rollouts)]
    draws = list(itertools.combinations(outcomes, k))
    assert pass_at(k, rollouts, passed) == pytest.approx(sum(any(draw) for draw in draws) / len(draws))


@given(st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=5), min_size=1, max_size=8))
def test_the_clustered_mean_of_equal_repeats_has_the_error_of_the_task_means(tasks: list[list[float]]) -> None:
    groups = [(len(task), math.fsum(task), math.fsum(value * value for value in task)) for task in tasks]
    answer = clustered_mean(groups)
    assert answer is not None
    mean, error = answer
    assert mean == pytest.approx(statistics.fmean(value for task in tasks for value in task), abs=1e-9)
    if len(tasks) > 1 and len({len(task) for task in tasks}) == 1:
        means = [statistics.fmean(task) for task in tasks]
        assert error == pytest.approx(statistics.stdev(means) / math.sqrt(len(means)), abs=1e-7)


@given(st.floats(0, 1), st.one_of(st.none(), st.floats(0, 0.5)), st.integers(1, 50), st.integers(1, 8))
def test_an_interval_holds_its_share_and_stays_in_bounds(
    value: float, error: float | None, tasks: int, repeats: int
) -> None:
    estimate = share(value, error, tasks, tasks * repeats)
    if estimate.low is not None and estimate.high is not None:
        assert 0 <= estimate.low <= value + 1e-9
        assert value - 1e-9 <= estimate.high <= 1


def test_mcnemar_is_the_exact_binomial_test() -> None:
    assert mcnemar(0, 0) is None
    assert mcnemar(5, 5) == 1.0
    assert mcnemar(0, 5) == pytest.approx(2 / 32)
    assert mcnemar(1, 9) == pytest.approx(2 * 11 / 1024)
    exact = mcnemar(430, 570)
    approximate = mcnemar(431, 571)
    assert exact is not None
    assert approximate is not None
    assert exact == pytest.approx(approximate, rel=0.1)


def test_students_factors_meet_the_tables() -> None:
    assert student(1) == 12.706
    assert student(30) == 2.042
    assert student(31) == pytest.approx(2.040, abs=0.002)
    assert student(60) == pytest.approx(2.000, abs=0.002)
    assert student(1_000_000) == pytest.approx(1.960, abs=0.001)


def test_the_paired_interval_of_two_tasks_is_wide() -> None:
    estimate = paired_difference([0.1, 0.3])
    assert estimate is not None
    assert estimate.low is not None
    assert (estimate.value, estimate.low) == pytest.approx((0.2, 0.2 - 12.706 * 0.1))
    assert paired_difference([]) is None


@pytest.mark.parametrize(("release", "failed"), [("0.4", 0), ("0.7", 2)])
def test_files_of_nemo_gyms_collectors(tmp_path: Path, release: str, failed: int) -> None:
    for file in (DATA / f"nemo-gym-{release}").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with Index.open(tmp_path / "rollouts.jsonl") as index:
        several, single = summarise(index).agents
        assert (several.agent, single.agent) == (
            "example_multi_step_simple_agent",
            "example_single_tool_call_simple_agent",
        )
        assert (several.rollouts, several.tasks, several.failed, single.rollouts) == (4, 2, failed, 2)
        assert several.reward is not None
        assert several.reward.value == 0.5
        for rollout in index.rollouts().rollouts:
            transcript = index.transcript(rollout)
            if rollout.failure_class is None:
                assert [item.kind for item in transcript.prompt] == ["message", "message"]
                assert all(item.output for item in transcript.items if item.kind == "tool_call")
                assert transcript.items[-1].kind == "message"
            else:
                assert transcript.failure is not None
                assert transcript.failure.status == 422
                assert "Extra inputs are not permitted" in transcript.failure.body
