"""``gymctl results``: read what was collected."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gymctl.cli import results_options as options
from gymctl.cli import results_output as output
from gymctl.cli.help import HELP_OPTIONS, INSPECT, GroupedCommands, command_group
from gymctl.results.choices import GroupSort, Join, Sort

if TYPE_CHECKING:
    from gymctl.results import RolloutRecord


class ResultsGroup(GroupedCommands):
    """Commands of ``gymctl results``. With a file, or an option, in place of a command it is ``summary``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``summary`` before arguments that begin with a file or with an option."""
        if args and args[0] not in {*self.commands, *HELP_OPTIONS} and _is_file_or_option(args[0]):
            args = ["summary", *args]
        return super().parse_args(ctx, args)


def _is_file_or_option(argument: str) -> bool:
    """Whether an argument names a file, existing or not; a mistyped command has neither a dot nor a slash in it."""
    return bool(set(argument) & set("./\\")) or argument.startswith("-") or Path(argument).exists()


commands = command_group("results", "Show collected rollouts. `gymctl results FILE` prints a summary.", ResultsGroup)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(commands, rich_help_panel=INSPECT)


@commands.command("summary")
def summary(
    file: options.File,
    pass_threshold: options.Threshold = 1.0,
    worst: options.ListWorst = None,
    as_json: options.Json = False,
) -> None:
    """Summarize a run per agent: rewards, pass rates, failures, tokens, times.

    \b
    Examples:
      gymctl results rollouts.jsonl
      gymctl results rollouts.jsonl --worst 5
    """  # noqa: D301 - \b makes click keep the line breaks below it
    from dataclasses import asdict

    from gymctl.cli.results_summary import print_statistics
    from gymctl.results import Query, summarise

    with output.opened(file) as index:
        statistics = summarise(index, pass_threshold)
        rollouts = index.rollouts(Query(sort=Sort.REWARD, limit=worst or 0)).rollouts
    if as_json:
        data = asdict(statistics)
        if worst:
            data["worst"] = [output.metadata(rollout, pass_threshold) for rollout in rollouts]
        output.print_json(data)
        return
    print_statistics(statistics)
    if rollouts:
        output.print_rollouts(rollouts, pass_threshold, title=f"lowest rewards: {len(rollouts)}")


@commands.command("list")
def list_rollouts(
    file: options.File,
    agent: options.Agents = None,
    task: options.Tasks = None,
    outcome: options.Ended = None,
    min_reward: options.MinReward = None,
    max_reward: options.MaxReward = None,
    failure_class: options.Classes = None,
    tool: options.Tools = None,
    truncated: options.Truncated = None,
    tool_errors: options.ToolErrors = None,
    min_tokens: options.MinTokens = None,
    max_tokens: options.MaxTokens = None,
    min_seconds: options.MinSeconds = None,
    max_seconds: options.MaxSeconds = None,
    text: options.Text = "",
    ignore_case: options.IgnoreCase = False,
    attempts: options.Attempts = False,
    sort: Annotated[Sort, typer.Option(help="Order of the rollouts.")] = Sort.FILE,
    descending: options.Descending = False,
    worst: options.Worst = None,
    limit: options.Limit = 50,
    offset: options.Offset = 0,
    pass_threshold: options.Threshold = 1.0,
    content: options.Content = False,
    as_json: options.Json = False,
) -> None:
    """List rollouts, filtered and sorted.

    \b
    Examples:
      gymctl results list rollouts.jsonl --max-reward 0 --text "not found" --json
    """  # noqa: D301
    from gymctl.results import Query

    query = Query(
        agents=tuple(agent or ()),
        tasks=tuple(task or ()),
        outcome=outcome,
        pass_threshold=pass_threshold,
        min_reward=min_reward,
        max_reward=max_reward,
        failure_classes=tuple(failure_class or ()),
        tools=tuple(tool or ()),
        truncated=truncated,
        tool_errors=tool_errors,
        min_tokens=min_tokens,
        max_tokens=max_tokens,
        min_ms=output.milliseconds(min_seconds),
        max_ms=output.milliseconds(max_seconds),
        text=text,
        ignore_case=ignore_case,
        attempts=attempts,
        sort=Sort.REWARD if worst else sort,
        descending=descending and not worst,
        offset=offset,
        limit=worst or limit or -1,
    )
    with output.opened(file) as index:
        output.print_page(index, query, content=content, as_json=as_json)


@commands.command("show")
def show(
    file: options.File,
    rollout: Annotated[
        str | None,
        typer.Argument(metavar="ROLLOUT", help="TASK:REPEAT, TASK, or #LINE of the file.", show_default=False),
    ] = None,
    agent: options.Agent = None,
    worst: options.Worst = None,
    attempts: Annotated[bool, typer.Option("--attempts", help="Show earlier failed attempts too.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Do not shorten long messages.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Print the row as one line of ASCII JSON.")] = False,
    pass_threshold: options.Threshold = 1.0,
    content: options.Content = False,
    as_json: options.Json = False,
) -> None:
    """Show a rollout as a conversation, with its reward, the verifier's fields and times.

    With --json, message text is replaced by its length unless --content is given.

    \b
    Examples:
      gymctl results show rollouts.jsonl 12:3
      gymctl results show rollouts.jsonl --worst 3
    """  # noqa: D301
    from gymctl.cli import results_transcript as transcript

    with output.opened(file) as index:
        rollouts = transcript.select(index, rollout, agent=agent, worst=worst, attempts=attempts)
        if raw:
            for row in rollouts:
                typer.echo(transcript.raw_line(index.read(row)))
        elif as_json:
            output.print_json([transcript.to_json(index.transcript(row), row, content=content) for row in rollouts])
        else:
            for row in rollouts:
                transcript.print_transcript(index.transcript(row), row, pass_threshold, full=full)


@commands.command("find")
def find(
    file: options.File,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Text to search for, literally.", show_default=False)],
    ignore_case: options.IgnoreCase = False,
    limit: options.Limit = 50,
    content: options.Content = False,
    as_json: options.Json = False,
) -> None:
    """Find rollouts that contain the given text; print each one as soon as it is found.

    With --json, print one line per rollout; --content adds the text around the match.
    """
    with output.opened(file) as index:
        output.print_matches(index, text, ignore_case=ignore_case, limit=limit, content=content, as_json=as_json)


@commands.command("compare")
def compare_runs(
    first: Annotated[Path, typer.Argument(metavar="A", help="Output file of the baseline.", show_default=False)],
    second: Annotated[Path, typer.Argument(metavar="B", help="Output file of the other run.", show_default=False)],
    agent: options.Agent = None,
    join: Annotated[Join, typer.Option(help="How to match tasks of the two runs: by index or by prompt.")] = Join.TASK,
    limit: options.Limit = 20,
    pass_threshold: options.Threshold = 1.0,
    as_json: options.Json = False,
) -> None:
    """Compare two runs task by task: changed outcomes, paired difference, significance, tasks that are missing."""
    from gymctl.cli.results_comparison import comparison_json, print_comparison
    from gymctl.results import compare

    with output.opened(first) as a, output.opened(second) as b:
        comparison = compare(a, b, agent=agent, pass_threshold=pass_threshold, join=join)
    if as_json:
        output.print_json(comparison_json(comparison, limit))
    else:
        print_comparison(comparison, limit)


@commands.command("groups")
def groups(
    file: options.File,
    agent: options.Agent = None,
    task: Annotated[int | None, typer.Option(help="Only this task.", show_default=False)] = None,
    mixed: Annotated[bool, typer.Option("--mixed", help="Only groups whose rewards differ.")] = False,
    sort: Annotated[GroupSort, typer.Option(help="Order of the groups.")] = GroupSort.TASK,
    descending: options.Descending = False,
    limit: options.Limit = 50,
    offset: options.Offset = 0,
    pass_threshold: options.Threshold = 1.0,
    as_json: options.Json = False,
) -> None:
    """Show all repeats of each task side by side."""
    from gymctl.results import read_groups

    with output.opened(file) as index:
        page = read_groups(
            index,
            agent=agent,
            task=task,
            mixed=mixed,
            pass_threshold=pass_threshold,
            sort=sort,
            descending=descending,
            offset=offset,
            limit=limit or -1,
        )
    output.print_groups(page, offset, as_json=as_json)


@commands.command("tail")
def tail(
    file: options.File,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Begin with the last N rows.")] = 10,
    idle_timeout: Annotated[
        float | None, typer.Option(help="Stop after N seconds without a new row.", show_default=False)
    ] = None,
    pass_threshold: options.Threshold = 1.0,
    as_json: options.Json = False,
) -> None:
    """Follow a run: print results and failed attempts as they are written, until Ctrl-C."""
    from gymctl.cli.results_tail import follow

    def on_row(rollout: RolloutRecord) -> None:
        """Print one row."""
        output.print_row(rollout, pass_threshold, as_json=as_json)

    with output.opened(file) as index:
        follow(index, on_row, lines=lines, idle_timeout=idle_timeout)
