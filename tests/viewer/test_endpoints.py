"""What the page asks for, without a browser."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from view_rows import FAILED, REPEATS, append, failure_row, write_run

from gymctl.viewer import create_app
from gymctl.viewer.access import Access
from gymctl.viewer.runs import Run, Runs

TASKS = 40
ROLLOUTS = TASKS * REPEATS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_run(tmp_path / "a" / "rollouts.jsonl", seed=1, tasks=TASKS)
    write_run(tmp_path / "b" / "rollouts.jsonl", seed=2, tasks=TASKS)
    return tmp_path


@pytest.fixture
def client(folder: Path) -> Iterator[TestClient]:
    app = create_app([folder], Access("127.0.0.1", ""), folder)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield client


@pytest.fixture
def base(folder: Path) -> str:
    return f"/api/runs/{Run.of(folder / 'a' / 'rollouts.jsonl', folder).id}"


def test_pages_have_at_most_100_rollouts(client: TestClient, base: str) -> None:
    first = client.get(f"{base}/rollouts?limit=5000").json()
    assert (first["total"], len(first["rollouts"])) == (ROLLOUTS, 100)
    second = client.get(f"{base}/rollouts?offset=100").json()
    names = [rollout["name"] for page in (first, second) for rollout in page["rollouts"]]
    assert len(set(names)) == ROLLOUTS


def test_lists_have_no_text_of_conversations(client: TestClient, base: str) -> None:
    assert "What is the weather" not in client.get(f"{base}/rollouts").text


@pytest.mark.parametrize(
    ("filters", "check"),
    [
        ("outcome=failed", lambda rollout: rollout["failure_class"] == "timeout"),
        ("outcome=passed", lambda rollout: rollout["reward"] >= 1),
        ("outcome=passed&threshold=0.5", lambda rollout: rollout["reward"] >= 0.5),
        ("agent=math_agent", lambda rollout: rollout["agent"] == "math_agent"),
        ("min_reward=0.2&max_reward=0.8", lambda rollout: 0.2 <= rollout["reward"] <= 0.8),
        ("min_seconds=2", lambda rollout: rollout["total_ms"] >= 2000),
        ("failure_class=timeout&hop=weather", lambda rollout: rollout["failure_hop"] == "weather"),
        ("task=7&task=8", lambda rollout: rollout["task"] in (7, 8)),
        ("tool=get_weather", lambda rollout: rollout["tool_calls"] == 1),
    ],
)
def test_filters(filters: str, check: Callable[[dict[str, Any]], bool], client: TestClient, base: str) -> None:
    page = client.get(f"{base}/rollouts?{filters}").json()
    assert 0 < page["total"] < ROLLOUTS
    assert all(check(rollout) for rollout in page["rollouts"])


@pytest.mark.parametrize(
    "wrong",
    [
        "offset=-1", "offset=x", "min_reward=nan", "max_reward=inf", "sort=sideways", "outcome=maybe", "task=1.5",
        "min_tokens=1e400", "truncated=yes", "threshold=x",
    ],
)  # fmt: skip
def test_wrong_parameters_are_explained(wrong: str, client: TestClient, base: str) -> None:
    answer = client.get(f"{base}/rollouts?{wrong}")
    assert answer.status_code == 400
    assert wrong.partition("=")[0] in answer.json()["error"]


def test_the_bins_of_a_histogram_select_exactly_their_rollouts(client: TestClient, base: str) -> None:
    histograms = {each["measure"]: each["bins"] for each in client.get(f"{base}/distributions").json()["histograms"]}
    units = {"reward": 1, "tokens": 1, "time": 1000}
    suffix = {"time": "seconds"}
    for measure, bins in histograms.items():
        assert sum(each["count"] for each in bins) == ROLLOUTS - FAILED
        name = suffix.get(measure, measure)
        for each in bins:
            low, high = each["low"] / units[measure], each["high"] / units[measure]
            if measure == "tokens":
                high = int(high)
            page = client.get(f"{base}/rollouts?min_{name}={low!r}&max_{name}={high!r}").json()
            assert page["total"] == each["count"], (measure, each)


def test_one_rollout_with_its_attempts(client: TestClient, base: str, folder: Path) -> None:
    append(folder / "a" / "rollouts_failures.jsonl", failure_row(9, 1))
    answer = client.get(f"{base}/rollout?name=9:1").json()
    assert answer["rollout"]["name"] == "9:1"
    assert [row["rank"] for row in answer["rows"]] == ["result", "failure"]
    attempt = client.get(f"{base}/rollout?name=9:1&row={answer['rows'][1]['id']}").json()
    assert attempt["transcript"]["failure"]["message"] == "weather: POST /verify took too long"
    assert answer["transcript"]["items"][0]["text"] == "What is the weather in city 9?"
    assert answer["transcript"]["verifier"] == [{"name": "expected", "text": "mild", "json": False}]


@pytest.mark.parametrize("name", ["", "x", "1:x", "#x", "#", "9" * 40, "1:2:3", "-", "999:0", "#99999"])
def test_names_that_lead_nowhere(name: str, client: TestClient, base: str) -> None:
    answer = client.get(f"{base}/rollout", params={"name": name})
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_long_texts_are_cut_and_can_be_had_in_full(client: TestClient, base: str, folder: Path) -> None:
    text = "x" * 100_000
    row = {
        "responses_create_params": {"input": text},
        "response": {"output": [{"type": "message", "role": "assistant", "content": str(n)} for n in range(250)]},
        "reward": 1.0,
        "_ng_task_index": 500,
        "_ng_rollout_index": 0,
    }
    append(folder / "a" / "rollouts.jsonl", row)
    first = client.get(f"{base}/rollout?name=500:0").json()["transcript"]
    assert len(first["items"]) == 100
    assert first["total_items"] == 251
    assert first["items"][0]["cut"] == {"text": 100_000}
    assert len(first["items"][0]["text"]) == 20_000
    full = client.get(f"{base}/rollout?name=500:0&item=0&items=1&full=1").json()["transcript"]
    assert [item["text"] for item in full["items"]] == [text]
    last = client.get(f"{base}/rollout?name=500:0&item=200").json()["transcript"]
    assert last["items"][-1]["text"] == "249"


def test_the_raw_line_is_the_line(client: TestClient, base: str, folder: Path) -> None:
    line = (folder / "a" / "rollouts.jsonl").read_text().splitlines()[3]
    row = json.loads(line)
    name = f"{row['_ng_task_index']}:{row['_ng_rollout_index']}"
    answer = client.get(f"{base}/raw", params={"name": name})
    assert answer.text == line
    assert answer.headers["content-type"].startswith("text/plain")
    download = client.get(f"{base}/raw", params={"name": name, "full": 1})
    assert download.headers["content-disposition"].startswith("attachment")


def test_found_rollouts_obey_the_filters(client: TestClient, base: str) -> None:
    lines = client.get(f"{base}/find?text=weather in city 1&agent=math_agent").text.splitlines()
    answers = [json.loads(line) for line in lines]
    hits = [hit for answer in answers for hit in answer["hits"]]
    assert answers[-1] == {"hits": [], "done": True, "all": True}
    assert {hit["agent"] for hit in hits} == {"math_agent"}
    assert {hit["task"] for hit in hits} == {12, 15, 18}
    assert all("weather in city 1" in hit["excerpt"] for hit in hits)


def test_values_that_json_of_a_browser_cannot_have(client: TestClient, base: str, folder: Path) -> None:
    path = folder / "a" / "rollouts.jsonl"
    with path.open("a") as out:
        out.write(
            '{"_ng_task_index": 600, "_ng_rollout_index": 0, "reward": 1, "agent_ref": {"name": "\\ud800x"}, '
            '"big": 123456789012345678901234567890, "none": NaN, "lone": "\\udfff", "response": {"output": '
            '[{"type": "message", "role": "assistant", "content": "\\ud83d"}], '
            '"usage": {"output_tokens": 9007199254740993}}}\n'
        )
    answer = client.get(f"{base}/rollout?name=600:0")
    fields = {field["name"]: field["text"] for field in answer.json()["transcript"]["verifier"]}
    assert fields["big"] == "123456789012345678901234567890"
    assert fields["lone"] == "\\udfff"
    assert answer.json()["transcript"]["tokens_out"] == "9007199254740993"


def test_groups_and_comparison(client: TestClient, base: str, folder: Path) -> None:
    groups = client.get(f"{base}/groups?sort=spread&desc=1").json()
    spreads = [group["spread"] for group in groups["groups"] if group["spread"] is not None]
    assert groups["total"] == TASKS
    assert spreads == sorted(spreads, reverse=True)
    a, b = (Run.of(folder / name / "rollouts.jsonl", folder).id for name in "ab")
    answer = client.get(f"/api/compare?a={a}&b={b}").json()
    same = client.get(f"/api/compare?a={a}&b={a}").json()
    assert answer["total"] == len(answer["pairs"]) == TASKS - 1  # all rollouts of task 0 failed
    assert {pair["change"] for pair in same["pairs"]} == {"same"}
    assert same["p_value"] is None


def test_runs_are_the_results_files_of_a_folder(folder: Path) -> None:
    (folder / "rows.jsonl").write_text('{"responses_create_params": {"input": "x"}, "agent_ref": {"name": "a"}}\n')
    (folder / "notes.jsonl").write_text("not json\n")
    (folder / "empty.jsonl").touch()
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "rollouts.jsonl").write_text((folder / "a" / "rollouts.jsonl").read_text())
    runs = Runs([folder])
    assert sorted(run.label for run in runs.all()) == ["a/rollouts.jsonl", "b/rollouts.jsonl"]
    (folder / "empty.jsonl").write_text((folder / "a" / "rollouts.jsonl").read_text())
    assert "empty.jsonl" in {run.label for run in runs.all()}


def test_a_directory_without_a_stack(client: TestClient) -> None:
    assert client.get("/api/stack").json() == {"name": None, "servers": [], "nodes": [], "problem": ""}
    answer = client.get("/api/stack/log?server=x")
    assert answer.status_code == 400
    assert "no stack was brought up" in answer.json()["error"]


def test_static_files_are_not_sent_twice(client: TestClient) -> None:
    first = client.get("/static/app.js")
    again = client.get("/static/app.js", headers={"if-none-match": first.headers["etag"]})
    assert again.status_code == 304
    assert again.content == b""
