"""What a collection counts."""

from __future__ import annotations

import http.client
import socket
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pytest

from gymctl.rollouts import events
from gymctl.rollouts.monitoring import RunMonitor, monitored
from gymctl.rollouts.spec import Repeats, RunSpec
from gymctl.server.monitoring import import_prometheus

TOKEN = {"Authorization": "Bearer its-token"}
HOPS = {"model": 500.0, "seed": 1.0, "made_up": 3.0}


def monitor(tmp_path: Path, repeats: Repeats = 2) -> RunMonitor:
    made = RunMonitor(RunSpec(tmp_path / "rows.jsonl", tmp_path / "out.jsonl", num_repeats=repeats))
    made.begin(["a"], 4)
    return made


def finish(
    made: RunMonitor, task: int, reward: float, body: bytes = b"{}", hops: Mapping[str, float] = HOPS, agent: str = "a"
) -> None:
    made.finished(agent, task, reward, (0.0, 1.0), hops, body)


def value(made: RunMonitor, name: str, **labels: str) -> float | None:
    result: float | None = made.registry.get_sample_value(f"gymctl_{name}", labels)
    return result


def test_groups_with_one_reward(tmp_path: Path) -> None:
    made = monitor(tmp_path)
    assert value(made, "group_zero_variance_ratio", agent="a") == 0.0
    for task, reward in ((0, 1.0), (1, 0.0), (0, 1.0), (2, 1.0)):
        finish(made, task, reward)
    assert value(made, "group_zero_variance_ratio", agent="a") == 1.0
    finish(made, 1, 0.5)
    assert value(made, "group_zero_variance_ratio", agent="a") == 0.5


def test_metrics_require_the_token(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    run = RunSpec(tmp_path / "rows.jsonl", tmp_path / "out.jsonl", metrics=address, metrics_token="its-token")
    with monitored(run, lambda event: None) as made:
        assert made is not None
        for header, status in (({}, 401), ({"Authorization": "Bearer no"}, 401), (TOKEN, 200)):
            connection = http.client.HTTPConnection(address)
            connection.request("GET", "/metrics", headers=header)
            reply = connection.getresponse()
            assert (reply.status, b"gymctl_rollouts" in reply.read()) == (status, status == 200)
            connection.close()


def test_the_port_is_free_at_the_end(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    run = RunSpec(tmp_path / "rows.jsonl", tmp_path / "out.jsonl", metrics=address)
    for _ in range(20):
        with monitored(run, lambda event: None) as made:
            assert made is not None
            with urllib.request.urlopen(f"http://{address}/metrics") as reply:
                assert b"gymctl_rollouts_expected" in reply.read()


def test_repeats_by_agent(tmp_path: Path) -> None:
    made = monitor(tmp_path, {"a": 1, "_default": 2})
    for agent in ("a", "b"):
        finish(made, 0, 1.0, agent=agent)
        finish(made, 0, 1.0, agent=agent)
    assert value(made, "group_zero_variance_ratio", agent="a") == 0.0
    assert value(made, "group_zero_variance_ratio", agent="b") == 1.0


def test_rewards_of_both_signs(tmp_path: Path) -> None:
    made = monitor(tmp_path)
    for task, reward in enumerate((0.5, -2.0, 0.0)):
        finish(made, task, reward)
    assert value(made, "reward_sums_total", agent="a", sign="positive") == 0.5
    assert value(made, "reward_sums_total", agent="a", sign="negative") == 2.0
    assert value(made, "reward_squares_total", agent="a") == 4.25
    assert value(made, "reward_count", agent="a") == 3.0


def test_truncated_results_and_ones_without_a_model(tmp_path: Path) -> None:
    made = monitor(tmp_path)
    finish(made, 0, 1.0, b'{"response":{"status":"incomplete"}}')
    finish(made, 1, 1.0, b'{"response": {"status": "incomplete"}}')
    finish(made, 2, 1.0, b'{"text":"\\"status\\":\\"incomplete\\""}', hops={"seed": 1.0})
    finish(made, 3, 1.0, hops={})
    assert value(made, "truncated_total", agent="a") == 2.0
    assert value(made, "model_never_called_total", agent="a") == 1.0


def test_hops_are_bounded(tmp_path: Path) -> None:
    made = monitor(tmp_path)
    finish(made, 0, 1.0)
    assert value(made, "rollout_duration_seconds_sum", agent="a", hop="model") == 0.5
    assert value(made, "rollout_duration_seconds_count", agent="a", hop="total") == 1.0
    assert value(made, "rollout_duration_seconds_count", agent="a", hop="made_up") is None


def test_events(tmp_path: Path) -> None:
    made = monitor(tmp_path)
    for event in (
        events.Failed("a", "timeout", final=False),
        events.Failed("a", "timeout"),
        events.Retrying("a", "timeout", 1.0),
        events.Tick(7, 8, 9.5),
    ):
        made.on_event(event)
    assert value(made, "rollout_failures_total", agent="a", **{"class": "timeout"}) == 2.0
    assert value(made, "rollouts_total", agent="a", outcome="failed") == 1.0
    assert value(made, "retries_total", agent="a") == 1.0
    assert value(made, "rollouts_in_flight") == 7.0
    assert value(made, "oldest_rollout_seconds") == 9.5
    assert value(made, "rollouts_expected") == 4.0
    free = value(made, "output_disk_free_ratio")
    assert free is not None and 0.0 <= free <= 1.0


def test_the_page_is_valid(tmp_path: Path) -> None:
    made = monitor(tmp_path)
    finish(made, 0, 1.0)
    assert import_prometheus().generate_latest(made.registry)


def test_a_port_in_use_is_a_note(tmp_path: Path) -> None:
    notes: list[events.Event] = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run = RunSpec(tmp_path / "rows.jsonl", tmp_path / "out.jsonl", metrics=f"127.0.0.1:{port}")
        with monitored(run, notes.append) as made:
            assert made is None
    assert notes == [events.RunNote(f"metrics are not served on 127.0.0.1:{port}: Address already in use")]


@pytest.mark.parametrize("reward", [1e308, -1e308])
def test_large_rewards_are_counted(tmp_path: Path, reward: float) -> None:
    made = monitor(tmp_path)
    finish(made, 0, reward)
    finish(made, 0, reward)
    assert value(made, "reward_count", agent="a") == 2.0
