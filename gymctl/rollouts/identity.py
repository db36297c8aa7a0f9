"""What a run was started with, stored next to its output, so that only the same run is resumed."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

import gymctl
from gymctl.config.upstream import TASKSET_ROUTES
from gymctl.errors import InputError
from gymctl.rollouts.run_lock import read_record
from gymctl.rollouts.spec import RunSpec
from gymctl.rollouts.tasks import Inputs

_ABSENT = "nothing"


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
    """The identity of a run that starts, to be written beside its output."""
    return {
        "gymctl": gymctl.__version__,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "input_path": str(run.input),
        "output": run.output.name,
        "inputs": asdict(inputs),
        "materialized_bytes": run.files.materialized.stat().st_size,
        "identity": describe(run, inputs.digest),
    }


def refuse_another_output(run: RunSpec) -> None:
    """Check that the files beside the output are not those of one that differs in its suffix (``a.json``, ``a.jsonl``).

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
    """The inputs of the record, when the materialised file is still the one it speaks of."""
    try:
        inputs = Inputs(**record["inputs"])
        same = materialized.stat().st_size == record["materialized_bytes"]
    except (OSError, KeyError, TypeError):
        return None
    if same:
        return inputs
    return None


def differences(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """What differs, one phrase each: ``options.limit was 10, is 20``."""
    for name in sorted(old.keys() | new.keys()):
        was = old.get(name, _ABSENT)
        now = new.get(name, _ABSENT)
        if isinstance(was, Mapping) and isinstance(now, Mapping):
            yield from differences(was, now, f"{path}{name}.")
        elif was != now and path == "code.":
            yield f"the code of {name} has changed"
        elif was != now:
            yield f"{path}{name} was {_short(was)}, is {_short(now)}"


def _short(value: Any) -> str:
    if isinstance(value, str):
        text = value
    else:
        text = orjson.dumps(value, default=str).decode()
    if len(text) <= 60:
        return text
    return f"{text[:16]}..."


def changes(record: Mapping[str, Any], run: RunSpec, digest: str) -> list[str]:
    """What differs between the run of a record and this one."""
    old = record["identity"]
    # Through JSON and back, so that tuples and lists compare as what they were written as.
    new = orjson.loads(orjson.dumps(describe(run, digest)))
    if "code" not in old:  # of a release that did not keep it
        new.pop("code", None)
    return list(differences(old, new))


def refuse_another_run(record: Mapping[str, Any], run: RunSpec, digest: str) -> None:
    """Check that the run to resume is this one.

    Raises:
        InputError: it is not; every difference is named.
    """
    differences = changes(record, run, digest)
    if differences:
        raise InputError(
            f"{run.output} belongs to another run: {'; '.join(differences)}",
            "use what it was started with, choose another output, or resume anyway with --force",
        )
