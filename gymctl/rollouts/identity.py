"""What a run was started with, stored next to its output, so that only the same run is resumed."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

import gymctl
from gymctl.config.upstream import TASKSET_ROUTES
from gymctl.errors import InputError
from gymctl.rollouts.report import Report
from gymctl.rollouts.run_lock import read_record
from gymctl.rollouts.spec import RunSpec
from gymctl.rollouts.tasks import Inputs

_CONFIGURATION = "configuration"
_TOTALS = ("total", "done", "failed", "unfinished", "retries", "wall_s", "interrupted", "stalled", "agents")
_LONGEST = 60  # characters of a value in a message
# What a record keeps of the configurations that a run had before it was resumed with another one.
_KEPT = ("gymctl", "command", "identity", _CONFIGURATION, "versions", "images")


class _Absent:
    """A value that is not there; it differs from every value that is."""


_ABSENT = _Absent()


def describe(run: RunSpec, digest: str) -> dict[str, Any]:
    """What must match for results to belong to one run."""
    options = {
        "agent": run.agent,
        "limit": run.limit,
        "num_repeats": run.num_repeats,
        "responses_create_params": dict(run.params_override),
    }
    routing: dict[str, Any] = {
        "agent_map": dict(run.agent_map),
        "fan_out": dict(run.fan_out),
        TASKSET_ROUTES: dict(run.environment_server_routes),
    }
    options |= {name: value for name, value in routing.items() if value}  # a run of an earlier release has none
    return {"input": digest, "options": options, **run.identity}


def identity_record(run: RunSpec, inputs: Inputs) -> dict[str, Any]:
    """The identity of a run that starts, to be written next to its output."""
    return {
        "gymctl": gymctl.__version__,
        "run": os.urandom(4).hex(),
        "started": _now(),
        "input_path": str(run.input),
        "output": run.output.name,
        "inputs": asdict(inputs),
        "materialized_bytes": run.files.materialized.stat().st_size,
        "identity": describe(run, inputs.digest),
        **run.manifest,
    }


def resumed_record(record: Mapping[str, Any] | None, new: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a run that continues with another configuration or input: it keeps the earlier ones."""
    if record is None:
        return dict(new)
    earlier = {"until": _now(), **{name: record[name] for name in _KEPT if name in record}}
    return {
        **new,
        "run": record.get("run", new["run"]),
        "started": record.get("started", new["started"]),
        "history": [*record.get("history", ()), earlier],
    }


def ended_record(record: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """The record of a run whose session has ended, with what it did so far."""
    totals = report.to_json()
    return {**record, "ended": _now(), "totals": {name: totals[name] for name in _TOTALS}}


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def refuse_another_output(run: RunSpec) -> None:
    """Check that the files next to the output do not belong to one with another suffix (``a.json``, ``a.jsonl``).

    Raises:
        InputError: they are, and that one is still there.
    """
    record = read_record(run.files.identity) or {}
    other = run.output.with_suffix(Path(str(record.get("output", run.output))).suffix)
    if other != run.output and other.exists():
        raise InputError(
            f"{run.output} would share files with {other}, such as {run.files.failures}",
            f"choose another name, or use --force to discard the files of {other}",
        )


def known_inputs(record: Mapping[str, Any], materialized: Path) -> Inputs | None:
    """The inputs of the record, if the materialised file is still the one that it describes."""
    try:
        inputs = Inputs(**record["inputs"])
        same = materialized.stat().st_size == record["materialized_bytes"]
    except (OSError, KeyError, TypeError):
        return None
    if same:
        return inputs
    return None


def differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """What differs, one phrase each: ``options.limit: 10 -> 20``."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in sorted(old.keys() | new.keys()):
            yield from differences(old.get(name, _ABSENT), new.get(name, _ABSENT), f"{path}.{name}".lstrip("."))
    elif isinstance(old, list | tuple) and isinstance(new, list | tuple) and len(old) == len(new):
        for number, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from differences(before, after, f"{path}.{number}")
    elif old != new:
        yield _difference(path, old, new)


def _difference(path: str, old: Any, new: Any) -> str:
    if path == "input":
        return "the rows of the input have changed"
    if path.startswith("code."):
        return f"the code of {path.removeprefix('code.')} has changed"
    return f"{path}: {_short(old)} -> {_short(new)}"


def _short(value: Any) -> str:
    if isinstance(value, _Absent):
        return "not set"
    if isinstance(value, str):
        text = value
    else:
        text = orjson.dumps(value, default=str).decode()
    if len(text) <= _LONGEST:
        return text
    return f"{text[:_LONGEST]}..."


def changes(record: Mapping[str, Any], run: RunSpec, digest: str) -> list[str]:
    """What differs between the run of a record and this one."""
    old = dict(record["identity"])
    # Through JSON and back, so that tuples and lists compare as what they were written as.
    new = _as_json(describe(run, digest))
    if "code" not in old:  # of a release that did not keep it
        new.pop("code", None)
    before = record.get(_CONFIGURATION)
    after = run.manifest.get(_CONFIGURATION)
    lines = []
    if old.get("config") != new.get("config") and before and after:
        lines = list(differences(before, _as_json(after)))
    if lines:
        old.pop("config")
        new.pop("config")
    return [*lines, *differences(old, new)]


def _as_json(value: Any) -> Any:
    return orjson.loads(orjson.dumps(value, default=str))


def refuse_another_run(record: Mapping[str, Any], run: RunSpec, digest: str) -> None:
    """Check that the run to resume is this one.

    Raises:
        InputError: it is not; every difference is named.
    """
    differences = changes(record, run, digest)
    if differences:
        raise InputError(
            f"{run.output} belongs to another run: {'; '.join(differences)}",
            "restore the original input and settings, choose another output, or resume anyway with --force",
        )
