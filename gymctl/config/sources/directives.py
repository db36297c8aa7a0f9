"""Directives that move or copy a part of the configuration to another place, before interpolations are resolved.

``${swap_key:a.b}`` (0.2), ``${inherit_from:a.b}`` and ``_inherit_from: a.b`` move (the source is gone afterwards);
``${copy:a.b}`` and ``_copy: a.b`` copy; the keys next to a property override the copied ones. ``_delete_key: "k, l"``
drops keys: those written next to it before, the others after. Sources are read as they were before any directive.
An environment server follows an agent that is moved to another name.
Unlike upstream, a source that itself inherits is followed, and directives work in list items too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gymctl.config.diagnostics import Findings, KeyPath, dotted
from gymctl.config.environment_relays import follow_renamed_agents
from gymctl.config.nested import copied, follow
from gymctl.config.sources.merge import merge_plain
from gymctl.config.vocabulary import MISSING
from gymctl.config.wording import did_you_mean

_TEXT = re.compile(r"^\$\{(swap_key|inherit_from|copy):\s*([^{}]+?)\s*\}$")
_MOST_DIRECTIVES = 2_000
_MOST_VALUES = 100_000
_INHERIT = "_inherit_from"
_COPY = "_copy"
_DELETE = "_delete_key"


@dataclass(frozen=True)
class _Directive:
    source: tuple[str, ...]
    moves: bool
    is_property: bool


def apply_directives(merged: Mapping[str, Any], findings: Findings) -> dict[str, Any]:
    """A copy of ``merged`` with every directive carried out; what cannot be done becomes a problem."""
    directed: dict[str, Any] = copied(merged)
    directives = _Pass(directed, copied(merged), findings)
    directives.walk(directed, ())
    follow_renamed_agents(merged, directed, directives.moved)
    return directed


@dataclass
class _Pass:
    whole: dict[str, Any]
    before: dict[str, Any]
    findings: Findings
    moved: dict[str, set[str]] = field(default_factory=dict)
    """The names that each name at the top level was moved to."""
    _active: list[tuple[str, ...]] = field(default_factory=list)
    _directives: int = 0
    """Directives that have been carried out so far: those of copies of copies multiply."""
    _values: int = 0
    """Values that they have taken."""

    def walk(self, node: Any, path: KeyPath) -> None:
        """Carry out the directives below ``node``, inner ones first."""
        for key, value in list(node.items() if isinstance(node, dict) else enumerate(node)):
            if isinstance(node, dict) and key not in node:
                continue  # moved away meanwhile
            here = (*path, key)
            if isinstance(value, dict) and _DELETE in value:
                late = self._delete_early(value, here)
            else:
                late = []
            if isinstance(value, dict | list):
                self.walk(value, here)
            directive = self._directive(value, here)
            if directive is None:
                continue
            node[key] = self._taken(directive, value, here)
            for name in late:
                self._delete_late(node[key], name, here)

    def _delete_early(self, value: dict[str, Any], path: KeyPath) -> list[str]:
        names = [name.strip() for name in str(value.pop(_DELETE)).split(",")]
        return [name for name in names if value.pop(name, self) is self]

    def _delete_late(self, value: Any, name: str, path: KeyPath) -> None:
        if isinstance(value, dict) and value.pop(name, self) is self:
            hint = did_you_mean(name, map(str, value)) or f"its keys: {', '.join(map(str, value))}"
            self.findings.problem((*path, _DELETE), f"{dotted(path)}: no key {name!r} to delete", hint)

    def _directive(self, value: Any, path: KeyPath) -> _Directive | None:
        if isinstance(value, str):
            match = _TEXT.match(value)
            if match:
                return _Directive(tuple(match[2].split(".")), match[1] != "copy", False)
            return None
        present = [key for key in (_INHERIT, _COPY) if isinstance(value, dict) and key in value]
        if not present:
            return None
        if len(present) > 1:
            self.findings.problem(path, f"{dotted(path)} has both {_INHERIT} and {_COPY}", "keep one of them")
        source, *_ = [follow(value.pop(key), self.before) for key in present]
        return _Directive(tuple(str(source).split(".")), present[0] == _INHERIT, True)

    def _taken(self, directive: _Directive, value: Any, path: KeyPath) -> Any:
        """The value at ``path`` after the directive is applied; ``value`` are the keys next to a property."""
        if directive.is_property:
            beside = value
        else:
            beside = {}
        source = self._source(directive.source, path)
        if directive.moves:
            self._remove(directive.source, path)
            if len(directive.source) == len(path) == 1:
                self.moved.setdefault(directive.source[0], set()).add(str(path[0]))
        if not self._is_full:
            self.findings.origins.graft(directive.source, path)
        if not directive.is_property or source == MISSING:
            return source
        if not isinstance(source, dict):
            name = ".".join(directive.source)
            self.findings.problem(path, f"{dotted(path)} takes its keys from {name}, which is not a mapping")
            return beside
        merge_plain(source, beside, path, self.findings)
        return source

    def _source(self, source: tuple[str, ...], path: KeyPath) -> Any:
        if source in self._active:
            self.findings.problem(path, f"{dotted(path)}: {'.'.join(source)} takes its keys from itself")
            return {}
        value: Any = self.before
        for part in source:
            below = follow(value, self.before)
            if below == MISSING:
                return MISSING
            if not isinstance(below, dict) or part not in below:
                if isinstance(below, dict):
                    hint = did_you_mean(part, map(str, below))
                else:
                    hint = ""
                self.findings.problem(path, f"{dotted(path)} takes from {'.'.join(source)}, which does not exist", hint)
                return {}
            value = below[part]
        if self._is_too_much(value, path):
            return {}
        holder = {source[-1]: copied(value)}
        self._active.append(source)
        self.walk(holder, source[:-1])
        self._active.pop()
        return holder[source[-1]]

    def _is_too_much(self, value: Any, path: KeyPath) -> bool:
        """Whether the directives yield more values than a configuration may have; reported once."""
        was_full = self._is_full
        self._directives += 1
        self._values += _count(value)
        if self._is_full and not was_full:
            limit = f"more than {_MOST_DIRECTIVES:,} directives or {_MOST_VALUES:,} values"
            message = f"{dotted(path)}: the directives so far add up to {limit}"
            self.findings.problem(path, message, "check for directives that refer to each other")
        return self._is_full

    @property
    def _is_full(self) -> bool:
        return self._directives > _MOST_DIRECTIVES or self._values > _MOST_VALUES

    def _remove(self, source: tuple[str, ...], path: KeyPath) -> None:
        node: Any = self.whole
        for part in source[:-1]:
            if isinstance(node, Mapping):
                node = node.get(part)
            else:
                node = None
        if isinstance(node, dict) and source != path[: len(source)]:
            node.pop(source[-1], None)


def _count(value: Any) -> int:
    """A value, and all values in it."""
    items: Iterable[Any] = ()
    if isinstance(value, dict):
        items = value.values()
    elif isinstance(value, list):
        items = value
    return 1 + sum(map(_count, items))
