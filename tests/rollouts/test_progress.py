"""What a user, or the host of a job, sees of a run."""

from __future__ import annotations

import io
from collections import Counter

from gymctl.rollouts import events
from gymctl.rollouts.progress import JsonProgress, Tally, display, replay
from gymctl.rollouts.report import AgentReport, Report


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


RUN: list[events.Event] = [
    events.Started(4, 1),
    events.Finished("a", 1.0, 10.0),
    events.Retrying("a", "reset", 0.5),
    events.Paused("a", "connect", 1.0, "a cannot be reached"),
    events.Failed("a", "rejected", "a: 401", True),
    events.Tick(2, 16),
]


def test_the_plain_line_says_it_all() -> None:
    tally = Tally()
    for event in RUN:
        tally.take(event)
    line = tally.line(2.0)
    for part in (
        "2/4 rollouts",
        "0.5/s",
        "2s left",
        "mean reward 1.000",
        "1 failed",
        "2 in flight",
        "cannot be reached",
    ):
        assert part in line


def test_plain_lines_come_now_and_then_and_at_the_end() -> None:
    now = [0.0]
    stream = io.StringIO()
    with display(stream, clock=lambda: now[0]) as on_event:
        on_event(events.Started(1000))
        for _ in range(999):
            now[0] += 0.01
            on_event(events.Finished("a", 0.5, 1.0))
        on_event(events.RunNote("a note"))
        on_event(events.Finished("a", 0.5, 1.0))
    lines = stream.getvalue().splitlines()
    assert "a note" in lines
    assert lines[-1].startswith("1000/1000 rollouts")
    assert len(lines) == 4


def test_the_first_line_comes_after_a_second_with_what_is_in_flight() -> None:
    now = [0.0]
    stream = io.StringIO()
    with display(stream, clock=lambda: now[0]) as on_event:
        on_event(events.Started(10))
        for second in (0.9, 1.0, 2.0, 5.9):
            now[0] = second
            on_event(events.Tick(4, 16, second))
    assert stream.getvalue().splitlines() == [
        "0/10 rollouts, 0.0/s, mean reward -, 4 in flight (the oldest for 1s), 1s elapsed"
    ]


def test_a_cause_is_told_once_until_it_changes() -> None:
    now = [0.0]
    stream, terminal = io.StringIO(), Terminal()
    with display(stream, clock=lambda: now[0]) as plain, display(terminal) as bar:
        for cause in ("no route", "no route", "no route", "401"):
            now[0] += 6.0
            for on_event in (plain, bar):
                on_event(events.Paused("a", "connect", 1.0, cause))
    lines = stream.getvalue().splitlines()
    assert [line.partition("; ")[2] for line in lines] == [
        "a is failing (no route); retrying",
        "a is still failing",
        "a is still failing",
        "a is failing (401); retrying",
    ]
    assert terminal.getvalue().count("no route") == terminal.getvalue().count("401") == 1


def test_a_terminal_gets_a_bar_and_quiet_gets_nothing() -> None:
    for stream, quiet in ((Terminal(), False), (Terminal(), True)):
        with display(stream, quiet=quiet) as on_event:
            for event in [*RUN, events.Finished("a", 1.0, 1.0)]:
                on_event(event)
        assert bool(stream.getvalue()) != quiet
        assert quiet or "4/4" in stream.getvalue()


def test_events_survive_a_jobs_output() -> None:
    lines: list[bytes] = []
    now = [0.0]
    sink = JsonProgress(lines.append, clock=lambda: now[0])
    agent = AgentReport(3, 2.0, 2, Counter(timeout=2, reset=1))
    report = Report(total=6, done=3, failed=3, agents={"a": agent})
    sink.on_event(events.Started(3))
    for reward in (1.0, 0.0, 1.0):
        sink.on_event(events.Finished("a", reward, 5.0))
    sink.on_event(events.RunNote("🌍 done"))
    sink.on_event(events.Ended(report.to_json()))
    seen: list[events.Event] = []
    end = replay(["a library's warning\n", *b"".join(lines).splitlines()], seen.append)
    assert seen == [
        events.RunNote("a library's warning"),
        events.Started(3),
        events.Finished("a", 2.0, 15.0, 3),
        events.RunNote("🌍 done"),
    ]
    assert isinstance(end, events.Ended)
    assert Report.from_json(end.report) == report


def test_an_output_that_just_stops_has_no_end() -> None:
    assert replay([b'{"event":"started","total":3}', b'{"event":"fin'], lambda event: None) is None


def test_the_report_in_words_and_rows() -> None:
    report = Report(total=5, already_done=1, done=3, failed=1, unfinished=1, wall_s=2.0)
    part = report.agent("a")
    for reward in (1.0, 0.0, 1.0):
        part.count(reward)
    part.failed["timeout"] += 1
    assert report.table_rows() == [("a", "3", "0.667", "2", "1 timeout")]
    assert report.summary() == (
        "3 of 5 rollouts done, 1 of them earlier, 1 failed, 1 left; 2.0 s, 1.0 rollouts/s. Continue with --resume"
    )
    assert report.exit_code == 1
