"""``gymctl results show``: which rollouts, and a rollout as a person reads it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import typer

from gymctl.cli.results_output import duration, outcome_text, print_block
from gymctl.errors import InputError
from gymctl.results.escaping import json_text, shortened, visible

if TYPE_CHECKING:
    from gymctl.results import Index, RolloutRecord, Transcript
    from gymctl.results.transcript import Item

_NAME = re.compile(r"(?P<task>\d{1,18})(:(?P<repeat>\d{1,18}))?|#(?P<line>\d{1,18})")
_LONG = 4000
_FIELD = 400
_TEXTS = ("text", "arguments", "output")


def select(
    index: Index, name: str | None, *, agent: str | None, worst: int | None, attempts: bool
) -> list[RolloutRecord]:  # fmt: skip
    """The rollouts to show: one by its name, or the ones with the lowest rewards.

    Raises:
        InputError: neither or both are requested, the name is malformed, missing or ambiguous.
    """
    from gymctl.results import Query, Sort

    if (name is None) == (worst is None):
        raise InputError("show: expected a rollout, e.g. 12:3, or --worst N", "see gymctl results show --help")
    if worst is not None:
        agents = () if agent is None else (agent,)
        return list(index.rollouts(Query(sort=Sort.REWARD, limit=worst, agents=agents)).rollouts)
    match = _NAME.fullmatch(name or "")
    if match is None:
        raise InputError(f"invalid rollout {name!r}", "expected TASK:REPEAT, TASK or #LINE, e.g. 12:3")
    if match["line"]:
        return [_by_line(index, int(match["line"]))]
    rows = _by_task(index, int(match["task"]), match["repeat"], agent)
    if attempts:
        return rows
    return rows[:1]


def _by_line(index: Index, line: int) -> RolloutRecord:
    rollout = index.at_line(line)
    if rollout is None:
        raise InputError(f"{index.path}:{line}: no rollout in this line", "see gymctl results list FILE")
    return rollout


def _by_task(index: Index, task: int, repeat: str | None, agent: str | None) -> list[RolloutRecord]:
    """The rows of one rollout, the one that counts first."""
    from gymctl.results import Query

    agents = () if agent is None else (agent,)
    repeats = () if repeat is None else (int(repeat),)
    rollouts = index.rollouts(Query(tasks=(task,), repeats=repeats, agents=agents)).rollouts
    if not rollouts:
        wish = f"{task}" if repeat is None else f"{task}:{repeat}"
        raise InputError(f"{index.path}: no rollout {wish}", f"see gymctl results list {index.path}")
    if len(rollouts) > 1:
        names = ", ".join(f"{row.name} of {row.agent}" for row in rollouts[:10])
        raise InputError(f"{task}: {len(rollouts)} rollouts: {names}", "name one as TASK:REPEAT, and --agent")
    if rollouts[0].repeat is None:
        return list(rollouts)
    return index.rollout(task, rollouts[0].repeat, rollouts[0].agent)


def raw_line(line: bytes) -> str:
    """A row as ASCII JSON: the same data, nothing in it that acts on a terminal."""
    from gymctl.results.transcript import row_object

    return json_text(row_object(line))


def to_json(transcript: Transcript, rollout: RolloutRecord, *, content: bool) -> dict[str, Any]:
    """A transcript as JSON-ready data; without ``content`` each text is replaced by its number of characters."""
    data = {"rollout": rollout.name, **transcript.to_json()}
    if content:
        return data
    for part in ("prompt", "items"):
        data[part] = [_without_text(item) for item in data[part]]
    data["verifier"] = sorted(data["verifier"])
    if data["failure"]:
        data["failure"]["body"] = len(data["failure"]["body"])
    return data


def _without_text(item: dict[str, Any]) -> dict[str, Any]:
    lengths = {f"{name}_characters": len(item[name]) for name in _TEXTS if item.get(name) is not None}
    return {name: value for name, value in item.items() if name not in _TEXTS} | lengths


def print_transcript(transcript: Transcript, rollout: RolloutRecord, pass_threshold: float, *, full: bool) -> None:
    """The conversation, the verdict and the times."""
    limit = None if full else _LONG
    title = f"rollout {rollout.name}"
    for part in (transcript.agent, transcript.model):
        if part:
            title += f" | {part}"
    _heading(title, bold=True)
    for item in (*transcript.prompt, *transcript.items):
        _print_item(item, limit)
    _print_verdict(transcript, rollout, pass_threshold, limit)
    _print_times(transcript)
    typer.echo()


def _heading(text: str, *, bold: bool = False, color: str | None = None) -> None:
    typer.secho(visible(text), bold=bold, fg=color)


def _print_item(item: Item, limit: int | None) -> None:
    if item.kind == "message":
        _heading(f"[{item.role}]", color="cyan")
        print_block(_limited(item.text, limit))
    elif item.kind == "reasoning":
        _heading("[reasoning]", color="magenta")
        print_block(_limited(item.text, limit))
    elif item.kind == "tool_call":
        _heading(f"[tool call] {item.name}", color="yellow")
        print_block(_limited(item.arguments, limit))
        _print_output(item.output, limit, failed=item.failed)
    elif item.kind == "tool_output":
        _heading(f"[tool output without a call] {item.call_id}", color="yellow")
        _print_output(item.text, limit, failed=item.failed)
    else:
        _heading(f"[{item.type}]", color="cyan")
        print_block(_limited(item.text, limit))


def _print_output(output: str | None, limit: int | None, *, failed: bool) -> None:
    if output is None:
        _heading("  no output", color="red")
    elif failed:
        _heading("  error:", color="red")
        print_block(_limited(output, limit), "    ")
    else:
        _heading("  output:", color="green")
        print_block(_limited(output, limit), "    ")


def _limited(text: str, limit: int | None) -> str:
    if limit is None or len(text) <= limit:
        return text
    return f"{text[:limit]}\n... {len(text) - limit} more characters; see --full"


def _print_verdict(transcript: Transcript, rollout: RolloutRecord, pass_threshold: float, limit: int | None) -> None:
    outcome = outcome_text(rollout, pass_threshold)
    reward = "no reward" if transcript.reward is None else f"reward {transcript.reward:g}"
    passed = rollout.is_passed(pass_threshold)
    _heading(f"[verdict] {reward}, {outcome} (threshold {pass_threshold:g})", color="green" if passed else "red")
    if transcript.truncated:
        print_block(f"truncated: {transcript.truncated}")
    failure = transcript.failure
    if failure is not None:
        place = " ".join(part for part in (failure.hop, failure.path, str(failure.status or "")) if part)
        print_block(_limited(f"{failure.message}\n{place}".strip(), limit))
        if failure.body:
            print_block(_limited(failure.body, limit), "    ")
    for name, value in transcript.verifier.items():
        text = value if isinstance(value, str) else json_text(value)
        width = len(text) if limit is None else _FIELD
        typer.echo(f"  {visible(name)}: {shortened(text, width)}")


def _print_times(transcript: Transcript) -> None:
    if transcript.tokens_in is not None or transcript.tokens_out is not None:
        typer.echo(f"[tokens] in {transcript.tokens_in}, out {transcript.tokens_out}")
    if transcript.times:
        parts = ", ".join(f"{name} {duration(value)}" for name, value in transcript.times.items())
        typer.echo(visible(f"[time] {duration(transcript.total_ms)}: {parts}"))
    if transcript.trace_id:
        typer.echo(visible(f"[trace] {transcript.trace_id}"))
