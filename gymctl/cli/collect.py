"""``gymctl collect``: rollouts from the running stack of this directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gymctl.cli import completion
from gymctl.cli.help import RUN
from gymctl.cli.options import Verbose
from gymctl.config.choices import ResultOrder

Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="OVERRIDE",
        help="NeMo Gym's spelling of the options: +input_jsonl_fpath=rows.jsonl +output_jsonl_fpath=rollouts.jsonl ...",
        show_default=False,
    ),
]
Rows = Annotated[Path | None, typer.Option("--input", "-i", help="File of rows: JSONL or Parquet.", show_default=False)]
Resume = Annotated[bool, typer.Option("--resume", help="Continue an earlier run: skip rollouts already in the output.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="JSONL file for the results.", show_default=False)]
Agent = Annotated[
    str | None,
    typer.Option(help="Agent for rows without one.", show_default=False, autocompletion=completion.agents),
]
PassThreshold = Annotated[float, typer.Option(help="Minimum reward of a passed rollout.")]
Repeats = Annotated[
    str | None,
    typer.Option(help="Rollouts per row: a number, or per agent: math=4,_default=1.", metavar="N", show_default="1"),
]
Concurrency = Annotated[
    str | None, typer.Option(help="Maximum number of rollouts in flight, or auto.", metavar="N", show_default="auto")
]
Force = Annotated[
    bool,
    typer.Option("--force", help="Overwrite existing output; with --resume, continue even if settings changed."),
]
Stall = Annotated[
    float | None,
    typer.Option(
        help="Abort after this many seconds in which every call to every agent failed.",
        show_default="600, or the deadline if it is shorter",
    ),
]
MaxFailures = Annotated[
    str | None,
    typer.Option(
        "--max-failures",
        help="Stop when more rollouts than this fail permanently: 20, or 5% of all.",
        show_default="no limit",
        metavar="N|P%",
    ),
]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="With --resume, retry rollouts that had failed permanently.")
]
TraceRatio = Annotated[
    float | None,
    typer.Option(
        help="Fraction of successful rollouts whose traces are sent (0 to 1).", show_default="telemetry.sample_ratio"
    ),
]
Deadline = Annotated[float, typer.Option(help="Time limit of one rollout, in seconds.")]
NoReport = Annotated[
    bool, typer.Option("--no-report", help="Do not write an HTML page of the run (see gymctl report).")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=RUN)(collect)


def collect(
    overrides: Overrides = None,
    rows: Rows = None,
    output: Output = None,
    agent: Agent = None,
    limit: Annotated[int | None, typer.Option(help="Read only the first N rows.", show_default=False)] = None,
    num_repeats: Repeats = None,
    concurrency: Concurrency = None,
    resume: Resume = False,
    force: Force = False,
    order: Annotated[ResultOrder, typer.Option(help="Order of the results.")] = ResultOrder.COMPLETION,
    deadline: Deadline = 1800.0,
    stall: Stall = None,
    max_attempts: Annotated[int, typer.Option(help="Maximum attempts per rollout.")] = 3,
    max_failures: MaxFailures = None,
    retry_failed: RetryFailed = False,
    pass_threshold: PassThreshold = 1.0,
    trace_ratio: TraceRatio = None,
    no_report: NoReport = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Collect rollouts from the running stack.

    Failed rollouts go to a separate file. Ctrl-C stops cleanly; use --resume to continue.

    \b
    Examples:
      gymctl collect --input rows.jsonl --output rollouts.jsonl
      gymctl collect -i rows.jsonl -o rollouts.jsonl --num-repeats 8 --resume
    """  # noqa: D301 - \b has click leave the lines below it as they are
    from gymctl.cli.output import interrupt_message, print_report
    from gymctl.operations.collect import check_agents, collect_run
    from gymctl.operations.collect_options import run_spec
    from gymctl.rollouts.progress import display

    check_agents()  # without a stack, no option is worth a message
    options: dict[str, Any] = {
        "input": rows,
        "output": output,
        "agent": agent,
        "limit": limit,
        "num_repeats": num_repeats,
        "concurrency": concurrency,
        "resume": resume or None,
        "force": force,
        "order": order,
        "deadline_s": deadline,
        "stall_s": stall,
        "max_attempts": max_attempts,
        "max_failures": max_failures,
        "retry_failed": retry_failed,
        "pass_threshold": pass_threshold,
        "trace_ratio": trace_ratio,
    }
    spec = run_spec(options, overrides or [])
    with interrupt_message(), display(quiet=as_json) as on_event:
        report = collect_run(spec, on_event, report_page=not no_report)
    print_report(report, as_json=as_json)
    raise typer.Exit(report.exit_code)
