"""Files of a preparation: their names, the record of what was prepared, and when metrics may change."""

from __future__ import annotations

import json
from collections.abc import Container, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

from gymctl.datasets.declarations import Declaration
from gymctl.datasets.metrics_differences import differences
from gymctl.datasets.prepare_report import PreparedDataset, PrepareOptions
from gymctl.errors import InputError

_MOST_DIFFERENCES = 5


@dataclass(frozen=True)
class MetricsFile:
    """A metrics file that is about to be written."""

    path: Path
    content: dict[str, Any]
    dataset: str
    """Key of the data set that it is about, or the type when it is about all data sets of a type."""


def sidecar_path(folder: Path, declaration: Declaration, suffix: str, taken: Container[Path]) -> Path:
    """A name that is free for a file about one data set, next to its path below ``folder``.

    ``STEM_prepare.jsonl`` for the suffix ``_prepare.jsonl``, then with the server, then also with the data set, then
    numbered, as in NeMo Gym 0.6.
    """
    path = folder / declaration.path
    kind, _, extension = suffix.partition(".")
    server = declaration.server
    name = declaration.entry.name
    parts = chain(("", f".{server}", f".{server}.{name}"), (f".{server}.{name}.{number}" for number in count(2)))
    candidates = (path.with_name(f"{path.stem}{kind}{part}.{extension}") for part in parts)
    return next(candidate for candidate in candidates if candidate not in taken)


def record_content(datasets: Sequence[PreparedDataset], options: PrepareOptions) -> dict[str, Any]:
    """What was prepared and how, for the next preparation to compare with."""
    return {
        "mode": options.mode.value,
        "form": options.release.value if options.release else "all",
        "datasets": {
            item.declaration.key: {
                "type": item.declaration.entry.type.value,
                "path": item.declaration.path,
                "rows": item.rows,
                "written": item.written,
                "invalid": item.invalid,
                "digest": item.digest,
                "settings": {
                    "invalid_rows": options.invalid.value,
                    "mapping": options.mapping.of(item.declaration.entry.name).model_dump(mode="json"),
                    "prompt": item.declaration.prompt and vars(item.declaration.prompt),
                    "entry": item.declaration.entry.model_dump(mode="json"),
                },
            }
            for item in datasets
        },
    }


def read_record(path: Path) -> dict[str, Any]:
    """The record of an earlier preparation; empty when there is none that can be read."""
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    if isinstance(record, dict) and isinstance(record.get("datasets"), dict):
        return record
    return {}


def check_changes(files: Sequence[MetricsFile], before: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse metrics that differ from those of an earlier preparation, unless the data or its settings changed too.

    Raises:
        InputError: they differ; what differs, by file.
    """
    problems: list[str] = []
    for file in files:
        old = _content(file.path)
        if old is None or _may_change(file, before, now):
            continue
        changes = list(differences(old, json.loads(json.dumps(file.content))))
        listed = "; ".join(changes[:_MOST_DIFFERENCES])
        if len(changes) > _MOST_DIFFERENCES:
            listed += f"; and {len(changes) - _MOST_DIFFERENCES} more"
        if changes:
            problems.append(f"{file.path}: the metrics differ from the existing ones: {listed}")
    if problems:
        raise InputError("\n".join([*problems, "nothing was written; accept the new metrics with --update-metrics"]))


def _content(path: Path) -> Any:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}", "delete it") from error


def _may_change(file: MetricsFile, before: dict[str, Any], now: dict[str, Any]) -> bool:
    """Whether the record shows that the data, its settings or the form changed since the file was written."""
    if not before:
        return False
    if (before.get("mode"), before.get("form")) != (now["mode"], now["form"]):
        return True
    return _part(file, before) != _part(file, now)


def _part(file: MetricsFile, record: dict[str, Any]) -> dict[str, Any]:
    """What a record has of the data sets that a file is about."""
    return {name: value for name, value in record["datasets"].items() if file.dataset in (name, value.get("type"))}
