"""``gymctl collect``: rollouts from the running stack of this directory."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gymctl.config.vocabulary import HEAD_NAME

if TYPE_CHECKING:
    from gymctl.rollouts.spec import RunSpec

# ng_collect_rollouts' spelling (rollout_collection.py) -> ours, and what its value must be.
_UPSTREAM: dict[str, tuple[str, tuple[type, ...], str]] = {
    "input_jsonl_fpath": ("input", (str,), "a path"),
    "output_jsonl_fpath": ("output", (str,), "a path"),
    "agent_name": ("agent", (str,), "a name"),
    "limit": ("limit", (int,), "a number"),
    "num_repeats": ("num_repeats", (int, dict), "a number, or one for each agent: {agent: 2}"),
    "num_samples_in_parallel": ("concurrency", (int,), "a number"),
    "resume_from_cache": ("resume", (bool,), "true or false"),
    "responses_create_params": ("params_override", (dict,), "a mapping, such as {temperature: 0.5}"),
}

Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="OVERRIDE",
        help="Upstream's spelling of the options: +input_jsonl_fpath=rows.jsonl +output_jsonl_fpath=rollouts.jsonl ...",
        show_default=False,
    ),
]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="JSONL file for the results.", show_default=False)]
Agent = Annotated[str | None, typer.Option(help="Agent for the rows that name none.", show_default=False)]
Repeats = Annotated[
    str | None,
    typer.Option(help="Rollouts per row: a number, or by agent: math=4,_default=1.", metavar="N", show_default="1"),
]
Concurrency = Annotated[
    str | None, typer.Option(help="Rollouts in flight at most, or auto.", metavar="N", show_default="auto")
]
Force = Annotated[
    bool, typer.Option("--force", help="Overwrite an earlier run, or resume although it was started differently.")
]
Stall = Annotated[
    float | None,
    typer.Option(
        help="Give up after that many seconds in which every agent only failed.",
        show_default="600, or the deadline if that is less",
    ),
]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="With --resume, try again what failed for good before.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(collect)


def collect(
    overrides: Overrides = None,
    rows: Annotated[Path | None, typer.Option("--input", "-i", help="JSONL file of rows.", show_default=False)] = None,
    output: Output = None,
    agent: Agent = None,
    limit: Annotated[int | None, typer.Option(help="Read that many rows only.", show_default=False)] = None,
    num_repeats: Repeats = None,
    concurrency: Concurrency = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what the output already holds.")] = False,
    force: Force = False,
    order: Annotated[str, typer.Option(help="Order of the results: completion or input.")] = "completion",
    deadline: Annotated[float, typer.Option(help="Seconds that one rollout may take.")] = 1800.0,
    stall: Stall = None,
    max_attempts: Annotated[int, typer.Option(help="How often a rollout is tried in all.")] = 3,
    retry_failed: RetryFailed = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Collect rollouts from the running stack.

    Failures are kept beside the results. Ctrl-C stops in order, and --resume goes on.

    \b
    Examples:
      gymctl collect --input rows.jsonl --output rollouts.jsonl
      gymctl collect -i rows.jsonl -o rollouts.jsonl --num-repeats 8 --resume
      gymctl collect +input_jsonl_fpath=rows.jsonl +output_jsonl_fpath=rollouts.jsonl
    """  # noqa: D301 - \b has click leave the lines below it as they are
    from gymctl.cli.collecting import agents_of, collect_from_stack, print_report
    from gymctl.engines.state import load_state
    from gymctl.rollouts.progress import display

    state = load_state(Path.cwd())
    given = {
        "input": rows, "output": output, "agent": agent, "limit": limit, "num_repeats": num_repeats,
        "concurrency": concurrency, "resume": resume or None,
    }  # fmt: skip
    fixed = {
        "force": force, "order": order, "deadline_s": deadline, "stall_s": stall, "max_attempts": max_attempts,
        "retry_failed": retry_failed, "identity": {"config": state.config_digest},
        "agents": agents_of(state),
    }  # fmt: skip
    spec = run_spec(given, overrides or [], fixed)
    with display(quiet=as_json) as on_event:
        report = collect_from_stack(state, Path.cwd(), spec, on_event)
    print_report(report, as_json=as_json)
    raise typer.Exit(report.exit_code)


def run_spec(options: Mapping[str, Any], overrides: Sequence[str], fixed: Mapping[str, Any]) -> RunSpec:
    """The run that options and upstream's overrides describe; options win.

    Raises:
        InputError: input or output is missing, or a value does not fit.
    """
    from gymctl.errors import InputError
    from gymctl.rollouts.spec import RunSpec

    values = {**_from_overrides(overrides), **{key: value for key, value in options.items() if value is not None}}
    for key, what in (("input", "rows.jsonl"), ("output", "rollouts.jsonl")):
        if not values.get(key):
            raise InputError(f"no {key} file was given", f"add --{key} {what}")
        values[key] = Path(values[key])
    values["input"], values["output"] = _here_or_bundled(values["input"]), _followed(values["output"])
    concurrency = str(values.pop("concurrency", "auto"))
    if concurrency != "auto" and not concurrency.isdecimal():
        raise InputError(f"--concurrency is {concurrency!r}", "it must be a number, or auto")
    if isinstance(values.get("num_repeats"), str):
        values["num_repeats"] = _repeats(values["num_repeats"])
    if fixed.get("order") not in ("completion", "input"):
        raise InputError(f"--order is {fixed.get('order')!r}", "it must be completion or input")
    return RunSpec(**values, **fixed, concurrency="auto" if concurrency == "auto" else int(concurrency))


def _here_or_bundled(rows: Path) -> Path:
    """Rows of a bundled server are found by the path that its configuration says, as the configuration is."""
    from gymctl import assets

    bundled = assets.folder("services") / rows
    return bundled if not rows.exists() and bundled.is_file() else rows


def _followed(output: Path) -> Path:
    """Where a symbolic link leads: the results go there, and the files beside them too; the link stays."""
    leads_to_a_file = output.is_file() or not output.exists()
    return Path(os.path.realpath(output)) if output.is_symlink() and leads_to_a_file else output


def _repeats(text: str) -> int | dict[str, int]:
    """``4``, or ``math=4,_default=1``."""
    from gymctl.errors import InputError

    if text.isdecimal():
        return int(text)
    pairs = [part.strip().rpartition("=") for part in text.split(",")]
    wrong = [f"{name}{sign}{number}" for name, sign, number in pairs if not name or not number.isdecimal()]
    if wrong:
        raise InputError(f"the repeats hold {wrong[0]!r}", "give a number, or agents and numbers: math=4,_default=1")
    return {name: int(number) for name, _, number in pairs}


def _from_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    from gymctl.config.overrides import override_document, parse_override
    from gymctl.errors import InputError

    given: dict[str, Any] = {}
    for argument in overrides:
        if argument.startswith("~"):
            raise InputError(
                f"{argument!r}: an option of collect is left out, not deleted", "see gymctl collect --help"
            )
        override = parse_override(argument)
        key = override.path[0]
        if key in ("config_paths", HEAD_NAME):
            continue  # which stack: that of this directory
        if key not in _UPSTREAM or (len(override.path) > 1 and dict not in _UPSTREAM[key][1]):
            raise InputError(
                f"{argument!r}: collect has no option {'.'.join(override.path)!r}", "see gymctl collect --help"
            )
        _merge(given, override_document(override).data)
    values: dict[str, Any] = {}
    for key, value in given.items():
        name, types, wanted = _UPSTREAM[key]
        if value is None:
            continue
        if type(value) not in types:  # not isinstance: true is no number
            raise InputError(f"+{key} is {value!r}", f"it must be {wanted}")
        values[name] = value
    return values


def _merge(old: dict[Any, Any], new: Mapping[Any, Any]) -> None:
    """Lay ``new`` over ``old``: mappings key by key, all else as a whole."""
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(old.get(key), dict):
            _merge(old[key], value)
        else:
            old[key] = value
