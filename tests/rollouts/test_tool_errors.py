"""Failed calls of tools, from an agent's header to results, report and ``why-slow``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from rollout_stack import TIMING, Agents, collected, read, spec_of
from typer.testing import CliRunner

from gymctl.cli.main import app
from gymctl.rollouts.report import AgentReport, Report
from gymctl.rollouts.tool_errors import describe_tool_errors, parse_tool_errors, read_tool_errors

pytestmark = pytest.mark.enable_socket


@pytest.mark.parametrize(
    ("header", "counts"),
    [
        ("weather/forecast=2", {"weather/forecast": 2}),
        ("a/b=1, a/c=3,a/b=2", {"a/b": 3, "a/c": 3}),
        ("a/%E5%A4%A9%20x%2C=1", {"a/天 x,": 1}),
        ("", {}),
        ("a", {}),
        ("=3, a=, a=x, a=-1, a=1.5", {}),
        ("a=" + "9" * 400, {}),
    ],
)
def test_a_header(header: str, counts: dict[str, int]) -> None:
    assert parse_tool_errors(header) == counts


@pytest.mark.parametrize("value", [None, 3, "a", [1], {"a": "1"}, {"a": -1}, {"a": None}])
def test_what_is_not_a_count_is_left_out(value: Any) -> None:
    assert read_tool_errors(value) == {}


def test_they_are_in_results_report_and_why_slow(tmp_path: Path) -> None:
    def fails(agents: Agents, row: dict[str, Any]) -> web.Response | None:
        if row["n"] == 2:
            return None
        headers = {"server-timing": TIMING, "x-gym-tool-errors": f"weather/forecast={row['n'] + 1}, weather/alert=1"}
        verdict = {**agents.verdict(row), "_gymctl_tool_errors": {"forged": 9}}
        return web.json_response(verdict, headers=headers)

    spec = spec_of(tmp_path, 3)
    report = collected(spec, Agents(misbehave=fails))
    results = {result["_ng_task_index"]: result.get("_gymctl_tool_errors") for result in read(spec.output)}
    assert results == {
        0: {"weather/forecast": 1, "weather/alert": 1},
        1: {"weather/forecast": 2, "weather/alert": 1},
        2: None,
    }
    assert report.tool_error_lines() == ["alpha: 5 tool calls failed: 3 weather/forecast, 2 weather/alert"]
    assert Report.from_json(json.loads(json.dumps(report.to_json()))) == report
    printed = CliRunner().invoke(app, ["why-slow", str(spec.output)])
    assert "tool calls that failed: 3 weather/forecast, 2 weather/alert" in printed.output
    printed = CliRunner().invoke(app, ["why-slow", "--json", str(spec.output)])
    assert json.loads(printed.output)[0]["tool_errors"] == {"weather/forecast": 3, "weather/alert": 2}
    resumed = collected(spec_of(tmp_path, 3, resume=True), Agents())
    assert resumed.tool_error_lines() == report.tool_error_lines()


def test_the_most_frequent_comes_first() -> None:
    assert describe_tool_errors({"b": 1, "a": 1, "c": 5}) == "5 c, 1 a, 1 b"


@pytest.mark.parametrize("rewards", [[1.7e308, 1.7e308], [1.7e308, -1.7e308, 1.7e308], [0.5, 1.0, 0.0]])
def test_a_mean_of_very_large_rewards(rewards: list[float]) -> None:
    part = AgentReport()
    for reward in rewards:
        part.count(reward)
    assert part.mean_reward == pytest.approx(sum(reward / len(rewards) for reward in rewards))
    report = Report(agents={"a": part})
    again = Report.from_json(json.loads(json.dumps(report.to_json(), allow_nan=False)))
    assert again.agent("a").mean_reward == part.mean_reward
