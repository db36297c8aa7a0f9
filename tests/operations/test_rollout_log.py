"""The lines of one rollout among those of all servers."""

from __future__ import annotations

import pytest

from gymctl.errors import InputError
from gymctl.operations.rollout_log import RolloutLines

TEXT = "{server} | 2026-01-02 03:04:{second},000 WARNING {message} [run=ab12 rollout={rollout} session=0f0f0f0f]"
JSON = '{{"time": "2026-01-02T03:04:{second}.000Z", "level": "info", "message": "{message}", "rollout": "{rollout}"}}'


def text(server: str, second: str, message: str, rollout: str = "12:3") -> str:
    return TEXT.format(server=server, second=second, message=message, rollout=rollout)


def test_lines_of_several_servers_are_in_order_of_time_whatever_their_format() -> None:
    lines = RolloutLines("12:3")
    expected = [
        text("agent-1", "05", "first"),
        "model-1  | " + JSON.format(second="06", message="second", rollout="12:3"),
        text("agent-1", "07", "third"),
    ]
    for line in [expected[0], expected[2], text("agent-1", "08", "of another", "12:30"), expected[1], "noise"]:
        lines.add(line)
    assert lines.in_order() == expected


def test_a_traceback_stays_with_its_record_though_another_server_writes_in_between() -> None:
    lines = RolloutLines("12:3")
    record = text("agent", "05", "failed")
    trace = ["agent |   Traceback (most recent call last):", "agent |   ValueError: x"]
    for line in [record, trace[0], text("model", "04", "of another", "1:1"), "model |   of its traceback", trace[1]]:
        lines.add(line)
    assert lines.in_order() == [record, *trace]


def test_lines_are_passed_on_as_they_come() -> None:
    passed: list[str] = []
    lines = RolloutLines("0:0")
    for second in ("09", "08"):
        lines.pass_on(text("a.1@node", second, "x", "0:0"), passed.append)
    lines.pass_on(text("a.1@node", "10", "x", "0:1"), passed.append)
    assert [line[:32] for line in passed] == ["a.1@node | 2026-01-02 03:04:09,0", "a.1@node | 2026-01-02 03:04:08,0"]


@pytest.mark.parametrize("line", ["{", '{"time": 1}', '{"time": "x", "rollout": "0:0"}', "", " | ", "[rollout=0:0]x"])
def test_other_lines_are_of_no_rollout(line: str) -> None:
    lines = RolloutLines("0:0")
    lines.add(f"a | {line}")
    lines.add(line)
    assert lines.in_order() == []


@pytest.mark.parametrize("name", ["12", "12:3:4", "a:b", ""])
def test_a_wrong_name_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="expected TASK:REPEAT"):
        RolloutLines(name)
