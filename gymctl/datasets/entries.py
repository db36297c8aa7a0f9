"""One entry of ``datasets:`` in a configuration, with NeMo Gym's keys, and its dump in a metrics file.

Read from nemo-gym 0.4.0, 0.6.0 and 0.7.0 (``config_types.py``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gymctl.datasets.options import DatasetType, RowRelease

LICENSES = (
    "Apache 2.0",
    "MIT",
    "Creative Commons Attribution 4.0 International",
    "Creative Commons Attribution-ShareAlike 4.0 International",
    "CC BY-SA 4.0",
    "CC BY-NC 3.0",
    "NVIDIA Internal Use Only, Do Not Distribute",
    "NVIDIA Evaluation Dataset License Agreement",
    "TBD",
    "GNU General Public License v3.0",
)


class _Entry(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())


class GitlabIdentifier(_Entry):
    """A file of a version in GitLab's model registry."""

    dataset_name: str
    version: str
    artifact_fpath: str


class HuggingFaceIdentifier(_Entry):
    """A file, or a split, of a data set on the Hugging Face Hub."""

    repo_id: str
    artifact_fpath: str | None = None


class _GitlabSource(_Entry):
    type: Literal["gitlab"]
    dataset_name: str
    version: str
    artifact_fpath: str


class _HuggingFaceSource(_Entry):
    type: Literal["huggingface"]
    repo_id: str
    artifact_fpath: str | None = None


class SourceEntry(_Entry):
    """A data set of type train, validation or example."""

    name: str
    type: Literal[DatasetType.TRAIN, DatasetType.VALIDATION, DatasetType.EXAMPLE]
    jsonl_fpath: str
    num_repeats: int = Field(default=1, ge=1)
    source: Annotated[_GitlabSource | _HuggingFaceSource, Field(discriminator="type")] | None = None
    gitlab_identifier: GitlabIdentifier | None = None
    huggingface_identifier: HuggingFaceIdentifier | None = None
    license: str | None = None
    agent: str | None = Field(default=None, exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _one_source(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Fill ``source`` from the older identifiers and these from ``source``, as NeMo Gym does."""
        source = data.get("source")
        older = [name for name in _OLDER_SOURCES if data.get(name) is not None]
        if source is not None and older:
            raise ValueError(f"both source and {older[0]} are set; keep source")
        if isinstance(source, dict) and f"{source.get('type')}_identifier" in _OLDER_SOURCES:
            fields = {key: value for key, value in source.items() if key != "type"}
            return {**data, f"{source['type']}_identifier": fields}
        if len(older) == 1 and isinstance(data[older[0]], dict):
            return {**data, "source": {"type": older[0].removesuffix("_identifier"), **data[older[0]]}}
        return data

    def header(self, release: RowRelease) -> dict[str, Any]:
        """What a metrics file repeats of the entry."""
        return self.model_dump(mode="json")


class BenchmarkEntry(_Entry):
    """A data set of type benchmark: rows of questions and a prompt that is applied to them."""

    name: str
    type: Literal[DatasetType.BENCHMARK]
    jsonl_fpath: Path
    prepare_script: Path
    prompt_config: Path | None = None
    num_repeats: int = Field(default=1, ge=1)
    prepare_dependencies: list[str] = Field(default_factory=list)
    agent: str | None = Field(default=None, exclude=True)

    def header(self, release: RowRelease) -> dict[str, Any]:
        """What a metrics file repeats of the entry."""
        if release is RowRelease.V0_7:
            excluded = set()
        else:
            excluded = {"prepare_dependencies"}
        return self.model_dump(mode="json", exclude=excluded)


_OLDER_SOURCES = ("gitlab_identifier", "huggingface_identifier")
ENTRY_KEYS = frozenset(SourceEntry.model_fields) | frozenset(BenchmarkEntry.model_fields) | {"taskset"}
