"""``gymctl results compare``: what differs between two runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from gymctl.cli.results_output import add_row, print_table, table
from gymctl.results.escaping import shortened, visible

if TYPE_CHECKING:
    from gymctl.results import Comparison
    from gymctl.results.comparison import Missing, TaskPair
    from gymctl.results.intervals import Estimate


def comparison_json(comparison: Comparison, limit: int) -> dict[str, Any]:
    """A comparison as JSON-ready data: counts are whole, each list has at most ``limit`` entries (0: all)."""
    from gymctl.results import Change

    most = limit or None
    data: dict[str, Any] = {
        "pass_threshold": comparison.pass_threshold,
        "join": comparison.join.value,
        "common_tasks": len(comparison.pairs),
        "up": len(comparison.flips(Change.UP)),
        "down": len(comparison.flips(Change.DOWN)),
        "missing_in_a": len(comparison.missing_in_a),
        "missing_in_b": len(comparison.missing_in_b),
        "reward": _estimate_json(comparison.reward),
        "pass_rate": _estimate_json(comparison.pass_rate),
        "mcnemar_p": comparison.p_value,
        "differences": [asdict(difference) for difference in comparison.differences],
    }
    data["tasks"] = [
        {**asdict(pair), "change": pair.change.value, "difference": pair.difference} for pair in comparison.pairs[:most]
    ]
    data["tasks_missing_in_a"] = [asdict(task) for task in comparison.missing_in_a[:most]]
    data["tasks_missing_in_b"] = [asdict(task) for task in comparison.missing_in_b[:most]]
    return data


def _estimate_json(estimate: Estimate | None) -> dict[str, Any] | None:
    if estimate is None:
        return None
    return asdict(estimate)


def print_comparison(comparison: Comparison, limit: int) -> None:
    """The flips first, then the estimates, then what is not comparable."""
    from gymctl.results import Change

    down = comparison.flips(Change.DOWN)
    up = comparison.flips(Change.UP)
    _print_flips("down: passed in A, not passed in B", down, limit)
    _print_flips("up: not passed in A, passed in B", up, limit)
    if up or down:
        typer.echo()
    typer.echo(f"{len(comparison.pairs)} common tasks: {len(up)} up, {len(down)} down")
    typer.echo(f"mean reward, B - A: {_signed(comparison.reward)}")
    typer.echo(f"pass rate, B - A: {_signed(comparison.pass_rate)}")
    if comparison.p_value is None:
        typer.echo("McNemar's test: no task flipped")
    else:
        typer.echo(f"McNemar's test of the flips: p = {comparison.p_value:.3g}")
    _print_missing("A", comparison.missing_in_a, limit)
    _print_missing("B", comparison.missing_in_b, limit)
    differences = table("differs", "A", "B")
    for difference in comparison.differences:
        add_row(differences, difference.name, shortened(difference.a, 80), shortened(difference.b, 80))
    print_table(differences, "not the same in both runs")
    typer.echo(
        f"note: a task is passed when more than half of its rollouts reach a reward of {comparison.pass_threshold:g}; "
        "brackets are 95 % intervals over tasks"
    )


def _print_flips(title: str, pairs: Sequence[TaskPair], limit: int) -> None:
    rows = table("task", "agent", "reward A", "reward B", "passed A", "passed B")
    for pair in pairs[: limit or None]:
        task = str(pair.task_a)
        if pair.task_b != pair.task_a:
            task += f" / {pair.task_b}"
        if pair.same_prompt is False:
            task += " (other input)"
        add_row(
            rows,
            task,
            pair.agent_b,
            f"{pair.reward_a:.3f}",
            f"{pair.reward_b:.3f}",
            f"{pair.passed_a * pair.rollouts_a:.0f}/{pair.rollouts_a}",
            f"{pair.passed_b * pair.rollouts_b:.0f}/{pair.rollouts_b}",
        )
    print_table(rows, f"{title} ({len(pairs)})")
    if rows.row_count < len(pairs):
        typer.echo(f"... {len(pairs) - rows.row_count} more; see --limit")


def _signed(estimate: Estimate | None) -> str:
    if estimate is None:
        return "no common task"
    if estimate.low is None:
        return f"{estimate.value:+.3f}"
    return f"{estimate.value:+.3f} [{estimate.low:+.3f}, {estimate.high:+.3f}]"


def _print_missing(run: str, tasks: Sequence[Missing], limit: int) -> None:
    if not tasks:
        return
    names = ", ".join(f"{task.task} ({task.reason})" for task in tasks[: limit or None])
    more = len(tasks) - len(tasks[: limit or None])
    if more:
        names += f" and {more} more"
    typer.echo(visible(f"missing in {run}, not compared: {len(tasks)} tasks: {names}"))
