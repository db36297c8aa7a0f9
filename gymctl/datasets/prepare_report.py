"""How data sets are prepared, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gymctl.datasets.declarations import Declaration
from gymctl.datasets.mapping import MappingFile
from gymctl.datasets.options import DatasetType, InvalidRows, Mode, RowRelease
from gymctl.datasets.row_metrics import RowMetrics


@dataclass(frozen=True)
class PrepareOptions:
    """How data sets are prepared."""

    mode: Mode
    output: Path
    release: RowRelease | None = None
    """The release whose files are written to the letter; None writes rows that every release can use."""
    invalid: InvalidRows = InvalidRows.REFUSE
    update_metrics: bool = False
    """Whether metrics may differ from those of an earlier preparation of the same data."""
    mapping: MappingFile = field(default_factory=MappingFile)
    sidecars: Path | None = None
    """Folder below which files are also written next to each data set's path, as NeMo Gym does."""

    @property
    def stamps_agent(self) -> bool:
        """Whether rows get ``agent_ref``."""
        return self.release in (None, RowRelease.V0_4)

    @property
    def stamps_source(self) -> bool:
        """Whether rows get ``task_source``."""
        return self.release is not RowRelease.V0_4


@dataclass(frozen=True)
class PreparedDataset:
    """What came of one data set."""

    declaration: Declaration
    rows: int
    """Rows read, before repeats."""
    written: int
    invalid: int
    digest: str
    metrics: RowMetrics


@dataclass(frozen=True)
class PrepareReport:
    """What was written."""

    files: Mapping[DatasetType, Path]
    datasets: tuple[PreparedDataset, ...]
    invalid: tuple[str, ...]
    """The first rows that are invalid, as ``file:line: reason``."""
    notes: tuple[str, ...]

    def summary(self, kind: DatasetType) -> str:
        """One line about a type: ``16 rows from 2 data sets, 3 invalid rows left out``."""
        parts = [item for item in self.datasets if item.declaration.entry.type == kind]
        text = f"{sum(part.written for part in parts)} rows from {len(parts)} data sets"
        invalid = sum(part.invalid for part in parts)
        if invalid:
            text += f", {invalid} invalid rows"
        return text

    def to_json(self) -> dict[str, Any]:
        """The report as plain data."""
        return {
            "files": {kind.value: str(path) for kind, path in self.files.items()},
            "datasets": [
                {
                    "server": item.declaration.server,
                    "name": item.declaration.entry.name,
                    "type": item.declaration.entry.type.value,
                    "rows": item.rows,
                    "written": item.written,
                    "invalid": item.invalid,
                }
                for item in self.datasets
            ],
            "invalid": list(self.invalid),
            "notes": list(self.notes),
        }
