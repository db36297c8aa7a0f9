"""Options of a collection run, and the files it writes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import orjson

from gymctl.config.rows.row_routes import RowRoutes
from gymctl.errors import InputError

_YEAR_S = 366 * 86400.0
_FAILURES = re.compile(r"\d{1,9}|\d{1,2}(\.\d{1,3})?%|100%")
Concurrency = int | Literal["auto"]
Repeats = int | Mapping[str, int]


@dataclass(frozen=True)
class RunSpec:
    """One collection run.

    Args:
        input: JSONL file of rows.
        output: JSONL file of results; its folder must exist.
        agent: agent for the rows that name none.
        limit: read that many input lines only.
        num_repeats: rollouts per row, for all agents or by agent name (``_default`` for those not named).
        concurrency: rollouts in flight at most; ``"auto"`` finds a number itself (``concurrency.Adaptive``).
        resume: continue the run whose results ``output`` has.
        force: resume although the run's identity differs; without ``resume``, overwrite what an earlier run left
            (otherwise that is kept under the next free number: ``rollouts.1.jsonl``).
        retry_failed: on resume, try again what failed for good before.
        order: ``"completion"`` writes results as they finish; ``"input"`` puts them in the input's order at the end.
        deadline_s: seconds one rollout may take, retries on the spot included.
        stall_s: end the run when nothing but failing probes was seen for so long; None is 600 or the deadline, if less.
        max_attempts: how often a rollout is tried before its failure is final.
        max_failures: end the run when more rollouts than this have failed for good in it: ``"20"``, or ``"5%"`` of all.
        grace_s: seconds that rollouts in flight get after a stop.
        params_override: laid over each row's ``responses_create_params``, key by key.
        manifest: what the run's record keeps of how it was started: ``command``, ``configuration`` (masked),
            ``versions`` and ``images`` (by service).
        metrics: ``HOST:PORT`` on which ``/metrics`` is answered; empty: nowhere, and nothing is counted.
        trace_ratio: the share of successful rollouts whose traces are kept, next to all that failed or were slow (0 to
            1); None: rollouts are not traced.
        trace_slow_s: seconds from which on a rollout is slow.
        metrics_token: token that ``/metrics`` requires; empty: none.
        identity: what else must be the same to resume: e.g. ``{"config": digest, "servers": {...}}``.
        agents: names of the agents of the stack; empty when they are not known.
        agent_map: agent by the name in a row (``agent_ref`` or ``task_source``); ``_default`` for all other rows.
        fan_out: all agents that get a row, by the name in it.
        environment_server_routes: environment server by the taskset of a task.
        routes: where the stack's configuration leads rows to; the three before win over it.
        pass_threshold: reward from which on a rollout counts as passed, in the report.
        timing: keep per-hop times in each result as ``_gymctl_timing``.
    """

    input: Path
    output: Path
    agent: str | None = None
    limit: int | None = None
    num_repeats: Repeats = 1
    concurrency: Concurrency = "auto"
    resume: bool = False
    force: bool = False
    retry_failed: bool = False
    order: Literal["completion", "input"] = "completion"
    deadline_s: float = 1800.0
    stall_s: float | None = None
    max_attempts: int = 3
    max_failures: str | None = None
    grace_s: float = 10.0
    params_override: Mapping[str, Any] = field(default_factory=dict)
    identity: Mapping[str, Any] = field(default_factory=dict)
    metrics: str = ""
    trace_ratio: float | None = None
    trace_slow_s: float = 300.0
    metrics_token: str = field(default="", repr=False)
    manifest: Mapping[str, Any] = field(default_factory=dict)
    agents: tuple[str, ...] = ()
    agent_map: Mapping[str, str] = field(default_factory=dict)
    fan_out: Mapping[str, Sequence[str]] = field(default_factory=dict)
    environment_server_routes: Mapping[str, str] = field(default_factory=dict)
    routes: RowRoutes = field(default_factory=RowRoutes)
    timing: bool = True
    pass_threshold: float = 1.0

    def __post_init__(self) -> None:
        self._check_counts()
        self._check_times()
        for name, values in (("num_repeats", self.num_repeats), ("responses_create_params", self.params_override)):
            _check_json(name, values)
        if self.max_failures is not None and not _FAILURES.fullmatch(self.max_failures):
            raise InputError(f"--max-failures is {self.max_failures!r}", "it must be a number, or a percentage: 5%")
        if self.retry_failed and not self.resume:
            raise InputError("--retry-failed needs --resume", "add --resume")

    def _check_counts(self) -> None:
        repeats = self.num_repeats.values() if isinstance(self.num_repeats, Mapping) else [self.num_repeats]
        for name, value in (
            ("limit", self.limit),
            ("max attempts", self.max_attempts),
            *(("num_repeats", n) for n in repeats),
        ):
            if value is not None and (type(value) is not int or value < 1):
                raise InputError(f"{name} is {value!r}", "it must be a whole number, 1 or more")
        if self.trace_ratio is not None and not 0 <= self.trace_ratio <= 1:
            raise InputError(f"the trace ratio is {self.trace_ratio}", "it must be between 0 and 1")
        if self.concurrency != "auto" and self.concurrency < 1:
            raise InputError(f"concurrency is {self.concurrency}", "it must be 1 or more, or auto")

    def _check_times(self) -> None:
        for name, seconds in (("the deadline", self.deadline_s), ("stall", self.stall_s)):
            if seconds is not None and not 0 < seconds <= _YEAR_S:
                raise InputError(f"{name} is {seconds} s", "it must be above 0 and at most one year")

    @property
    def stall_after_s(self) -> float:
        """Seconds of nothing but failures after which the run gives up."""
        if self.stall_s is None:
            return min(600.0, self.deadline_s)
        return self.stall_s

    def most_failures(self, total: int) -> int | None:
        """How many of ``total`` rollouts may fail for good; None when that is not limited."""
        if self.max_failures is None:
            return None
        number, percent, _ = self.max_failures.partition("%")
        if percent:
            return int(total * float(number) / 100)
        return int(float(number))

    @property
    def files(self) -> RunFiles:
        """The files of this run."""
        return RunFiles(self.output)

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready data, for a job in a container."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        paths = {"input": str(self.input), "output": str(self.output)}
        return {**values, **paths, "agents": list(self.agents), "routes": asdict(self.routes)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunSpec:
        """The reverse of ``to_dict``."""
        unknown = values.keys() - {item.name for item in fields(cls)}
        if unknown:
            raise InputError(f"a run has no option {sorted(unknown)[0]!r}")
        agents = tuple(values.get("agents", ()))
        paths = {"input": Path(values["input"]), "output": Path(values["output"])}
        routes = RowRoutes(**values.get("routes", {}))
        return cls(**{**values, **paths, "agents": agents, "routes": routes})


def _check_json(name: str, values: Any) -> None:
    try:
        orjson.dumps(values)
    except TypeError as error:  # a number as a key, for one
        raise InputError(f"{name} is {values!r}, which cannot be encoded: {error}", "it must be JSON") from error


@dataclass(frozen=True)
class RunFiles:
    """The files next to an output file; the names are upstream's (0.3 and later), except for the run's identity."""

    output: Path

    def _beside(self, suffix: str) -> Path:
        return self.output.with_name(self.output.stem + suffix)

    @property
    def materialized(self) -> Path:
        """The rows as they are sent: routed, overridden, repeated."""
        return self._beside("_materialized_inputs.jsonl")

    @property
    def failures(self) -> Path:
        """One row per failed attempt."""
        return self._beside("_failures.jsonl")

    @property
    def metrics(self) -> Path:
        """Aggregate metrics by agent."""
        return self._beside("_aggregate_metrics.json")

    @property
    def identity(self) -> Path:
        """What this run was started with."""
        return self._beside("_run.json")

    def all(self) -> tuple[Path, ...]:
        """Every file of the family, the output first."""
        return (*self.replaceable(), self.identity)

    def replaceable(self) -> tuple[Path, ...]:
        """Those that are removed, renamed and replaced: all but the identity, which carries the lock."""
        return (self.output, self.materialized, self.failures, self.metrics)
