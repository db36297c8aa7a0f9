"""What ``gymctl results`` prints: tables for people, JSON for programs. Text from a file is escaped."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from gymctl.results.escaping import json_text, shortened, visible, visible_lines

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from gymctl.results import Group, GroupPage, Index, Query, Rollout, RunStatistics
    from gymctl.results.intervals import Estimate
    from gymctl.results.statistics import AgentStatistics

_FILES = ("results", "failures")
_EXCERPT = 160


@contextmanager
def opened(file: Path) -> Iterator[Index]:
    """The index of a results file; on a terminal, with progress while it is made."""
    from gymctl.results import Index

    terminal = sys.stderr.isatty()

    def on_progress(done: int, total: int) -> None:
        if terminal and done < total:
            sys.stderr.write(f"\rindexing {visible(str(file))}: {done / total:.0%} ")
            sys.stderr.flush()

    with Index.open(file, on_progress) as index:
        if terminal:
            sys.stderr.write("\r\x1b[K")
        yield index


def print_json(value: Any) -> None:
    """One JSON document, or one line of a stream."""
    typer.echo(json_text(value))


def milliseconds(seconds: float | None) -> float | None:
    """Seconds of an option as milliseconds."""
    if seconds is None:
        return None
    return seconds * 1000


def metadata(rollout: Rollout, pass_threshold: float) -> dict[str, Any]:
    """A rollout as JSON-ready data, without any text of its conversation."""
    values = asdict(rollout)
    for name in ("id", "file", "offset", "length", "rank"):
        del values[name]
    place = {"rollout": rollout.name, "file": _FILES[rollout.file], "passed": rollout.is_passed(pass_threshold)}
    return {**place, **values}


def table(*headings: str) -> Table:
    """A table without lines, as the other commands have it."""
    from rich.table import Table

    return Table(*headings, box=None, pad_edge=False, header_style="bold")


def add_row(to: Table, *cells: str) -> None:
    """Add a row whose cells are text as it is, control characters escaped."""
    from rich.text import Text

    to.add_row(*(Text(visible(cell)) for cell in cells))


def print_table(rows: Table, title: str = "") -> None:
    """Print a table that wraps on a narrow terminal; nothing for one without rows."""
    if not rows.row_count:
        return
    console = _console()
    if title:
        console.print(visible(title), style="bold", markup=False, highlight=False)
    console.print(rows)


def _console() -> Console:
    from rich.console import Console

    return Console(width=240)


def print_statistics(statistics: RunStatistics) -> None:
    """The summary of a run: rewards, failures and times by agent."""
    if not statistics.agents:
        typer.echo(f"no rollouts in {visible(statistics.path)}")
    overview = table(
        "agent", "rollouts", "tasks", "mean reward", "pass@1", "pass@k", "zero variance", "truncated", "tool errors",
        "failed", "tokens in", "tokens out",
    )  # fmt: skip
    for agent in statistics.agents:
        add_row(overview, *_overview(agent))
    print_table(overview)
    _print_failures(statistics.agents)
    _print_times(statistics.agents)
    for note in _notes(statistics):
        typer.echo(f"note: {visible(note)}")


def _overview(agent: AgentStatistics) -> list[str]:
    rates = {rate.k: rate for rate in agent.pass_at}
    first = "-"
    last = "-"
    if 1 in rates:
        first = share_text(rates[1].estimate)
    if max(rates, default=0) > 1:
        most = rates[max(rates)]
        last = f"{share_text(most.estimate)} (k={most.k})"
    return [
        agent.agent or "(unknown)",
        str(agent.rollouts),
        str(agent.tasks),
        reward_text(agent.reward),
        first,
        last,
        _part(agent.zero_variance, agent.groups),
        _part(agent.truncated, agent.rollouts),
        _part(agent.tool_errors, agent.tool_calls),
        str(agent.failed),
        str(agent.tokens_in),
        str(agent.tokens_out),
    ]


def reward_text(estimate: Estimate | None) -> str:
    """``0.412 ± 0.031``; without an error where there is too little to estimate it."""
    if estimate is None:
        return "-"
    if estimate.standard_error is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ± {estimate.standard_error:.3f}"


def share_text(estimate: Estimate) -> str:
    """``41.2 % [35.0, 47.6]``, the 95 % interval in brackets."""
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.1%}"
    return f"{estimate.value:.1%} [{estimate.low * 100:.1f}, {estimate.high * 100:.1f}]"


def _part(count: int, total: int) -> str:
    if not total:
        return "-"
    return f"{count} of {total} ({count / total:.1%})"


def _print_failures(agents: Sequence[AgentStatistics]) -> None:
    failures = table("agent", "failure class", "hop", "rollouts")
    for agent in agents:
        for failure in agent.failures:
            add_row(failures, agent.agent, failure.failure_class, failure.hop or "-", str(failure.count))
    print_table(failures, "\nfailed rollouts")


def _print_times(agents: Sequence[AgentStatistics]) -> None:
    times = table("agent", "hop", "p50 ms", "p95 ms", "share")
    for agent in agents:
        total = agent.times[0].sum_ms if agent.times else 0.0
        for hop in agent.times:
            share = hop.sum_ms / (total or 1.0)
            add_row(times, agent.agent, hop.hop, f"{hop.p50_ms:.1f}", f"{hop.p95_ms:.1f}", f"{share:.0%}")
    print_table(times, "\ntime by hop")


def _notes(statistics: RunStatistics) -> Iterator[str]:
    if statistics.agents:
        yield f"passed means a reward of {statistics.pass_threshold:g} or more; brackets are 95 % intervals"
    for agent in statistics.agents:
        for count, text in (
            (agent.rollouts - agent.scored, "results without a numeric reward; they are not in the means"),
            (agent.masked, "masked results, counted as failed"),
            (agent.repeated_lines, "results of a rollout that has an earlier result; they do not count"),
            (agent.model_never_called, "results without any output of the model"),
        ):
            if count:
                yield f"{agent.agent}: {count} {text}"
    if statistics.unreadable_lines:
        yield f"{statistics.unreadable_lines} lines are not JSON objects and were skipped"


def print_page(index: Index, query: Query, *, content: bool, as_json: bool) -> None:
    """One page of rollouts."""
    page = index.rollouts(query)
    if as_json:
        rows = [metadata(rollout, query.pass_threshold) for rollout in page.rollouts]
        if content:
            for row, rollout in zip(rows, page.rollouts, strict=True):
                row["transcript"] = index.transcript(rollout).to_json()
        print_json({"total": page.total, "offset": query.offset, "rollouts": rows})
        return
    answers = [last_answer(index, rollout) for rollout in page.rollouts] if content else None
    print_rollouts(page.rollouts, query.pass_threshold, answers=answers)
    typer.echo(page_note(len(page.rollouts), page.total, query.offset, "rollouts"))


def page_note(shown: int, total: int, offset: int, what: str) -> str:
    """How much of a list was printed."""
    if shown == total:
        return f"{total} {what}"
    return f"{shown} of {total} {what}, from {offset + 1}; see --limit and --offset"


def last_answer(index: Index, rollout: Rollout) -> str:
    """The end of the conversation, on one line."""
    transcript = index.transcript(rollout)
    texts = [item.text for item in transcript.items if item.kind == "message"]
    if texts:
        return shortened(texts[-1], _EXCERPT)
    if transcript.failure:
        return shortened(transcript.failure.message, _EXCERPT)
    return ""


def print_rollouts(
    rollouts: Sequence[Rollout], pass_threshold: float, *, title: str = "", answers: Sequence[str] | None = None
) -> None:
    """Rollouts as a table; ``answers`` adds a column."""
    more = () if answers is None else ("last answer",)
    rows = table("rollout", "agent", "reward", "outcome", "turns", "tools", "tokens in/out", "time", *more)
    for position, rollout in enumerate(rollouts):
        cells = _cells(rollout, pass_threshold)
        if answers is not None:
            cells.append(answers[position])
        add_row(rows, *cells)
    print_table(rows, title and f"\n{title}")


def _cells(rollout: Rollout, pass_threshold: float) -> list[str]:
    tools = str(rollout.tool_calls)
    if rollout.tool_errors:
        tools += f" ({rollout.tool_errors} failed)"
    return [
        rollout.name,
        rollout.agent or "(unknown)",
        _number(rollout.reward, ".3f"),
        outcome_text(rollout, pass_threshold),
        str(rollout.turns),
        tools,
        f"{_number(rollout.tokens_in, 'd')}/{_number(rollout.tokens_out, 'd')}",
        duration(rollout.total_ms),
    ]


def _number(value: float | None, form: str) -> str:
    if value is None:
        return "-"
    return format(value, form)


def duration(milliseconds: float | None) -> str:
    """``12 ms``, ``1.5 s``, ``2m04s``."""
    from gymctl.cli.showing import span

    if milliseconds is None:
        return "-"
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.1f} s"
    return span(milliseconds / 1000)


def outcome_text(rollout: Rollout, pass_threshold: float) -> str:
    """``passed``, ``not passed``, ``unscored`` or ``failed: CLASS``; and whether it was cut off."""
    if rollout.failure_class is not None:
        text = f"failed: {rollout.failure_class}"
    elif rollout.reward is None:
        text = "unscored"
    elif rollout.is_passed(pass_threshold):
        text = "passed"
    else:
        text = "not passed"
    if rollout.truncated:
        text += ", truncated"
    return text


def print_row(rollout: Rollout, pass_threshold: float, *, as_json: bool) -> None:
    """One rollout on one line, at once."""
    if as_json:
        print_json(metadata(rollout, pass_threshold))
    else:
        name, agent, reward, outcome, turns, tools, tokens, time = _cells(rollout, pass_threshold)
        line = f"{name:>8}  {agent}  {outcome}  reward {reward}  turns {turns}  tools {tools}  tokens {tokens}  {time}"
        typer.echo(visible(line))
    sys.stdout.flush()


def print_matches(
    index: Index, text: str, *, ignore_case: bool, limit: int, content: bool, as_json: bool
) -> None:  # fmt: skip
    """Rollouts that contain a text, each printed when it is found."""
    count = 0
    for rollout, offset in index.matches(text, ignore_case=ignore_case):
        if limit and count == limit:
            typer.echo(f"stopped after {limit} rollouts; see --limit", err=True)
            return
        count += 1
        excerpt = _excerpt(index.read(rollout), offset - rollout.offset)
        if as_json:
            more = {"excerpt": excerpt} if content else {}
            name = {"rollout": rollout.name, "agent": rollout.agent, "reward": rollout.reward}
            print_json({**name, "file": _FILES[rollout.file], "line": rollout.line, **more})
        else:
            reward = _number(rollout.reward, ".3f")
            typer.echo(f"{rollout.name}  {visible(rollout.agent)}  {reward}  {visible(excerpt)}")
        sys.stdout.flush()
    if not count:
        typer.echo("no rollout contains the text", err=True)


def _excerpt(line: bytes, position: int) -> str:
    """The text around a match, as the file spells it."""
    start = max(0, position - _EXCERPT // 3)
    return line[start : start + _EXCERPT].decode("utf-8", "replace")


def print_groups(page: GroupPage, offset: int, *, as_json: bool) -> None:
    """Groups side by side: the rewards of all repeats."""
    if as_json:
        groups = [{**asdict(group), "zero_variance": group.zero_variance} for group in page.groups]
        print_json({"total": page.total, "offset": offset, "groups": groups})
        return
    rows = table("task", "agent", "mean", "spread", "passed", "rewards by repeat")
    for group in page.groups:
        add_row(
            rows,
            str(group.task),
            group.agent or "(unknown)",
            _number(group.mean, ".3f"),
            _spread(group),
            f"{group.passed}/{len(group.repeats)}",
            "  ".join(_reward(repeat.reward, repeat.failure_class) for repeat in group.repeats),
        )
    print_table(rows)
    typer.echo(page_note(len(page.groups), page.total, offset, "groups"))


def _spread(group: Group) -> str:
    if group.zero_variance:
        return "0 (no signal)"
    return _number(group.spread, ".3f")


def _reward(reward: float | None, failure_class: str | None) -> str:
    if failure_class is not None:
        return failure_class
    return _number(reward, ".3g")


def print_block(text: str, indent: str = "  ") -> None:
    """Text of several lines, escaped and indented."""
    for line in visible_lines(text).split("\n"):
        typer.echo(f"{indent}{line}".rstrip())
