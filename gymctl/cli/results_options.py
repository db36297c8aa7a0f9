"""Options of ``gymctl results``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gymctl.results.choices import Outcome

File = Annotated[Path, typer.Argument(metavar="FILE", help="Output file of a collection (JSONL).", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Content = Annotated[bool, typer.Option("--content", help="Include text of the rollouts, not only metadata.")]
Threshold = Annotated[float, typer.Option("--pass-threshold", help="Minimum reward of a passed rollout.")]
Agents = Annotated[list[str] | None, typer.Option("--agent", help="Only this agent; repeatable.", show_default=False)]
Agent = Annotated[str | None, typer.Option("--agent", help="Only this agent.", show_default=False)]
IgnoreCase = Annotated[bool, typer.Option("--ignore-case", "-i", help="Ignore the case of ASCII letters.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=0, help="Print at most N entries; 0 prints all.")]
Offset = Annotated[int, typer.Option(min=0, help="Skip the first N entries.")]
Descending = Annotated[bool, typer.Option("--desc", help="Sort in descending order.")]
Worst = Annotated[
    int | None,
    typer.Option("--worst", min=1, help="Show only the N rollouts with the lowest rewards.", show_default=False),
]
ListWorst = Annotated[
    int | None,
    typer.Option("--worst", min=1, help="Also list the N rollouts with the lowest rewards.", show_default=False),
]
Tasks = Annotated[list[int] | None, typer.Option("--task", help="Only this task; repeatable.", show_default=False)]
Ended = Annotated[Outcome | None, typer.Option(help="How the rollout ended.", show_default=False)]
MinReward = Annotated[float | None, typer.Option(help="Minimum reward.", show_default=False)]
MaxReward = Annotated[float | None, typer.Option(help="Maximum reward.", show_default=False)]
Classes = Annotated[
    list[str] | None,
    typer.Option("--failure-class", help="Only failures of this class; repeatable.", show_default=False),
]
Tools = Annotated[
    list[str] | None,
    typer.Option("--tool", help="Only rollouts that called this tool; repeatable.", show_default=False),
]
Truncated = Annotated[
    bool | None, typer.Option(help="Show only rollouts whose response was cut off.", show_default=False)
]
ToolErrors = Annotated[
    bool | None, typer.Option(help="Show only rollouts in which a tool call failed.", show_default=False)
]
MinTokens = Annotated[int | None, typer.Option(help="Minimum number of tokens, input plus output.", show_default=False)]
MaxTokens = Annotated[int | None, typer.Option(help="Maximum number of tokens, input plus output.", show_default=False)]
MinSeconds = Annotated[float | None, typer.Option(help="Minimum duration, in seconds.", show_default=False)]
MaxSeconds = Annotated[float | None, typer.Option(help="Maximum duration, in seconds.", show_default=False)]
Text = Annotated[str, typer.Option(help="Only rollouts that contain this text.", show_default=False)]
Attempts = Annotated[bool, typer.Option("--attempts", help="Include failed attempts that were retried later.")]
