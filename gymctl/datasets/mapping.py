"""The mapping file: how rows of other sources become rows of NeMo Gym.

shape: messages            # or native, prompt, responses; by default each row shows it
columns: {gold: expected_answer}
answer: expected_answer    # column for a last message of the assistant
prompt: {system: "...", user: "Question: {question}"}
params: {temperature: 1.0} # added to responses_create_params where the row does not set them
drop: [id]
datasets: {my_dataset: {columns: {answer: gold}}}   # the same keys for one data set
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from gymctl.config.sources.yaml_documents import Document, read_document
from gymctl.config.wording import did_you_mean
from gymctl.datasets.prompts import PromptTemplate, RowError, prompt_template
from gymctl.errors import ConfigError, Problem


class RowMapping(BaseModel):
    """How the rows of one data set are changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    shape: Literal["native", "messages", "prompt", "responses"] | None = None
    """Shape of every row; by default each row's columns show it."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Old name of a column to its new name."""
    answer: str | None = None
    """Column that takes a last message of the assistant."""
    prompt: PromptTemplate | None = None
    """Template that makes the input of a row's columns."""
    params: dict[str, Any] = Field(default_factory=dict)
    """Request parameters for rows that do not set them."""
    drop: list[str] = Field(default_factory=list)
    """Columns that are left out."""

    @field_validator("prompt", mode="before")
    @classmethod
    def _template(cls, value: Any) -> PromptTemplate | None:
        try:
            if value is None:
                return value
            return prompt_template(value, "")
        except ConfigError as error:
            raise ValueError(error.problems[0].message) from error

    @cached_property
    def is_empty(self) -> bool:
        """Whether nothing is changed."""
        return self == RowMapping()

    def rename(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The row with its columns renamed and dropped.

        Raises:
            RowError: a column to rename is missing, or its new name is taken.
        """
        missing = next((name for name in self.columns if name not in row), None)
        if missing is not None:
            hint = did_you_mean(missing, row) or f"the row has {', '.join(row) or 'none'}"
            raise RowError(f"the mapping renames the column {missing!r}, which is missing; {hint}")
        renamed: dict[str, Any] = {}
        for name, value in row.items():
            new_name = self.columns.get(name, name)
            if new_name in renamed:
                raise RowError(f"the mapping creates two columns {new_name!r}; drop one of them")
            if name not in self.drop:
                renamed[new_name] = value
        return renamed


class MappingFile(BaseModel):
    """A mapping for all data sets, and for single ones by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    common: RowMapping = Field(default_factory=RowMapping)
    datasets: dict[str, RowMapping] = Field(default_factory=dict)

    def of(self, dataset: str) -> RowMapping:
        """The mapping for the data set of that name: its own, else the common one."""
        return self.datasets.get(dataset, self.common)


def read_mapping(path: Path, cwd: Path) -> MappingFile:
    """Read a mapping file.

    Raises:
        ConfigError: it is not a mapping file; every problem with its line.
    """
    document = read_document(path, cwd)
    common = {key: value for key, value in document.data.items() if key != "datasets"}
    single = document.data.get("datasets") or {}
    if not isinstance(single, dict):
        raise ConfigError([Problem(_place(document, ("datasets",)), "datasets is not a mapping", "write NAME: {...}")])
    mapping = _mapping(document, (), common)
    datasets = {
        str(name): _mapping(document, ("datasets", name), {**common, **value} if isinstance(value, dict) else value)
        for name, value in single.items()
    }
    return MappingFile(common=mapping, datasets=datasets)


def _mapping(document: Document, path: tuple[str, ...], value: Any) -> RowMapping:
    try:
        return RowMapping.model_validate(value)
    except ValidationError as error:
        problems = []
        for detail in error.errors(include_url=False):
            location = tuple(part for part in detail["loc"] if isinstance(part, str))
            if location:
                hint = did_you_mean(location[-1], RowMapping.model_fields)
            else:
                hint = ""
            name = ".".join(location) or "the mapping"
            problems.append(Problem(_place(document, (*path, *location)), f"{name}: {detail['msg']}", hint))
        raise ConfigError(problems) from error


def _place(document: Document, path: tuple[str, ...]) -> str:
    for cut in range(len(path), 0, -1):
        if path[:cut] in document.marks:
            return str(document.marks[path[:cut]])
    return document.name
