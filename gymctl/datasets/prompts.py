"""Prompt files: a YAML with ``user`` and optionally ``system``, templates that are filled from a row's columns."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gymctl.config.sources.yaml_documents import read_document
from gymctl.datasets.json_values import as_object
from gymctl.errors import ConfigError, Problem

PARAMS = "responses_create_params"


class RowError(Exception):
    """A row that cannot be used; the message explains why, with a fix."""


@dataclass(frozen=True)
class PromptTemplate:
    """Templates with ``{column}``; ``{{`` and ``}}`` are literal braces."""

    user: str
    system: str | None = None

    def messages(self, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The messages for a row.

        Raises:
            RowError: the row lacks a column that the template names, or the template cannot be filled.
        """
        messages = []
        if self.system is not None:
            messages.append({"role": "system", "content": _filled(self.system, row)})
        messages.append({"role": "user", "content": _filled(self.user, row)})
        return messages

    def apply(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The row with the messages as its input; other parameters are kept.

        Raises:
            RowError: as ``messages``, or the row has an input already.
        """
        params = dict(as_object(row.get(PARAMS)))
        if params.get("input"):
            raise RowError(f"{PARAMS}.input is set, and the data set has a prompt; remove one of them")
        params["input"] = self.messages(row)
        return {**row, PARAMS: params}


def prompt_template(value: Any, place: str) -> PromptTemplate:
    """A template from a mapping with ``user`` and ``system``.

    Raises:
        ConfigError: it has another form, or a template is not well-formed.
    """
    if not isinstance(value, Mapping) or not isinstance(value.get("user"), str):
        raise ConfigError([Problem(place, "the prompt needs a string 'user'", "write user: 'Question: {question}'")])
    unknown = sorted(map(str, value.keys() - {"user", "system"}))
    if unknown:
        raise ConfigError([Problem(place, f"unknown key {unknown[0]!r} in a prompt", "allowed keys: user, system")])
    system = value.get("system")
    if system is not None and not isinstance(system, str):
        raise ConfigError([Problem(place, "system is not text", "quote it")])
    for text in (value["user"], system or ""):
        try:
            list(string.Formatter().parse(text))
        except ValueError as error:
            raise ConfigError([Problem(place, f"the template is malformed: {error}", "write {{ for {")]) from error
    return PromptTemplate(value["user"], system)


def read_prompt(path: Path, cwd: Path) -> PromptTemplate:
    """The template in a YAML file.

    Raises:
        ConfigError: the file is not readable, or not a prompt.
    """
    document = read_document(path, cwd)
    return prompt_template(document.data, document.name)


def find_file(path: Path, roots: tuple[Path, ...], cwd: Path) -> Path | None:
    """The file that a configuration names: absolute, or under the first search root that has it."""
    if path.is_absolute():
        if path.exists():
            return path
        return None
    return next((root / path for root in roots if (root / path).exists()), None)


def _filled(template: str, row: Mapping[str, Any]) -> str:
    try:
        return template.format_map(row)
    except KeyError as error:
        raise RowError(f"the prompt names the column {error}; the row has {', '.join(row) or 'none'}") from error
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise RowError(f"the prompt cannot be filled: {error}") from error
