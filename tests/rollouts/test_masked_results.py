"""A result with ``mask_sample`` is kept, and its reward counts nowhere: it is not a measurement."""

from __future__ import annotations

import json
from pathlib import Path

from gymctl.rollouts import events
from gymctl.rollouts.history import read_history
from gymctl.rollouts.metrics import index_results
from gymctl.rollouts.progress import Tally
from gymctl.rollouts.report import AgentReport, Report
from gymctl.rollouts.result_line import result_line


def row(repeat: int, reward: float, mask: object) -> str:
    reference = {"type": "responses_api_agents", "name": "math"}
    fields = {"_ng_task_index": 0, "_ng_rollout_index": repeat, "agent_ref": reference, "reward": reward}
    return json.dumps({**fields, "mask_sample": mask}) + "\n"


def test_the_mean_leaves_masked_results_out() -> None:
    part = AgentReport()
    for reward, is_masked in ((1.0, False), (0.0, True), (0.5, False), (1.0, True)):
        part.count(reward, is_masked=is_masked)
    assert (part.done, part.masked, part.passed, part.mean_reward) == (4, 2, 1, 0.75)
    report = Report.from_json(json.loads(json.dumps(Report(agents={"math": part}).to_json())))
    assert report.agents["math"].mean_reward == 0.75
    assert report.masked_lines() == ["math: 2 of 4 rollouts are masked (mask_sample); their rewards do not count"]


def test_an_agent_with_nothing_but_masked_results_has_no_mean() -> None:
    part = AgentReport()
    part.count(0.0, is_masked=True)
    assert part.mean_reward is None
    assert Report(agents={"math": part}).table_rows()[0][2] == "-"


def test_a_resumed_run_leaves_them_out_too(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    output.write_text(row(0, 1.0, mask=False) + row(1, 0.0, mask=True) + row(2, 0.0, mask=None))
    history = read_history(output, tmp_path / "failures.jsonl", [(0, 0), (0, 1), (0, 2)], max_attempts=3)
    assert (history.agents["math"].done, history.agents["math"].mean_reward) == (3, 0.5)
    assert len(index_results(output)["math"]) == 2


def test_a_result_line_says_whether_it_is_masked() -> None:
    assert result_line(b'{"reward": 0.0, "mask_sample": true}', {}, "math").is_masked
    for mask in (b"false", b"null", b"1"):
        assert not result_line(b'{"reward": 0.0, "mask_sample": %b}' % mask, {}, "math").is_masked


def test_the_progress_shows_the_mean_of_what_is_measured() -> None:
    tally = Tally()
    tally.take(events.Finished("math", 1.0, 1.0))
    tally.take(events.Finished("math", 0.0, 1.0, masked=1))
    assert tally.mean_reward == "1.000"
