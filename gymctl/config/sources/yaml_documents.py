"""One YAML file as plain data, with the file and line of every key.

The scalar rules are OmegaConf's own (YAML 1.1, but ``1e3`` is a float and dates stay text), so that a value means the
same here as it does to NeMo Gym, which loads its files with ``OmegaConf.load``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gymctl.config.diagnostics import KeyPath, Location, display_path
from gymctl.errors import ConfigError, Problem

_BaseLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_DIGITS = "[0-9]+(?:_[0-9]+)*"
_FLOAT = re.compile(  # in addition to YAML 1.1's rule: an exponent needs no sign, and no point before it
    rf"^(?:[-+]?{_DIGITS}(?:\.[0-9_]*)?[eE][-+]?[0-9]+|[-+]?{_DIGITS}\.[0-9_]*|\.{_DIGITS}(?:[eE][-+][0-9]+)?)$"
)
_DEEPEST = 100
_MOST = 100_000  # aliases of aliases multiply
_TEXT, _MERGE, _NULL = (f"tag:yaml.org,2002:{tag}" for tag in ("str", "merge", "null"))


class _Loader(_BaseLoader):  # type: ignore[misc]
    """libyaml's safe loader with OmegaConf's scalar rules."""


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in rules if tag != "tag:yaml.org,2002:timestamp"]
    for letter, rules in _BaseLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


@dataclass
class Document:
    """One layer of configuration: its data, and where each key path of it was written."""

    name: str
    data: dict[str, Any]
    marks: dict[KeyPath, Location] = field(default_factory=dict)


def read_document(path: Path, cwd: Path) -> Document:
    """Read one YAML file.

    Raises:
        ConfigError: the file cannot be read, is not YAML, has a duplicate key, or is not a mapping.
    """
    name = display_path(path, cwd)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError):
            reason = error.strerror
        else:
            reason = "it is not UTF-8 text"
        raise ConfigError([Problem(name, f"cannot be read: {reason}")]) from error
    return parse_document(text, name)


def parse_document(text: str, name: str) -> Document:
    """Parse YAML text; ``name`` is the file's name in messages.

    Raises:
        ConfigError: as ``read_document``.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        document = Document(name, {})
        if node is None or node.tag == _NULL:  # `---` begins a document with nothing in it
            return document
        if not isinstance(node, yaml.MappingNode):
            where = f"{name}:{node.start_mark.line + 1}"
            raise ConfigError(
                [Problem(where, f"contains a {node.id}", "a configuration is a mapping of names to values")]
            )
        _Marker(loader, document).mark(node, ())
        document.data = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        raise ConfigError([_syntax_problem(error, name, text)]) from error
    except yaml.YAMLError as error:
        raise ConfigError([Problem(name, f"is not YAML: {str(error).splitlines()[0]}")]) from error
    finally:
        loader.dispose()
    return document


def _syntax_problem(error: yaml.MarkedYAMLError, name: str, text: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    if mark:
        where = f"{name}:{mark.line + 1}"
    else:
        where = name
    problem = error.problem or error.context or "it cannot be parsed"
    if mark:
        line = text.splitlines()[mark.line : mark.line + 1]
    else:
        line = []
    tab = bool(line) and "\t" in line[0][: len(line[0]) - len(line[0].lstrip())]
    return Problem(where, f"is not valid YAML: {problem}", "indent with spaces, not tabs" if tab else "")


@dataclass(frozen=True)
class _Marker:
    """Records the place of every key; rejects duplicate keys of a mapping."""

    loader: Any
    document: Document

    def mark(self, node: Any, path: KeyPath) -> None:
        """Record everything below ``node``."""
        if len(path) > _DEEPEST:
            raise self._refusal(
                node, f"is nested more than {_DEEPEST} levels deep", "check for an anchor that contains itself"
            )
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._place(item, (*path, index), item.start_mark)
        elif isinstance(node, yaml.MappingNode):
            self._mapping(node, path)

    def _mapping(self, node: Any, path: KeyPath) -> None:
        seen: dict[Any, int] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._refusal(key, "a key is a mapping or list", "quote text that starts with { or [")
            if key.tag == _MERGE:
                continue
            if key.tag == _TEXT:
                name = key.value
            else:
                name = self.loader.construct_object(key)
            if name is None:
                raise self._refusal(key, "a key is null", "quote it")
            if name in seen:
                problem = f"duplicate key {name!r} (first on line {seen[name]})"
                raise self._refusal(key, problem, "remove or rename one")
            seen[name] = key.start_mark.line + 1
            self._place(value, (*path, name), key.start_mark)

    def _place(self, node: Any, path: KeyPath, mark: Any) -> None:
        if len(self.document.marks) >= _MOST:
            raise self._refusal(
                node, f"expands to more than {_MOST:,} values", "check for anchors that contain each other"
            )
        self.document.marks[path] = Location(self.document.name, mark.line + 1, mark.column + 1)
        self.mark(node, path)

    def _refusal(self, node: Any, problem: str, hint: str) -> ConfigError:
        return ConfigError([Problem(f"{self.document.name}:{node.start_mark.line + 1}", problem, hint)])
