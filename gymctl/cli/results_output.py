"""What ``gymctl results`` prints: tables for people, JSON for programs. Text from a file is escaped."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from gymctl.errors import GymctlError, InputError
from gymctl.results.escaping import json_text, shortened, visible, visible_lines

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from gymctl.results import Group, GroupPage, Index, Query, RolloutRecord

_FILES = ("results", "failures")
_EXCERPT = 160
# Milliseconds below which a unit is used, the milliseconds it has, its format.
_UNITS = ((10, 1, "{:.1f} ms"), (1000, 1, "{:.0f} ms"), (60_000, 1000, "{:.1f} s"), (math.inf, 60_000, "{:.1f} min"))


@contextmanager
def opened(file: Path) -> Iterator[Index]:
    """The index of a results file; on a terminal, with progress while it is made."""
    import sqlite3

    from gymctl.results import Index

    terminal = sys.stderr.isatty()

    def on_progress(done: int, total: int) -> None:
        """Replace the line of the progress."""
        if terminal and done < total:
            sys.stderr.write(f"\rindexing {visible(str(file))}: {done / total:.0%} ")
            sys.stderr.flush()

    with Index.open(file, on_progress) as index:
        if terminal:
            sys.stderr.write("\r\x1b[K")
        try:
            yield index
        except sqlite3.Error as error:
            raise GymctlError(f"{index.place}: {error}", "remove the file; it will be rebuilt") from error


def print_json(value: Any) -> None:
    """One JSON document, or one line of a stream."""
    typer.echo(json_text(value))


def milliseconds(seconds: float | None) -> float | None:
    """Seconds of an option as milliseconds."""
    if seconds is None:
        return None
    return seconds * 1000


def metadata(rollout: RolloutRecord, pass_threshold: float) -> dict[str, Any]:
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
        console.print()
        console.print(visible(title), style="bold", markup=False, highlight=False)
    console.print(rows)


def _console() -> Console:
    from rich.console import Console

    return Console(width=240)


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


def page_note(on_page: int, total: int, offset: int, noun: str) -> str:
    """How much of a list was printed."""
    if on_page == total:
        return f"{total} {noun}"
    return f"{on_page} of {total} {noun}, from {offset + 1}; see --limit and --offset"


def last_answer(index: Index, rollout: RolloutRecord) -> str:
    """The end of the conversation, on one line."""
    transcript = index.transcript(rollout)
    texts = [item.text for item in transcript.items if item.kind == "message"]
    if texts:
        return shortened(texts[-1], _EXCERPT)
    if transcript.failure:
        return shortened(transcript.failure.message, _EXCERPT)
    return ""


def print_rollouts(
    rollouts: Sequence[RolloutRecord], pass_threshold: float, *, title: str = "", answers: Sequence[str] | None = None
) -> None:
    """Rollouts as a table; ``answers`` adds a column."""
    more = () if answers is None else ("last answer",)
    rows = table("rollout", "agent", "reward", "outcome", "turns", "tools", "tokens in/out", "time", *more)
    for position, rollout in enumerate(rollouts):
        cells = _cells(rollout, pass_threshold)
        if answers is not None:
            cells.append(answers[position])
        add_row(rows, *cells)
    print_table(rows, title)


def _cells(rollout: RolloutRecord, pass_threshold: float) -> list[str]:
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
    """Two or three digits with a unit: ``1.2 ms``, ``120 ms``, ``1.5 s``, ``12.0 min``."""
    if milliseconds is None:
        return "-"
    divisor, form = next(
        (divisor, form) for below, divisor, form in _UNITS if milliseconds < below or below == math.inf
    )
    return form.format(milliseconds / divisor)


def outcome_text(rollout: RolloutRecord, pass_threshold: float) -> str:
    """``passed``, ``not passed``, ``unscored``, ``masked: CLASS`` or ``failed: CLASS``; and whether it was cut off."""
    if rollout.is_masked:
        text = f"masked: {rollout.failure_class}"
    elif rollout.failure_class is not None:
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


def print_row(rollout: RolloutRecord, pass_threshold: float, *, as_json: bool) -> None:
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
    """Print rollouts that contain the given text, each as soon as it is found.

    Raises:
        InputError: the text is empty.
    """
    if not text:
        raise InputError("find: the text is empty", "pass the text to look for")
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
