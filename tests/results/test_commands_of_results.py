"""``gymctl results`` as a user types it."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from result_rows import append, failure, result, write

from gymctl.cli import results_tail
from gymctl.cli.main import main

HOSTILE = "\x1b[31mred\x9b\u202e\r\x7f [bold]x[/bold]"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def file(folder: Path) -> Path:
    rows = [result(task, repeat, float(task > repeat)) for task in range(3) for repeat in range(2)]
    return write(folder / "rollouts.jsonl", rows, [failure(3), failure(3, failure_class="connect", attempt=1)])


class Outcome:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def gymctl(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["gymctl", "results", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        return Outcome(int(end.value.code or 0), captured.out, captured.err)

    return run


def test_a_file_alone_is_a_summary(file: Path, gymctl: Any) -> None:
    for arguments in ((file,), ("summary", file), ("rollouts.jsonl",)):
        done = gymctl(*arguments)
        assert done.code == 0
        assert "weather_agent" in done.out
        assert "0.500 ± 0.289" in done.out
        assert "connect" in done.out
        assert "passed means a reward of 1 or more" in done.out
    assert gymctl(file, "--json").out == gymctl("--json", file).out
    (agent,) = gymctl(file, "--json").json["agents"]
    assert (agent["rollouts"], agent["failed"], agent["zero_variance"]) == (6, 1, 2)
    assert [rate["k"] for rate in agent["pass_at"]] == [1, 2]


def test_the_worst_of_a_run(file: Path, gymctl: Any) -> None:
    assert [row["rollout"] for row in gymctl(file, "--worst", 2, "--json").json["worst"]] == ["0:0", "0:1"]
    assert "lowest rewards: 2" in gymctl(file, "--worst", 2).out
    assert [row["rollout"] for row in gymctl("list", file, "--worst", 3, "--json").json["rollouts"]] == [
        "0:0",
        "0:1",
        "1:1",
    ]
    assert gymctl("show", file, "--worst", 2).out.count("[verdict]") == 2


def test_a_file_may_have_the_name_of_a_command(file: Path, gymctl: Any) -> None:
    file.rename("list")
    assert "weather_agent" in gymctl("./list").out


def test_list_filters_and_counts_all(file: Path, gymctl: Any) -> None:
    page = gymctl("list", file, "--outcome", "not-passed", "-n", 1, "--sort", "task", "--desc", "--json").json
    assert page["total"] == 3
    assert [row["rollout"] for row in page["rollouts"]] == ["1:1"]
    assert "1 of 3 rollouts" in gymctl("list", file, "--outcome", "not-passed", "-n", 1).out
    failed = gymctl("list", file, "--failure-class", "connect", "--json").json["rollouts"]
    assert [(row["rollout"], row["failure_hop"], row["passed"]) for row in failed] == [("3:0", "weather", False)]
    assert gymctl("list", file, "--tool", "other", "--json").json["total"] == 0
    assert gymctl("list", file, "--text", "Question 2?", "--json").json["total"] == 2
    assert gymctl("list", file, "--min-seconds", 0.102, "--json").json["total"] == 2
    assert gymctl("list", file, "--pass-threshold", 0, "--outcome", "passed", "--json").json["total"] == 6


def test_json_has_text_only_on_request(file: Path, gymctl: Any) -> None:
    arguments: tuple[Any, ...]
    for arguments in (
        ("list", file, "--json"),
        ("show", file, "1:0", "--json"),
        ("find", file, "It is mild", "--json"),
        ("groups", file, "--json"),
        (file, "--json"),
    ):
        assert "It is mild" not in gymctl(*arguments).out
    for arguments in (
        ("list", file, "--json", "--content"),
        ("show", file, "1:0", "--json", "--content"),
        ("find", file, "It is mild", "--json", "--content"),
    ):
        assert "It is mild" in gymctl(*arguments).out


def test_show_a_rollout(file: Path, gymctl: Any) -> None:
    output = gymctl("show", file, "1:1").out
    order = ["rollout 1:1", "[user]", "Question 1?", "[reasoning]", "[tool call] get_weather", '{"city":"Oslo"}',
             "output:", '{"weather":"mild"}', "[assistant]", "It is mild.", "[verdict] reward 0, not passed",
             "[tokens] in 11, out 5", "[time] 101 ms"]  # fmt: skip
    places = [output.index(part) for part in order]
    assert places == sorted(places)
    assert gymctl("show", file, "#4").out == output
    assert json.loads(gymctl("show", file, "1:1", "--raw").out) == result(1, 1, 0.0)
    (data,) = gymctl("show", file, "1:1", "--json").json
    assert [item["kind"] for item in data["items"]] == ["reasoning", "tool_call", "message"]
    assert data["items"][2]["text_characters"] == len("It is mild.")


def test_show_a_failure_and_its_attempts(file: Path, gymctl: Any) -> None:
    assert "failed: connect" in gymctl("show", file, "3:0").out
    assert gymctl("show", file, "3", "--attempts").out.count("[verdict]") == 2


def test_long_texts_are_shortened_unless_full(folder: Path, gymctl: Any) -> None:
    row = result(0, note="n" * 9000)
    row["response"]["output"][3]["content"] = "x" * 9000
    write(folder / "r.jsonl", [row])
    assert "5000 more characters; see --full" in gymctl("show", "r.jsonl", "0").out
    full = gymctl("show", "r.jsonl", "0", "--full").out
    assert "x" * 9000 in full
    assert "n" * 9000 in full


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "rollouts.jsonl", "9:0"), "no rollout 9:0"),
        (("show", "rollouts.jsonl", "1"), "2 rollouts: 1:0 of weather_agent, 1:1 of weather_agent"),
        (("show", "rollouts.jsonl", "x"), "expected TASK:REPEAT"),
        (("show", "rollouts.jsonl", "#99"), "no rollout in this line"),
        (("show", "rollouts.jsonl"), "expected a rollout"),
        (("show", "rollouts.jsonl", "1:0", "--worst", "2"), "expected a rollout"),
        (("find", "rollouts.jsonl", ""), "the text is empty"),
        (("missing.jsonl",), "missing.jsonl: No such file or directory"),
        (("lst", "rollouts.jsonl"), "no such command 'lst'"),
        (("list", "rollouts.jsonl", "--sort", "colour"), "colour"),
        (("list", "."), "not a regular file"),
    ],
)
def test_what_is_wrong_is_one_line(file: Path, gymctl: Any, arguments: tuple[str, ...], message: str) -> None:
    done = gymctl(*arguments)
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert message in done.err


def test_find_prints_matches_with_their_surroundings(file: Path, gymctl: Any) -> None:
    done = gymctl("find", file, "Question 2?")
    assert [line.split()[0] for line in done.out.splitlines()] == ["2:0", "2:1"]
    assert "Question 2?" in done.out
    assert len(gymctl("find", file, "QUESTION", "-i", "--json").out.splitlines()) == 6
    limited = gymctl("find", file, "Question", "-n", 2)
    assert len(limited.out.splitlines()) == 2
    assert "stopped after 2" in limited.err
    assert "no rollout contains the text" in gymctl("find", file, "QUESTION").err


@pytest.mark.parametrize("text", ['say "hi"', "Grüße", "back\\slash", "two\nlines", "日本", '{"city": "Oslo"}'])
@pytest.mark.parametrize("ascii_escapes", [True, False])
def test_find_knows_how_json_spells_a_text(folder: Path, gymctl: Any, text: str, ascii_escapes: bool) -> None:
    rows = [result(0), result(1, note=f"before {text} after"), result(2)]
    rows[2]["response"]["output"][1]["arguments"] = json.dumps({"query": text}, ensure_ascii=ascii_escapes)
    lines = [json.dumps(row, ensure_ascii=ascii_escapes) + "\n" for row in rows]
    (folder / "r.jsonl").write_text("".join(lines))
    assert [line.split()[0] for line in gymctl("find", "r.jsonl", text).out.splitlines()] == ["1:0", "2:0"]


@pytest.mark.processes  # waits on a real clock
@pytest.mark.parametrize("same_rows", [True, False])
def test_tail_of_a_file_that_is_replaced(
    file: Path, gymctl: Any, monkeypatch: pytest.MonkeyPatch, same_rows: bool
) -> None:
    monkeypatch.setattr(results_tail, "_PAUSE_S", 0.02)
    lines = file.read_text().splitlines(keepends=True)

    def replace() -> None:
        time.sleep(0.2)
        other = file.with_name("new.jsonl")
        other.write_text("".join(reversed(lines)) if same_rows else "".join(lines[:2]))
        other.replace(file)

    writer = threading.Thread(target=replace)
    writer.start()
    done = gymctl("tail", file, "-n", 0, "--idle-timeout", 1.5)
    writer.join()
    if same_rows:
        assert (done.out, done.err) == ("", "")
    else:
        assert len(done.out.splitlines()) == 4  # two results and two failed attempts
        assert "was replaced" in done.err


def test_compare_says_what_changed(file: Path, folder: Path, gymctl: Any) -> None:
    other = write(folder / "other.jsonl", [result(0, 0, 1.0), result(0, 1, 1.0), result(2, 0, 0.0), result(2, 1, 0.0)])
    done = gymctl("compare", file, other)
    assert "down: passed in A, not passed in B (1)" in done.out
    assert "up: not passed in A, passed in B (1)" in done.out
    assert "2 common tasks: 1 up, 1 down" in done.out
    assert "missing in B, not compared: 1 tasks: 1 (absent)" in done.out
    data = gymctl("compare", file, other, "--json").json
    assert (data["up"], data["down"], data["missing_in_b"], data["mcnemar_p"]) == (1, 1, 1, 1.0)
    assert [task["change"] for task in data["tasks"]] == ["down", "up"]


def test_groups_show_the_repeats(file: Path, gymctl: Any) -> None:
    done = gymctl("groups", file)
    assert "0 (no signal)" in done.out
    assert "connect" in done.out
    groups = gymctl("groups", file, "--mixed", "--json").json
    assert [(group["task"], group["passed"]) for group in groups["groups"]] == [(1, 1)]


@pytest.mark.processes  # waits on a real clock
def test_tail_follows_a_growing_file(file: Path, gymctl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results_tail, "_PAUSE_S", 0.02)
    last = gymctl("tail", file, "-n", 2, "--idle-timeout", 0, "--json").out.splitlines()
    assert [json.loads(line)["rollout"] for line in last] == ["3:0", "3:0"]

    def grow() -> None:
        time.sleep(0.2)
        append(file, result(8))

    writer = threading.Thread(target=grow)
    writer.start()
    rows = gymctl("tail", file, "-n", 0, "--idle-timeout", 1.5).out.splitlines()
    writer.join()
    assert len(rows) == 1
    assert "8:0" in rows[0]


def test_nothing_that_a_file_holds_acts_on_the_terminal(folder: Path, gymctl: Any) -> None:
    fields: dict[str, Any] = {HOSTILE: HOSTILE, "nested": {HOSTILE: [HOSTILE]}}
    row = result(0, **fields)
    row["agent_ref"] = {"name": HOSTILE}
    row["_gymctl_timing"]["hops"] = {HOSTILE: 3.0}
    row["response"]["model"] = HOSTILE
    row["response"]["incomplete_details"] = {"reason": HOSTILE}
    row["responses_create_params"]["input"][0] = {"role": HOSTILE, "content": HOSTILE}
    row["response"]["output"] += [
        {"type": HOSTILE, "x": HOSTILE},
        {"type": "function_call", "name": HOSTILE, "arguments": HOSTILE, "call_id": HOSTILE},
        {"type": "function_call_output", "call_id": HOSTILE + "2", "output": HOSTILE},
    ]
    bad = failure(1, failure_class=HOSTILE)
    bad["agent_ref"] = {"name": HOSTILE}
    bad["_gymctl_failure"] = {"message": HOSTILE, "hop": HOSTILE, "path": HOSTILE, "body": HOSTILE}
    raw = json.dumps(row, ensure_ascii=False).replace("\\u009b", "\x9b") + "\n"
    (folder / "r.jsonl").write_text(raw)
    (folder / "r_failures.jsonl").write_text(json.dumps(bad, ensure_ascii=False) + "\n")
    write(folder / "b.jsonl", [result(0)])
    for arguments in (
        ("r.jsonl",), ("list", "r.jsonl", "--content"), ("show", "r.jsonl", "0:0"), ("show", "r.jsonl", "1:0"),
        ("find", "r.jsonl", "red"), ("compare", "r.jsonl", "b.jsonl"), ("compare", "b.jsonl", "r.jsonl"),
        ("groups", "r.jsonl"), ("tail", "r.jsonl", "--idle-timeout", "0"), ("r.jsonl", "--json"),
        ("show", "r.jsonl", "0:0", "--raw"), ("show", "r.jsonl", "0:0", "--json", "--content"),
        ("list", "r.jsonl", "--json", "--content"),
    ):  # fmt: skip
        done = gymctl(*arguments)
        assert done.code == 0, done.err
        text = (done.out + done.err).replace("\n", "")
        assert not set(text) & set("\x1b\x9b\u202e\r\x7f"), arguments
        if "--json" not in arguments and "--raw" not in arguments and arguments[0] != "compare":
            assert "[bold]x[/bold]" in text


def test_masked_results_are_counted_listed_and_compared(folder: Path, gymctl: Any) -> None:
    masked = {"mask_sample": True, "failure_kind": "judge_failed"}
    rows = [result(0, 0, 1.0), result(0, 1, 0.0, **masked), result(1, 0, 1.0, **masked), result(1, 1, 1.0)]
    run = write(folder / "masked.jsonl", rows, [failure(2)])
    (agent,) = gymctl("summary", run, "--json").json["agents"]
    assert (agent["rollouts"], agent["failed"], agent["masked"], agent["reward"]["value"]) == (2, 1, 2, 1.0)
    assert "not part of any mean): 2" in gymctl(run).out
    for outcome, names in (("masked", ["0:1", "1:0"]), ("failed", ["2:0"]), ("passed", ["0:0", "1:1"])):
        listed = gymctl("list", run, "--outcome", outcome, "--json").json["rollouts"]
        assert [row["rollout"] for row in listed] == names
    assert "masked: judge_failed" in gymctl("show", run, "1:0").out
    other = write(folder / "other.jsonl", [result(0, 0, 1.0), result(1, 0, 1.0)])
    compared = gymctl("compare", run, other, "--json").json["differences"]
    assert {"name": "masked results", "a": "2", "b": "0"} in compared
