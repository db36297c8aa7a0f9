"""The input: read, checked as a whole, routed to agents, repeated, and written as it will be sent."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

from gymctl.config import exact_json
from gymctl.config.rows.row_fields import AGENT_REF, ENVIRONMENT_SERVER, PARAMS, ROLLOUT_INDEX, TASK_INDEX, TASK_INPUT
from gymctl.config.rows.row_files import OnProblem, read_rows
from gymctl.config.wording import nearest
from gymctl.errors import InputError
from gymctl.rollouts.files import replacing
from gymctl.rollouts.routing import Router, RowTarget, is_task, no_such_agent, repeats_of
from gymctl.rollouts.rows import BadRowError, TaskIndices, check_input, params_of, parse_row
from gymctl.rollouts.spec import RunSpec

_SHOWN = 10


@dataclass(frozen=True)
class Inputs:
    """What an input file amounts to: rows read, rollouts wanted, digest of the lines read, rollouts by agent."""

    rows: int
    rollouts: int
    digest: str
    agents: dict[str, int]


@dataclass
class _Problems:
    path: Path
    listed: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, line: int, text: str) -> None:
        """Count a row that cannot be used; the first ones are listed."""
        self.count += 1
        if len(self.listed) < _SHOWN:
            self.listed.append(f"{self.path}:{line}: {text}")

    def raise_if_any(self) -> None:
        """Raise an ``InputError`` that lists the rows, if there are any."""
        if self.count:
            if self.count > _SHOWN:
                more = [f"... and {self.count - len(self.listed)} more rows like these"]
            else:
                more = []
            raise InputError("\n".join(self.listed + more))


def check_paths(run: RunSpec) -> None:
    """Check input and output as files, before anything is read.

    Raises:
        InputError: a file or folder is missing or of the wrong kind.
    """
    if not run.input.exists():
        raise InputError(f"file not found: {run.input}", _near(run.input))
    if run.input.is_dir():
        raise InputError(f"{run.input} is a directory", "specify a JSONL file in it")
    if run.output.is_dir():
        hint = f"specify a file in it, such as {run.output / 'rollouts.jsonl'}"
        raise InputError(f"{run.output} is a directory", hint)
    if not run.output.parent.is_dir():
        raise InputError(f"the output directory {run.output.parent} does not exist", "create it first")
    if not os.access(run.input, os.R_OK):
        raise InputError(f"{run.input} cannot be read", "check its permissions")
    if not os.access(run.output.parent, os.W_OK):
        raise InputError(f"the output directory {run.output.parent} cannot be written", "check its permissions")
    for path in run.files.all():
        if os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode):
            raise InputError(f"{path} is not a regular file, and a run would replace it", "choose another output")
    clash = [path for path in run.files.all() if path.exists() and path.samefile(run.input)]
    if clash:
        raise InputError(f"{run.input} would be overwritten by this run", "choose another output")


def check_agent(run: RunSpec) -> None:
    """Check that the agent for rows that name none is one of the stack's, also when all rows name theirs.

    Raises:
        InputError: it is not.
    """
    if run.agent and run.agents and run.agent not in run.agents:
        raise InputError(no_such_agent(run.agent, run.agents))


def materialise(run: RunSpec, before_replacing: Callable[[], None] = lambda: None) -> Inputs:
    """Check every row and write the rows to send atomically; ``before_replacing`` runs when all rows are valid.

    A rollout's ``_ng_task_index`` is the index of its line's distinct text (lines that are the same share a task)
    unless the row brings one; ``_ng_rollout_index`` counts within the task; repeats stand together (``aabbcc``).

    Raises:
        InputError: problems by file and line, ten of them and the count of the rest; nothing was written.
        RunError: the disk is full; nothing was written.
    """
    check_paths(run)
    expansion = _Expansion(run)
    with replacing(run.files.materialized) as out:
        for line in expansion.lines():
            out.write(line)
        expansion.problems.raise_if_any()
        if not expansion.rows:
            raise InputError(f"{run.input} has no rows", "give one JSON object per line")
        before_replacing()
    return Inputs(expansion.rows, expansion.rollouts, expansion.digest.hexdigest(), dict(expansion.agents))


def input_digest(run: RunSpec) -> str:
    """The digest that ``materialise`` would give, without looking into the rows."""
    check_paths(run)
    digest = hashlib.sha256()
    for _, text in _rows(run, lambda number, problem: None):
        digest.update(text + b"\n")
    return digest.hexdigest()


def _rows(run: RunSpec, on_problem: OnProblem) -> Iterator[tuple[int, bytes]]:
    """The rows of the input with their line numbers, as far as the run's limit."""
    rows = read_rows(run.input, on_problem)
    return takewhile(lambda row: run.limit is None or row[0] <= run.limit, rows)


class _Expansion:
    """One pass over the input. Memory: a 16-byte digest per distinct line and a count per task."""

    def __init__(self, run: RunSpec) -> None:
        self.run = run
        self._router = Router(run)
        self.problems = _Problems(run.input)
        self.digest = hashlib.sha256()
        self.rows = self.rollouts = 0
        self.agents: Counter[str] = Counter()
        self._tasks = TaskIndices()
        self._repeats: Counter[int] = Counter()

    def lines(self) -> Iterator[bytes]:
        """The lines to send; stops yielding, but continues to check, after the first problem."""
        for number, text in _rows(self.run, self.problems.add):
            self.digest.update(text + b"\n")
            self.rows += 1
            try:
                lines = self._expand(number, text)
            except BadRowError as problem:
                self.problems.add(number, str(problem))
                continue
            if not self.problems.count:
                self.rollouts += len(lines)
                yield from lines

    def _expand(self, number: int, text: bytes) -> list[bytes]:
        """The rollouts of a row. What is not changed keeps its bytes, so that no number changes."""
        row = parse_row(text)
        fields = exact_json.split_fields(text)
        params = self._params(row)
        targets = self._router.targets(row)
        check_input(params)
        if self.run.params_override:
            fields[PARAMS] = exact_json.dumps(params)
        task = self._tasks.index_of(number, row, text)
        fields.pop(ROLLOUT_INDEX, None)
        fields.pop(ENVIRONMENT_SERVER, None)
        fields[TASK_INDEX] = b"%d" % task
        return [line for target in targets for line in self._lines(fields, target, task)]

    def _params(self, row: dict[str, Any]) -> dict[str, Any]:
        """The create params of a row with the run's own; those of a task are in its input, and stay as they are."""
        if not is_task(row):
            return {**params_of(row), **self.run.params_override}
        if self.run.params_override:
            raise BadRowError(f"{PARAMS} of a task with task_input cannot be overridden; prepare it with other ones")
        if not isinstance(row[TASK_INPUT], dict):
            raise BadRowError("task_input must be an object with the columns of the task")
        return params_of(row[TASK_INPUT])

    def _lines(self, fields: dict[str, bytes], target: RowTarget, task: int) -> Iterator[bytes]:
        """The rollouts that one agent makes of a row."""
        routed = {**fields, AGENT_REF: exact_json.dumps(dict(target.reference))}
        if target.server != target.agent:
            routed[ENVIRONMENT_SERVER] = exact_json.dumps(target.server)
        head = exact_json.join_fields(routed)[:-1]
        first = self._repeats[task]
        count = repeats_of(target, self.run.num_repeats)
        self._repeats[task] = first + count
        self.agents[target.agent] += count
        return (head + b',"%b":%d}\n' % (ROLLOUT_INDEX.encode(), first + index) for index in range(count))


def _near(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"the directory {folder} does not exist either"
    names = [entry.name for entry in folder.iterdir() if entry.suffix == ".jsonl"]
    match = nearest(path.name, names)
    if match:
        return f"did you mean {folder / match}?"
    return "check the path of --input"
