"""``gymctl data split|mix|sample``: choose rows, the same ones each time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

Rows = Annotated[Path, typer.Argument(help="File of rows.", metavar="ROWS")]
Output = Annotated[Path, typer.Option("--output", "-o", help="File to write.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the random choice.")]


def register(group: typer.Typer) -> None:
    """Add the sub-commands to ``gymctl data``."""
    for command in (split, mix, sample):
        group.command()(command)


def split(
    rows: Rows,
    output_dir: Annotated[Path, typer.Option("--output-dir", "-o", help="Directory for the files.")],
    share: Annotated[
        list[str] | None,
        typer.Option(
            "--share",
            help="Share of the rows for a file, as NAME=SHARE; may be repeated.",
            show_default="train=0.9 validation=0.1",
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option("--by", help="Keep rows with the same value of this column together.", metavar="COLUMN"),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Split rows into several files. Adding rows later does not move existing rows to another file.

    \b
    Examples:
      gymctl data split rows.jsonl --output-dir data
      gymctl data split rows.jsonl -o data --share train=0.8 --share validation=0.1 --share test=0.1 --by topic
    """  # noqa: D301 - \b has click leave the lines below it as they are
    from gymctl.datasets.row_ranks import split as split_rows

    shares = pairs(share, "--share") or {"train": 0.9, "validation": 0.1}
    counts = split_rows(rows, shares, output_dir, seed=seed, column=by)
    for name, count in counts.items():
        typer.echo(f"{count} rows -> {output_dir / name}.jsonl")


def mix(
    rows: Annotated[list[Path], typer.Argument(help="Files of rows.", metavar="ROWS")],
    output: Output,
    weight: Annotated[
        list[str] | None,
        typer.Option(
            "--weight",
            help="Weight of an agent, as AGENT=WEIGHT; may be repeated. Default weight: 1.",
            show_default=False,
        ),
    ] = None,
    count: Annotated[
        int | None, typer.Option("--rows", help="Rows to write.", min=1, show_default="as many as the weights allow")
    ] = None,
    repeat: Annotated[bool, typer.Option("--repeat", help="Repeat rows of agents that have too few.")] = False,
    seed: Seed = 0,
) -> None:
    """Mix rows of several agents in a random order, by weights.

    \b
    Examples:
      gymctl data mix math.jsonl search.jsonl -o train.jsonl --weight math_agent=3
      gymctl data mix train.jsonl -o small.jsonl --rows 1000 --seed 7
    """  # noqa: D301 - \b has click leave the lines below it as they are
    from gymctl.datasets.row_ranks import mix as mix_rows

    counts = mix_rows(rows, pairs(weight, "--weight"), output, rows=count, seed=seed, repeat=repeat)
    for name, number in counts.items():
        typer.echo(f"{number} rows of {name}")
    typer.echo(f"{sum(counts.values())} rows -> {output}")


def sample(
    output: Output,
    rows: Annotated[
        Path | None, typer.Argument(help="File of rows; omit it with --from-run.", metavar="ROWS", show_default=False)
    ] = None,
    count: Annotated[int | None, typer.Option("--rows", "-n", help="Rows to write.", min=1, show_default=False)] = None,
    from_run: Annotated[
        Path | None,
        typer.Option("--from-run", help="Take the rows of this run (output of gymctl collect).", show_default=False),
    ] = None,
    min_pass_rate: Annotated[float, typer.Option(help="With --from-run, minimum pass rate of a task.")] = 0.0,
    max_pass_rate: Annotated[float, typer.Option(help="With --from-run, maximum pass rate of a task.")] = 1.0,
    threshold: Annotated[
        float,
        typer.Option(
            help="Minimum reward of a passed rollout (0.5 here and in `export`, 1 in `collect`, `results` and "
            "`report`)."
        ),
    ] = 0.5,
    seed: Seed = 0,
) -> None:
    """Select rows: at random, or by the pass rate of an earlier run.

    \b
    Examples:
      gymctl data sample rows.jsonl -n 100 -o small.jsonl
      gymctl data sample --from-run rollouts.jsonl --min-pass-rate 0.2 --max-pass-rate 0.8 -o next.jsonl
    """  # noqa: D301 - \b has click leave the lines below it as they are
    from gymctl.datasets.row_ranks import curriculum
    from gymctl.datasets.row_ranks import sample as sample_rows
    from gymctl.errors import InputError

    if (rows is None) == (from_run is None):
        raise InputError("specify either ROWS or --from-run", "see gymctl data sample --help")
    if from_run is not None:
        number, total = curriculum(
            from_run, output, least=min_pass_rate, most=max_pass_rate, threshold=threshold, count=count, seed=seed
        )
        typer.echo(f"{number} of {total} tasks -> {output}")
        return
    if count is None or rows is None:
        raise InputError("--rows is missing", "add -n 100")
    typer.echo(f"{sample_rows(rows, count, output, seed=seed)} rows -> {output}")


def pairs(texts: Sequence[str] | None, option: str) -> dict[str, float]:
    """``NAME=NUMBER`` options as a mapping.

    Raises:
        InputError: one has another form, or a name is repeated.
    """
    from gymctl.errors import InputError

    numbers: dict[str, float] = {}
    for text in texts or ():
        name, _, number = text.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if not name or value < 0 or name in numbers:
            raise InputError(f"invalid {option} {text!r}", "expected NAME=NUMBER, each name once")
        numbers[name] = value
    return numbers
