"""Collecting from agents that work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rollout_stack import TIMING, Agents, collected, keys, read, row, spec_of

from gymctl.rollouts import events, run_state


def test_results_are_verdicts_with_their_identity(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, [row(0), row(1, "beta"), row(2)], num_repeats=2)
    seen: list[events.Event] = []
    report = collected(spec, Agents(), seen.append)
    results = read(spec.output)
    assert sorted(keys(results)) == [(task, repeat) for task in range(3) for repeat in range(2)]
    one = next(result for result in results if result["_ng_task_index"] == 1)
    assert one["agent_ref"] == {"name": "beta"}
    assert one["reward"] == 1.0
    assert one["label"] == "ü"
    assert one["_gymctl_timing"]["hops"] == {"seed": 1.0, "model": 2.5, "verify": 0.5}, TIMING
    assert one["_gymctl_timing"].keys() == {"queue_ms", "total_ms", "tries", "hops"}
    assert (report.total, report.done, report.failed, report.unfinished, report.exit_code) == (6, 6, 0, 0, 0)
    assert report.agents["beta"].mean_reward == 1.0
    assert report.agents["alpha"].mean_reward == 0.0
    assert seen[0] == events.Started(6, 0, 0)
    assert sum(isinstance(event, events.Finished) for event in seen) == 6


def test_agents_get_the_materialised_row_as_it_is(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, [row(0, None, extra={"a": [1]})], agent="beta", params_override={"temperature": 0.5})
    agents = Agents()
    collected(spec, agents)
    assert agents.seen == read(spec.files.materialized)
    assert agents.seen[0] == {
        "responses_create_params": {"input": "question 0", "temperature": 0.5},
        "n": 0,
        "extra": {"a": [1]},
        "agent_ref": {"name": "beta"},
        "_ng_task_index": 0,
        "_ng_rollout_index": 0,
    }


def test_an_echoing_environment_gets_no_field_twice(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, 3)
    collected(spec, Agents(echo=True))
    for line in spec.output.read_text().splitlines():
        pairs = json.loads(line, object_pairs_hook=lambda pairs: pairs)
        names = [name for name, _ in pairs]
        assert len(names) == len(set(names))


def test_never_more_in_flight_than_asked_for(tmp_path: Path) -> None:
    agents = Agents(slow=lambda row: 0.005)
    collected(spec_of(tmp_path, 60, concurrency=5), agents)
    assert agents.most_in_flight == 5


def test_auto_concurrency_grows_beyond_its_start(tmp_path: Path) -> None:
    agents = Agents(slow=lambda row: 0.05)
    report = collected(spec_of(tmp_path, 400, concurrency="auto"), agents)
    assert report.done == 400
    assert agents.most_in_flight > 16


class Wavering:
    """A limit that falls by three quarters each time that many have succeeded, and comes back."""

    now = 16

    def __init__(self, clock: object) -> None:
        self.succeeded_so_far = 0

    def succeeded(self, in_flight: int) -> None:
        self.succeeded_so_far += 1
        self.now = 4 if self.succeeded_so_far // 16 % 2 else 16

    def refused(self) -> None:
        pass


def test_a_limit_that_falls_while_many_end_at_once_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_state, "Adaptive", Wavering)
    agents = Agents(slow=lambda row: 0.01)
    report = collected(spec_of(tmp_path, 400, concurrency="auto"), agents)
    assert (report.done, report.unfinished) == (400, 0)
    assert 4 < agents.most_in_flight <= 16


def test_input_order_on_request(tmp_path: Path) -> None:
    agents = Agents(slow=lambda row: 0.02 if row["n"] % 3 == 0 else 0.0)
    spec = spec_of(tmp_path, 30, num_repeats=2, order="input")
    collected(spec, agents)
    assert keys(read(spec.output)) == keys(read(spec.files.materialized))


def test_metrics_of_each_agent_from_stripped_results(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, [row(0), row(1), row(2, "beta")])
    agents = Agents()
    collected(spec, agents)
    entries = json.loads(spec.files.metrics.read_text())
    assert [(entry["agent_ref"]["name"], entry["agent_metrics"]) for entry in entries] == [
        ("alpha", {"n": 2}),
        ("beta", {"n": 1}),
    ]
    sent = next(body for body in agents.metrics_requests if len(body["verify_responses"]) == 2)["verify_responses"]
    assert [item["_ng_task_index"] for item in sent] == [0, 1]
    assert sent[0]["response"] == {"usage": {"input_tokens": 3, "output_tokens": 2}}
    assert "responses_create_params" not in sent[0]
    assert sent[1]["reward"] == 1.0
    assert sent[1]["label"] == "ü"


def test_an_agent_without_aggregate_metrics_gets_the_baseline(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, 4)
    report = collected(spec, Agents(aggregates=False))
    (entry,) = json.loads(spec.files.metrics.read_text())
    assert entry["agent_metrics"]["mean/reward"] == 0.5
    assert entry["agent_metrics"]["mean/input_tokens"] == 3.0
    assert entry["key_metrics"]["mean/reward"] == 0.5
    assert len(entry["group_level_metrics"]) == 4
    assert any("baseline" in note for note in report.notes)
