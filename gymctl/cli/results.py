"""``gymctl results``: read what was collected."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from gymctl.results.choices import GroupSort, Join, Outcome, Sort

if TYPE_CHECKING:
    from gymctl.results import Rollout

File = Annotated[Path, typer.Argument(help="Output file of a collection (JSONL).", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Content = Annotated[bool, typer.Option("--content", help="Include text of the rollouts, not only metadata.")]
Threshold = Annotated[float, typer.Option("--pass-threshold", help="Reward from which a rollout counts as passed.")]
Agents = Annotated[list[str] | None, typer.Option("--agent", help="Only this agent; repeatable.", show_default=False)]
Agent = Annotated[str | None, typer.Option("--agent", help="Only this agent.", show_default=False)]
IgnoreCase = Annotated[bool, typer.Option("--ignore-case", "-i", help="Match ASCII letters of either case.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=0, help="Print at most N entries; 0 prints all.")]
Offset = Annotated[int, typer.Option(min=0, help="Skip the first N entries.")]
Descending = Annotated[bool, typer.Option("--desc", help="Sort in descending order.")]
Worst = Annotated[
    int | None, typer.Option("--worst", min=1, help="The N rollouts with the lowest rewards.", show_default=False)
]


class ResultsGroup(TyperGroup):
    """Commands of ``gymctl results``. With a file, or an option, in place of a command it is ``summary``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``summary`` before arguments that begin with a file or with an option."""
        if args and args[0] not in self.commands and args[0] != "--help":
            is_file = any(mark in args[0] for mark in "./\\") or Path(args[0]).exists()
            if is_file or args[0].startswith("-"):
                args = ["summary", *args]
        return super().parse_args(ctx, args)


commands = typer.Typer(
    name="results",
    cls=ResultsGroup,
    help="Read what was collected. `gymctl results FILE` prints a summary.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(commands)


@commands.callback()
def _group() -> None:
    pass


@commands.command("summary")
def summary(
    file: File,
    pass_threshold: Threshold = 1.0,
    worst: Worst = None,
    as_json: Json = False,
) -> None:
    """Summarize a run per agent: rewards, pass rates, failures, tokens, times.

    \b
    Examples:
      gymctl results rollouts.jsonl
      gymctl results rollouts.jsonl --worst 5
    """  # noqa: D301 - \b makes click keep the line breaks below it
    from dataclasses import asdict

    from gymctl.cli import results_output as output
    from gymctl.results import Query, Sort, summarise

    with output.opened(file) as index:
        statistics = summarise(index, pass_threshold)
        rollouts = index.rollouts(Query(sort=Sort.REWARD, limit=worst or 0)).rollouts
    if as_json:
        data = asdict(statistics)
        if worst:
            data["worst"] = [output.metadata(rollout, pass_threshold) for rollout in rollouts]
        output.print_json(data)
        return
    output.print_statistics(statistics)
    if rollouts:
        output.print_rollouts(rollouts, pass_threshold, title=f"lowest rewards: {len(rollouts)}")


@commands.command("list")
def list_rollouts(
    file: File,
    agent: Agents = None,
    task: Annotated[list[int] | None, typer.Option(help="Only this task; repeatable.", show_default=False)] = None,
    outcome: Annotated[Outcome | None, typer.Option(help="How the rollout ended.", show_default=False)] = None,
    min_reward: Annotated[float | None, typer.Option(help="Lowest reward.", show_default=False)] = None,
    max_reward: Annotated[float | None, typer.Option(help="Highest reward.", show_default=False)] = None,
    failure_class: Annotated[
        list[str] | None, typer.Option(help="Only failures of this class; repeatable.", show_default=False)
    ] = None,
    tool: Annotated[
        list[str] | None, typer.Option(help="Only rollouts that called this tool; repeatable.", show_default=False)
    ] = None,
    truncated: Annotated[
        bool | None, typer.Option(help="Whether the response was cut off.", show_default=False)
    ] = None,
    tool_errors: Annotated[bool | None, typer.Option(help="Whether a tool call failed.", show_default=False)] = None,
    min_tokens: Annotated[int | None, typer.Option(help="Fewest tokens, in and out.", show_default=False)] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Most tokens, in and out.", show_default=False)] = None,
    min_seconds: Annotated[float | None, typer.Option(help="Shortest time.", show_default=False)] = None,
    max_seconds: Annotated[float | None, typer.Option(help="Longest time.", show_default=False)] = None,
    text: Annotated[str, typer.Option(help="Only rollouts that contain this text.", show_default=False)] = "",
    ignore_case: IgnoreCase = False,
    attempts: Annotated[bool, typer.Option("--attempts", help="Include attempts that a later one replaced.")] = False,
    sort: Annotated[Sort, typer.Option(help="Order of the rollouts.")] = Sort.FILE,
    descending: Descending = False,
    worst: Worst = None,
    limit: Limit = 50,
    offset: Offset = 0,
    pass_threshold: Threshold = 1.0,
    content: Content = False,
    as_json: Json = False,
) -> None:
    """List rollouts, filtered and sorted.

    \b
    Examples:
      gymctl results list rollouts.jsonl --outcome failed
      gymctl results list rollouts.jsonl --tool search --sort time --desc -n 10
      gymctl results list rollouts.jsonl --max-reward 0 --text "not found" --json
    """  # noqa: D301
    from gymctl.cli import results_output as output
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
    file: File,
    rollout: Annotated[
        str | None, typer.Argument(help="TASK:REPEAT, TASK, or #LINE of the file.", show_default=False)
    ] = None,
    agent: Agent = None,
    worst: Worst = None,
    attempts: Annotated[bool, typer.Option("--attempts", help="Show earlier failed attempts too.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Do not shorten long texts.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Print the row as one line of ASCII JSON.")] = False,
    pass_threshold: Threshold = 1.0,
    content: Content = False,
    as_json: Json = False,
) -> None:
    """Show a rollout as a conversation, with its reward, the verifier's fields and times.

    With --json the texts of the conversation are replaced by their lengths unless --content is given.

    \b
    Examples:
      gymctl results show rollouts.jsonl 12:3
      gymctl results show rollouts.jsonl --worst 3
    """  # noqa: D301
    from gymctl.cli import results_output as output
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
    file: File,
    text: Annotated[str, typer.Argument(help="Text to look for, literally.", show_default=False)],
    ignore_case: IgnoreCase = False,
    limit: Limit = 50,
    content: Content = False,
    as_json: Json = False,
) -> None:
    """Find the rollouts that contain a text, in the order of the file, printed as they are found.

    With --json a line per rollout; the text around the match only with --content.
    """
    from gymctl.cli import results_output as output

    with output.opened(file) as index:
        output.print_matches(index, text, ignore_case=ignore_case, limit=limit, content=content, as_json=as_json)


@commands.command("compare")
def compare_runs(
    first: Annotated[Path, typer.Argument(metavar="A", help="Output file of the baseline.", show_default=False)],
    second: Annotated[Path, typer.Argument(metavar="B", help="Output file of the other run.", show_default=False)],
    agent: Agent = None,
    join: Annotated[Join, typer.Option(help="What makes two tasks the same.")] = Join.TASK,
    limit: Limit = 20,
    pass_threshold: Threshold = 1.0,
    as_json: Json = False,
) -> None:
    """Compare two runs task by task: flips, paired difference, significance, and what is not comparable."""
    from gymctl.cli import results_output as output
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
    file: File,
    agent: Agent = None,
    task: Annotated[int | None, typer.Option(help="Only this task.", show_default=False)] = None,
    mixed: Annotated[bool, typer.Option("--mixed", help="Only groups whose rewards differ.")] = False,
    sort: Annotated[GroupSort, typer.Option(help="Order of the groups.")] = GroupSort.TASK,
    descending: Descending = False,
    limit: Limit = 50,
    offset: Offset = 0,
    pass_threshold: Threshold = 1.0,
    as_json: Json = False,
) -> None:
    """Show all repeats of each task side by side."""
    from gymctl.cli import results_output as output
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
    file: File,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Begin with the last N rows.")] = 10,
    idle_timeout: Annotated[
        float | None, typer.Option(help="Stop after N seconds without a new row.", show_default=False)
    ] = None,
    pass_threshold: Threshold = 1.0,
    as_json: Json = False,
) -> None:
    """Follow a run: print results and failed attempts as they are written, until Ctrl-C."""
    from gymctl.cli import results_output as output
    from gymctl.cli.results_tail import follow

    def on_row(rollout: Rollout) -> None:
        output.print_row(rollout, pass_threshold, as_json=as_json)

    with output.opened(file) as index:
        follow(index, on_row, lines=lines, idle_timeout=idle_timeout)
