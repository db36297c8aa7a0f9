"""The run described by the options of ``gymctl collect``, in gymctl's and NeMo Gym's spelling."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from gymctl import assets
from gymctl.config.choices import ResultOrder
from gymctl.config.sources.overrides import override_document, parse_override
from gymctl.config.upstream import TASKSET_ROUTES
from gymctl.config.vocabulary import HEAD_NAME
from gymctl.errors import InputError
from gymctl.rollouts.spec import Concurrency, Repeats, RunSpec

_HELP = "see gymctl collect --help"


class CollectOptions(TypedDict, total=False):
    """What may be chosen about a run; what is left out has the default of ``RunSpec``."""

    agent: str | None
    """Agent for rows without one."""
    limit: int | None
    """Read only the first N rows."""
    num_repeats: Repeats
    """Rollouts per row, for all agents or by agent name (``_default`` for the others)."""
    concurrency: Concurrency
    """Maximum number of rollouts in flight, or ``"auto"``."""
    resume: bool
    """Continue an earlier run: skip rollouts already in the output."""
    force: bool
    """Overwrite existing output; with --resume, continue even if settings changed."""
    retry_failed: bool
    """With ``resume``, retry rollouts that had failed permanently."""
    order: ResultOrder
    """Order of the results."""
    deadline_s: float
    """Time limit of one rollout, in seconds."""
    stall_s: float | None
    """Abort after this many seconds in which every call failed; by default 600, or the deadline if it is shorter."""
    max_attempts: int
    """Maximum attempts per rollout."""
    max_failures: str | None
    """Stop when more rollouts than this fail permanently: ``"20"``, or ``"5%"`` of all."""
    pass_threshold: float
    """Minimum reward of a passed rollout, for the report."""
    trace_ratio: float | None
    """Fraction of successful rollouts whose traces are sent; by default ``telemetry.sample_ratio``."""
    agent_map: Mapping[str, str]
    """Agent for each name in rows (``agent_ref`` or ``task_source``); ``_default`` is for all other rows."""
    fan_out: Mapping[str, Sequence[str]]
    """For each name in rows, the agents that each get the row."""
    environment_server_routes: Mapping[str, str]
    """Environment server for each taskset."""
    params_override: Mapping[str, Any]
    """Values that override each row's ``responses_create_params``, per key."""


@dataclass(frozen=True)
class _UpstreamOption:
    """An option of ng_collect_rollouts: our name for it, the types of its value, and those types in words."""

    name: str
    types: tuple[type, ...]
    description: str


# ng_collect_rollouts' names (rollout_collection.py).
_UPSTREAM = {
    "input_jsonl_fpath": _UpstreamOption("input", (str,), "a path"),
    "output_jsonl_fpath": _UpstreamOption("output", (str,), "a path"),
    "agent_name": _UpstreamOption("agent", (str,), "a name"),
    "limit": _UpstreamOption("limit", (int,), "a number"),
    "num_repeats": _UpstreamOption(
        "num_repeats", (int, dict), "a number, or a mapping from agent to number: {agent: 2}"
    ),
    "num_samples_in_parallel": _UpstreamOption("concurrency", (int,), "a number"),
    "resume_from_cache": _UpstreamOption("resume", (bool,), "true or false"),
    "agent_map": _UpstreamOption(
        "agent_map", (dict,), "a mapping of names in rows to agents, such as {math: my_agent}"
    ),
    "fan_out": _UpstreamOption("fan_out", (dict,), "a mapping of names in rows to lists of agents: {math: [one, two]}"),
    TASKSET_ROUTES: _UpstreamOption(TASKSET_ROUTES, (dict,), "a mapping of tasksets to environment servers"),
    "responses_create_params": _UpstreamOption("params_override", (dict,), "a mapping, such as {temperature: 0.5}"),
}
_NOT_OURS = ("config_paths", HEAD_NAME)  # which stack: the directory's


def run_spec(options: Mapping[str, Any], overrides: Sequence[str] = ()) -> RunSpec:
    """The run that options and upstream's overrides describe; options win, None is an option that was not given.

    Raises:
        InputError: input or output is missing, or a value does not fit.
    """
    given_options = {key: value for key, value in options.items() if value is not None}
    values = {**_from_overrides(overrides), **given_options}
    for key, example in (("input", "rows.jsonl"), ("output", "rollouts.jsonl")):
        if not values.get(key):
            raise InputError(f"no {key} file was given", f"add --{key} {example}")
    values["input"] = _here_or_bundled(Path(values["input"]))
    values["output"] = _link_target(Path(values["output"]))
    values["concurrency"] = _concurrency(values.get("concurrency", "auto"))
    if isinstance(values.get("num_repeats"), str):
        values["num_repeats"] = _repeats(values["num_repeats"])
    return RunSpec(**values)


def _concurrency(value: str | int) -> Any:
    """A number, or ``auto``."""
    text = str(value)
    if text == "auto":
        return "auto"
    if not text.isdecimal():
        raise InputError(f"--concurrency is {text!r}", "it must be a number, or auto")
    return int(text)


def _here_or_bundled(rows: Path) -> Path:
    """Rows of a bundled server, or of an example, are found by the path that its configuration is found by."""
    bundled = assets.example(str(rows)) or assets.folder("services") / rows
    if not rows.exists() and bundled.is_file():
        return bundled
    return rows


def _link_target(output: Path) -> Path:
    """Where a symbolic link leads: the results and the files next to them go there; the link stays."""
    leads_to_a_file = output.is_file() or not output.exists()
    if output.is_symlink() and leads_to_a_file:
        return Path(os.path.realpath(output))
    return output


def _repeats(text: str) -> int | dict[str, int]:
    """``4``, or ``math=4,_default=1``."""
    if text.isdecimal():
        return int(text)
    repeats = {}
    for part in text.split(","):
        name, sign, number = part.strip().rpartition("=")
        if not name or not number.isdecimal():
            hint = "give a number, or agents and numbers: math=4,_default=1"
            raise InputError(f"--num-repeats contains {f'{name}{sign}{number}'!r}", hint)
        repeats[name] = int(number)
    return repeats


def _from_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for argument in overrides:
        if argument.startswith("~"):
            raise InputError(f"{argument!r}: options of collect cannot be deleted; omit it instead", _HELP)
        override = parse_override(argument)
        key = override.path[0]
        if key in _NOT_OURS:
            continue
        if key not in _UPSTREAM or (len(override.path) > 1 and dict not in _UPSTREAM[key].types):
            raise InputError(f"{argument!r}: collect has no option {'.'.join(override.path)!r}", _HELP)
        _merge(merged, override_document(override).data)
    return {_UPSTREAM[key].name: _checked(key, value) for key, value in merged.items() if value is not None}


def _checked(key: str, value: Any) -> Any:
    """The value of one of upstream's options, of a type that it takes."""
    option = _UPSTREAM[key]
    if type(value) not in option.types:  # not isinstance: true is not a number
        raise InputError(f"+{key} is {value!r}", f"it must be {option.description}")
    return value


def _merge(old: dict[Any, Any], new: Mapping[Any, Any]) -> None:
    """Merge ``new`` over ``old``: mappings key by key, everything else as a whole."""
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(old.get(key), dict):
            _merge(old[key], value)
        else:
            old[key] = value
