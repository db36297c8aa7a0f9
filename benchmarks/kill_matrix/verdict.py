"""Whether a repetition kept every promise: the files compared with requests, output and the agent's records.

The agent writes down every attempt it begins, and how it ends: with a result, with a failure that it reports to the
collector, or not at all. Work is *done again* when an attempt neither failed nor became the rollout's one result. A
rollout is *in flight* from when the collector takes it up until its result or failure is in the file: as many as its
concurrency, of which there may be some at the agent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from benchmarks.kill_matrix.collecting import CollectorOutput
from benchmarks.kill_matrix.scene import BOXES_EACH_RUN, CONCURRENCY, REPEATS, Scene
from gymctl.config.rows.row_fields import FAILURE_TERMINAL, ROLLOUT_INDEX, TASK_INDEX

Key = tuple[int, int]
WANTED = {(task, repeat) for task in range(BOXES_EACH_RUN) for repeat in range(REPEATS)}


@dataclass
class Outcome:
    """One repetition. ``again``: attempts whose work was lost and done again; ``bound``: the most that may be."""

    kind: str
    seed: int
    seconds: float = 0.0
    sessions: int = 0
    results: int = 0
    terminal: int = 0
    again: int = 0
    bound: int = 0
    saved_in: str = ""
    strikes: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)


class Witness:
    """Looks at the output after every session."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._before: set[bytes] = set()
        self.violations: list[str] = []
        self._seen_before = Seen()

    def after_session(self, code: int | None, output: CollectorOutput) -> None:
        """Nothing written before is gone; all that was called finished is there; no more was cut off than ran."""
        if code is None:
            self.violations.append("the collector hangs")
        lines = whole_lines(self._scene.output)
        lost = self._before - set(lines)
        if lost:
            self.violations.append(f"{len(lost)} results of earlier sessions are gone")
        if output.finished > len(lines):
            self.violations.append(f"{output.finished} results were reported as done, {len(lines)} are there")
        if output.crash and not _is_disk_error(output.crash):
            self.violations.append(f"the collector ended with: {output.crash}")
        self._before = set(lines)
        self._look_at_what_was_cut_off(lines)

    def _look_at_what_was_cut_off(self, lines: list[bytes]) -> None:
        """What the session began and left without a result or failure was in flight when it ended."""
        seen = Seen.at(self._scene.fleet.log, self._scene.run)
        recorded = {key_of(orjson.loads(line)) for line in (*lines, *whole_lines(self._scene.spec.files.failures))}
        open_ones = seen.begun - seen.failed - (self._seen_before.begun - self._seen_before.failed)
        cut_off = len(set(open_ones) - recorded)
        if cut_off > CONCURRENCY:
            self.violations.append(f"{cut_off} rollouts were cut off, {CONCURRENCY} may be in flight")
        self._seen_before = seen

    def at_end(self, outcome: Outcome, output: CollectorOutput) -> None:
        """Every rollout once, with the reward it earned; work done again within bounds; the report agrees."""
        rows = [orjson.loads(line) for line in whole_lines(self._scene.output)]
        failures = [orjson.loads(line) for line in whole_lines(self._scene.spec.files.failures)]
        results = Counter(key_of(row) for row in rows)
        terminal = {key_of(row) for row in failures if row[FAILURE_TERMINAL]}
        self._say(len([key for key, count in results.items() if count > 1]), "rollouts have more than one result")
        self._say(len(WANTED - set(results) - terminal), "rollouts have neither a result nor a final failure")
        self._say(len(terminal & set(results)), "rollouts have a result and a final failure")
        self._say(len((set(results) | terminal) - WANTED), "rollouts were never asked for")
        self._say(sum(row["reward"] != earned(row) for row in rows), "rewards are made up")
        self._say(sum(row["number"] != row[TASK_INDEX] for row in rows), "results belong to another rollout")
        seen = Seen.at(self._scene.fleet.log, self._scene.run)
        self._say(len(results - seen.ended), "results are of no attempt that ended well")
        outcome.again = (seen.begun - seen.failed - Counter(set(results))).total()
        if output.report and (output.report.done, output.report.failed) != (len(results), len(terminal)):
            self.violations.append("the report disagrees with the files")
        if outcome.bound < outcome.again:
            self.violations.append(f"{outcome.again} attempts were done again, {outcome.bound} were in flight")
        outcome.results = len(results)
        outcome.terminal = len(terminal)

    def _say(self, count: int, problem: str) -> None:
        if count:
            self.violations.append(f"{count} {problem}")


def _is_disk_error(message: str) -> bool:
    return "is full" in message or message.startswith("cannot write")


@dataclass
class Seen:
    """The agent's view of a run so far: attempts by rollout that started, succeeded, failed."""

    begun: Counter[Key] = field(default_factory=Counter)
    ended: Counter[Key] = field(default_factory=Counter)
    failed: Counter[Key] = field(default_factory=Counter)

    @classmethod
    def at(cls, log: Path, run: str) -> Seen:
        """Read the agent's log."""
        seen = cls()
        counts = {b"b": seen.begun, b"e": seen.ended, b"f": seen.failed}
        for line in whole_lines(log):
            event, _, of_run, task, repeat = line.split(b" ")
            if of_run == run.encode():
                counts[event][int(task), int(repeat)] += 1
        return seen


def whole_lines(path: Path) -> list[bytes]:
    """The lines of a file, without what follows the last newline."""
    if path.exists():
        return path.read_bytes().split(b"\n")[:-1]
    return []


def key_of(row: dict[str, Any]) -> Key:
    """Task and repeat."""
    return row[TASK_INDEX], row[ROLLOUT_INDEX]


def earned(row: dict[str, Any]) -> float:
    """The reward of a rollout that nothing happened to (servers/boxes)."""
    return float((1 + row["number"] % 4) / 4)


def table(outcomes: Iterable[Outcome], kinds: Iterable[str]) -> str:
    """One line per kind: repetitions, blows, sessions, what came of it, violations."""
    outcomes = list(outcomes)
    lines = [
        f"{'kind':<24} {'times':>5} {'blows':>5} {'sessions':>8} {'results':>8} {'final failures':>14} "
        f"{'missing':>7} {'done again':>10} {'of at most':>10} {'violations':>10}"
    ]
    for kind in kinds:
        own = [outcome for outcome in outcomes if outcome.kind == kind]
        results = sum(one.results for one in own)
        terminal = sum(one.terminal for one in own)
        lines.append(
            f"{kind:<24} {len(own):>5} {sum(len(one.strikes) for one in own):>5} "
            f"{sum(one.sessions for one in own):>8} {results:>8} {terminal:>14} "
            f"{len(own) * len(WANTED) - results - terminal:>7} {sum(one.again for one in own):>10} "
            f"{sum(one.bound for one in own):>10} {sum(len(one.violations) for one in own):>10}"
        )
    return "\n".join(lines)
