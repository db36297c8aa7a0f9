"""Split, mix and sample rows: seeded, and stable, since a row's place follows from its own digest.

Adding or removing rows does not move the others, and rows of one task stay together. Sixteen bytes are held for each
row; chosen rows that change their order pass through a temporary file.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import tempfile
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gymctl.datasets.exports.rollout_index import read_index
from gymctl.datasets.exports.selection import pass_rates
from gymctl.datasets.json_values import agent_name
from gymctl.datasets.output_set import OutputSet
from gymctl.datasets.prompts import PARAMS, RowError
from gymctl.datasets.rows import RowProblems, read_parsed
from gymctl.errors import InputError

_SCALE = 1 << 64
_SPREAD = 0x9E3779B97F4A7C15
"""Gives each copy of a row another place in the order."""
_HINT = "nothing was written; correct the rows"


def rank_of(row: Mapping[str, Any], seed: int, column: str | None = None) -> int:
    """A number from 0 to 2**64 - 1 that only the task of a row and the seed decide.

    Args:
        row: the row.
        seed: another seed gives other numbers.
        column: a column that identifies the task; by default the parameters, or the whole row without any.

    Raises:
        RowError: the row does not have the column.
    """
    if column is not None and column not in row:
        raise RowError(f"the row has no column {column!r}; it has {', '.join(row)}")
    if column is not None:
        task = row[column]
    else:
        task = row.get(PARAMS, row)
    text = json.dumps(task, sort_keys=True, separators=(",", ":"))
    digest = hashlib.blake2b(text.encode(), digest_size=8, salt=seed.to_bytes(8, "little", signed=True))
    return int.from_bytes(digest.digest(), "big")


def _parsed(path: Path) -> Iterator[tuple[int, bytes, dict[str, Any]]]:
    """Line, text and object of every row.

    Raises:
        InputError: rows are not JSON objects; the first of them by line.
    """
    problems = RowProblems()
    for line, text, row in read_parsed(path, problems):
        if not problems.count:
            yield line, text, row
    problems.raise_if_any(_HINT)


def split(
    path: Path, shares: Mapping[str, float], folder: Path, *, seed: int, column: str | None = None
) -> dict[str, int]:
    """Write each row to one of several files; returns the rows of each.

    Args:
        path: the rows.
        shares: name of a file without its extension to its share; the shares add up to 1.
        folder: where the files go.
        seed: as for ``rank_of``.
        column: as for ``rank_of``; rows with the same value go to the same file.

    Raises:
        InputError: the shares do not add up, or a row cannot be used; nothing was written.
    """
    if abs(sum(shares.values()) - 1) > 1e-9 or min(shares.values()) <= 0:
        raise InputError(f"the shares add up to {sum(shares.values()):g}", "they must be positive and add up to 1")
    counts = dict.fromkeys(shares, 0)
    with OutputSet([path]) as outputs:
        writers = {name: outputs.create(folder / f"{name}.jsonl") for name in shares}
        for line, text, row in _parsed(path):
            try:
                name = _name_at(rank_of(row, seed, column) / _SCALE, shares)
            except RowError as error:
                raise InputError(f"{path}:{line}: {error}", _HINT) from error
            writers[name].write(text + b"\n")
            counts[name] += 1
    return counts


def _name_at(position: float, shares: Mapping[str, float]) -> str:
    edge = 0.0
    for name, share in shares.items():
        edge += share
        if position < edge:
            return name
    return list(shares)[-1]


@dataclass
class _Group:
    """Rows of one environment: their ranks, and where their texts are in the spool."""

    ranks: array[int] = field(default_factory=lambda: array("Q"))
    offsets: array[int] = field(default_factory=lambda: array("Q"))

    def best(self, count: int) -> list[tuple[int, int]]:
        """Rank and offset of as many rows, those with the smallest ranks; repeated when there are fewer."""
        whole, rest = divmod(count, len(self.ranks))
        repeated = [
            (rank ^ (copy * _SPREAD) % _SCALE, offset)
            for copy in range(whole)
            for rank, offset in zip(self.ranks, self.offsets, strict=True)
        ]
        last = heapq.nsmallest(rest, zip(self.ranks, self.offsets, strict=True))
        return repeated + [(rank ^ (whole * _SPREAD) % _SCALE, offset) for rank, offset in last]


def mix(
    paths: Sequence[Path], weights: Mapping[str, float], output: Path, *, rows: int | None, seed: int, repeat: bool
) -> dict[str, int]:
    """Write a mixture of environments in a seeded order; returns the rows of each.

    A row's environment is its agent (``agent_ref`` or ``task_source``), else its file.

    Args:
        paths: files of rows.
        weights: environment to weight; those that are not named have 1.
        output: the file that is written.
        rows: how many rows; by default as many as the weights allow.
        seed: as for ``rank_of``.
        repeat: whether rows are repeated when an environment has too few.

    Raises:
        InputError: a weight names no environment, or one has too few rows; nothing was written.
    """
    with tempfile.TemporaryFile() as spool:
        groups: dict[str, _Group] = {}
        for path in paths:
            for _, text, row in _parsed(path):
                group = groups.setdefault(_environment(row, path), _Group())
                group.ranks.append(rank_of(row, seed))
                group.offsets.append(spool.tell())
                spool.write(text + b"\n")
        counts = _counts(groups, weights, rows, repeat=repeat)
        chosen = [pair for name, count in counts.items() if count for pair in groups[name].best(count)]
        chosen.sort()
        with OutputSet(paths) as outputs:
            writer = outputs.create(output)
            for _, offset in chosen:
                spool.seek(offset)
                writer.write(spool.readline())
    return counts


def _environment(row: dict[str, Any], path: Path) -> str:
    return str(agent_name(row) or row.get("task_source") or path)


def _counts(
    groups: Mapping[str, _Group], weights: Mapping[str, float], rows: int | None, *, repeat: bool
) -> dict[str, int]:
    """How many rows each environment gives."""
    available = {name: len(group.ranks) for name, group in groups.items()}
    unknown = [name for name in weights if name not in available]
    if unknown or not available:
        names = ", ".join(available) or "none"
        raise InputError(f"no rows of {', '.join(unknown) or 'any environment'}", f"the rows are of {names}")
    shares = {name: weights.get(name, 1.0) for name in available}
    if not any(shares.values()):
        raise InputError("all weights are 0", "give positive weights")
    counts = _rounded_shares(_most_rows(available, shares) if rows is None else rows, shares)
    _check_available(counts, {name: count for name, count in available.items() if not repeat})
    return counts


def _most_rows(available: Mapping[str, int], shares: Mapping[str, float]) -> int:
    """How many rows there can be when no row is repeated."""
    total = sum(shares.values())
    return int(min(available[name] * total / share for name, share in shares.items() if share))


def _check_available(counts: Mapping[str, int], available: Mapping[str, int]) -> None:
    short = [f"{name} {counts[name]} (it has {count})" for name, count in available.items() if counts[name] > count]
    if short:
        raise InputError(f"too few rows: {', '.join(short)}", "ask for fewer with --rows, or add --repeat")


def _rounded_shares(rows: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Whole numbers in the proportion of the shares that add up to ``rows``: the largest remainders are rounded up."""
    total = sum(shares.values())
    exact = {name: rows * share / total for name, share in shares.items()}
    counts = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: counts[name] - exact[name])
    for name in by_remainder[: rows - sum(counts.values())]:
        counts[name] += 1
    return counts


def sample(path: Path, count: int, output: Path, *, seed: int) -> int:
    """Write ``count`` rows, or all if there are fewer, in their order; returns how many.

    Raises:
        InputError: a row cannot be used; nothing was written.
    """
    ranks = array("Q", (rank_of(row, seed) for _, _, row in _parsed(path)))
    chosen = {index for _, index in heapq.nsmallest(count, ((rank, index) for index, rank in enumerate(ranks)))}
    with OutputSet([path]) as outputs:
        writer = outputs.create(output)
        for index, (_, text, _) in enumerate(_parsed(path)):
            if index in chosen:
                writer.write(text + b"\n")
    return len(chosen)


def curriculum(
    rollouts: Path, output: Path, *, least: float, most: float, threshold: float, count: int | None, seed: int
) -> tuple[int, int]:
    """Write the rows of a finished run whose share of passed rollouts is within limits.

    Args:
        rollouts: the run's results.
        output: the file that is written.
        least: the lowest share.
        most: the highest share.
        threshold: the reward from which a rollout has passed.
        count: how many rows at most; which of them follows from the seed.
        seed: as for ``rank_of``.

    Returns:
        How many rows were written, and how many tasks the run has.

    Raises:
        InputError: the run cannot be read, or no task is within the limits; nothing was written.
    """
    index = read_index(rollouts)
    rates = pass_rates(index, threshold)
    tasks = [task for task, rate in rates.items() if least <= rate <= most]
    rows = dict(index.inputs_of(tasks))
    if count is not None:
        tasks = sorted(heapq.nsmallest(count, tasks, key=lambda task: rank_of(rows[task], seed)))
    if not tasks:
        raise InputError(f"{rollouts}: no task has a pass rate from {least:g} to {most:g}", "widen the limits")
    with OutputSet(index.files) as outputs:
        writer = outputs.create(output)
        for task in tasks:
            writer.write(json.dumps(rows[task]).encode() + b"\n")
    return len(tasks), len(index.expected)
