"""``gymctl export``: rollouts as training data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gymctl.cli.help import DATA
from gymctl.datasets.options import ExportTarget, Kind, ReasoningStyle, ToolArguments

if TYPE_CHECKING:
    from gymctl.datasets.exports.export_report import ExportReport

Rollouts = Annotated[Path, typer.Argument(help="Output file of a collection (JSONL).", metavar="ROLLOUTS")]
TargetOption = Annotated[ExportTarget, typer.Option("--to", help="Framework or format to export for.")]
KindOption = Annotated[
    Kind | None,
    typer.Option("--kind", help="Kind of training data.", show_default="sft for trainers"),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="File, or directory for atif.",
        show_default="next to ROLLOUTS, named after the target and the kind",
    ),
]
ReasoningOption = Annotated[ReasoningStyle, typer.Option("--reasoning", help="Where to put the model's reasoning.")]
Arguments = Annotated[
    ToolArguments, typer.Option("--tool-arguments", help="Format of tool call arguments, for nemo-rl and trl.")
]
MinReward = Annotated[float | None, typer.Option(help="Leave out rollouts with a lower reward.", show_default=False)]
MaxReward = Annotated[float | None, typer.Option(help="Leave out rollouts with a higher reward.", show_default=False)]
MinPassRate = Annotated[float | None, typer.Option(help="Leave out tasks with a lower pass rate.", show_default=False)]
MaxPassRate = Annotated[float | None, typer.Option(help="Leave out tasks with a higher pass rate.", show_default=False)]
Threshold = Annotated[
    float,
    typer.Option(
        help="Minimum reward of a passed rollout (0.5 here and in `data sample`, 1 in `collect`, `results` and "
        "`report`)."
    ),
]
CompleteGroups = Annotated[
    bool, typer.Option("--complete-groups", help="Leave out tasks with a failed, masked or missing rollout.")
]
Best = Annotated[
    int | None, typer.Option(help="Keep the best N rollouts of each task.", metavar="N", min=1, show_default=False)
]
Margin = Annotated[float, typer.Option(help="Minimum difference in reward of a pair.")]
Pairs = Annotated[int, typer.Option(help="Maximum number of pairs per task.", min=1)]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=DATA)(export)


def export(
    rollouts: Rollouts,
    target: TargetOption,
    kind: KindOption = None,
    output: Output = None,
    reasoning: ReasoningOption = ReasoningStyle.FIELD,
    tool_arguments: Arguments = ToolArguments.OBJECT,
    min_reward: MinReward = None,
    max_reward: MaxReward = None,
    min_pass_rate: MinPassRate = None,
    max_pass_rate: MaxPassRate = None,
    threshold: Threshold = 0.5,
    complete_groups: CompleteGroups = False,
    best: Best = None,
    margin: Margin = 0.1,
    pairs: Pairs = 1,
    as_json: AsJson = False,
) -> None:
    """Export rollouts as training data, with a manifest that accounts for every rollout.

    Failed rollouts and those marked as not measured (masked) are omitted; they never count as a reward of 0.

    \b
    Examples:
      gymctl export rollouts.jsonl --to trl --kind sft --min-reward 1
      gymctl export rollouts.jsonl --to nemo-rl --kind dpo --margin 0.5
      gymctl export rollouts.jsonl --to verl --kind tokens -o tokens.parquet --complete-groups
    """  # noqa: D301 - \b has click leave the lines below it as they are
    from gymctl import __version__
    from gymctl.datasets.exports.export_report import ExportOptions
    from gymctl.datasets.exports.export_run import default_kind
    from gymctl.datasets.exports.export_run import export as export_rollouts
    from gymctl.datasets.exports.selection import Selection

    kind = default_kind(target, kind)
    report = export_rollouts(
        ExportOptions(
            rollouts=rollouts,
            target=target,
            kind=kind,
            output=output or default_output(rollouts, target, kind),
            selection=Selection(
                min_reward=min_reward,
                max_reward=max_reward,
                min_pass_rate=min_pass_rate,
                max_pass_rate=max_pass_rate,
                threshold=threshold,
                complete_groups=complete_groups,
                best=best,
                margin=margin,
                pairs=pairs,
                keeps_cut=kind is not Kind.SFT and kind is not Kind.DPO and kind is not Kind.KTO,
            ),
            version=__version__,
            reasoning=reasoning,
            arguments=tool_arguments,
        )
    )
    _print_report(report, as_json=as_json)


def default_output(rollouts: Path, target: ExportTarget, kind: Kind | None) -> Path:
    """Default path of an export: next to the rollouts."""
    if not rollouts.name:
        return rollouts  # a folder, which is refused when it is read
    name = f"{rollouts.stem}_{target.value.replace('-', '_')}"
    if target is ExportTarget.ATIF:
        return rollouts.with_name(name)
    if kind is None:
        return rollouts.with_name(f"{rollouts.stem}.{target.value}")
    if target is ExportTarget.VERL:
        extension = "parquet"
    else:
        extension = "jsonl"
    return rollouts.with_name(f"{name}_{kind.value}.{extension}")


def _print_report(report: ExportReport, *, as_json: bool) -> None:
    if as_json:
        plain = {
            "output": str(report.output),
            "manifest": str(report.manifest),
            "rows": report.rows,
            "rollouts": {"in": report.considered, "out": report.used, "dropped": report.dropped},
            "incomplete_tasks": report.incomplete_tasks,
            "details": list(report.details),
        }
        typer.echo(json.dumps(plain))
        return
    for detail in report.details[:5]:
        typer.echo(f"note: {detail}", err=True)
    typer.echo(f"{report.rows} rows from {report.used} of {report.considered} rollouts -> {report.output}")
    for reason, count in report.dropped.items():
        typer.echo(f"  left out: {count} {reason.replace('_', ' ')}")
    if report.incomplete_tasks:
        typer.echo(f"  tasks with a rollout that has no reward: {report.incomplete_tasks}")
    typer.echo(f"  manifest: {report.manifest}")
