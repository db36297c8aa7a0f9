"""``gymctl results FILE``: the summary of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import typer

from gymctl.cli.results_output import add_row, print_table, table
from gymctl.results.escaping import visible

if TYPE_CHECKING:
    from gymctl.results import AgentStatistics, RunStatistics
    from gymctl.results.intervals import Estimate


def print_statistics(statistics: RunStatistics) -> None:
    """The summary of a run: rewards, failures and times by agent."""
    if not statistics.agents:
        typer.echo(f"no rollouts in {visible(statistics.path)}")
    overview = table(
        "agent", "rollouts", "tasks", "mean reward", "pass@1", "pass@k", "zero variance", "truncated", "tool errors",
        "failed", "masked", "tokens in", "tokens out",
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
        str(agent.masked),
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
    print_table(failures, "failed and masked rollouts")


def _print_times(agents: Sequence[AgentStatistics]) -> None:
    times = table("agent", "hop", "p50 ms", "p95 ms", "share")
    for agent in agents:
        total = agent.times[0].sum_ms if agent.times else 0.0
        for hop in agent.times:
            share = hop.sum_ms / (total or 1.0)
            add_row(times, agent.agent, hop.hop, f"{hop.p50_ms:.1f}", f"{hop.p95_ms:.1f}", f"{share:.0%}")
    print_table(times, "time by hop")


def _notes(statistics: RunStatistics) -> Iterator[str]:
    if statistics.agents:
        yield f"passed means a reward of {statistics.pass_threshold:g} or more; brackets are 95 % intervals"
    for agent in statistics.agents:
        for count, text in (
            (agent.rollouts - agent.scored, "results without a numeric reward (not part of any mean)"),
            (agent.masked, "masked results, whose rewards are not measurements (not part of any mean)"),
            (agent.repeated_lines, "additional results of rollouts that already have one (not counted)"),
            (agent.model_never_called, "results without any output of the model"),
        ):
            if count:
                yield f"{agent.agent or '(unknown)'}: {text}: {count}"
    if statistics.unreadable_lines:
        yield f"lines that are not JSON objects (skipped): {statistics.unreadable_lines}"
