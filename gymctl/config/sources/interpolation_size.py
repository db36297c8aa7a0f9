"""How large a configuration's interpolations are once resolved, computed without resolving them.

Interpolations of interpolations multiply: ten lines of YAML may stand for more text than any memory holds. A value's
size is the sum of what it refers to, and each referred value is measured once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from gymctl.config.diagnostics import KeyPath

MOST_CHARACTERS = 10_000_000
MOST_REFERENCES = 100_000
_ENVIRONMENT = "oc.env"
_BY_NAME = frozenset({"oc.select", "oc.dict.keys", "oc.dict.values", "oc.deprecated"})
_LONGEST_NAME = 1000  # of a key whose name is computed
_MOST_HOPS = 20  # from one mapping to the mapping that it refers to
_PLAIN_NAME = re.compile(r"\.*[^\s.\[\]{}$:,()]+(?:\.[^\s.\[\]{}$:,()]+|\[[^\[\]{}$:]+\])*")


class Size(NamedTuple):
    """What a value comes to: characters of text (other values count as one), and interpolations on the way."""

    characters: int = 0
    references: int = 0

    def __add__(self, other: tuple[int, ...]) -> Size:  # type: ignore[override]
        return Size(self.characters + other[0], self.references + other[1])

    @property
    def is_bounded(self) -> bool:
        """Whether it can be resolved in memory and time that a configuration may take."""
        return self.characters <= MOST_CHARACTERS and self.references <= MOST_REFERENCES


UNBOUNDED = Size(MOST_CHARACTERS + 1, MOST_REFERENCES + 1)


class ValueSizes:
    """Sizes of the values of one configuration, merged and with its interpolations as text."""

    def __init__(self, whole: Mapping[str, Any], environ: Mapping[str, str]) -> None:
        self._whole = whole
        self._environ = environ
        self._known: dict[KeyPath, Size] = {}

    def at(self, path: KeyPath) -> Size:
        """The size of the value at a path; nothing where there is none, or where a circle is closed."""
        if path not in self._known:
            self._known[path] = Size()
            self._known[path] = self._of(self._value(path), path)
        return self._known[path]

    def _of(self, value: Any, path: KeyPath) -> Size:
        if isinstance(value, str):
            return self._of_text(value, path)
        keys: list[Any] = []
        if isinstance(value, dict):
            keys = list(value)
        elif isinstance(value, list):
            keys = list(range(len(value)))
        total = Size(1)
        for key in keys:
            total += self.at((*path, key))
            if not total.is_bounded:
                return UNBOUNDED
        return total

    def _of_text(self, text: str, path: KeyPath) -> Size:
        total = Size(len(text))
        for inner in _groups(text):
            total += Size(0, 1)
            name = inner.strip()
            if _PLAIN_NAME.fullmatch(name):
                total += self.at(_target(name, path))
            else:  # a resolver with arguments, or a name that is computed
                total += self._of_text(inner, path) + self._of_resolver(name, path)
                computed = self._computed(inner, path)
                total += self.at(_target(computed, path)) if computed else Size()
            if not total.is_bounded:
                return UNBOUNDED
        return total

    def _of_resolver(self, name: str, path: KeyPath) -> Size:
        """The size of what a resolver of OmegaConf's reads by the name that is its first argument."""
        resolver, _, arguments = name.partition(":")
        first = arguments.partition(",")[0].strip().strip("\"'")
        if resolver.strip() == _ENVIRONMENT:
            return Size(len(self._environ.get(first, "")))
        if resolver.strip() in _BY_NAME:
            key = first
            if "${" in first:
                key = self._computed(arguments.partition(",")[0], path)
            return self.at(_target(key, path)) if _PLAIN_NAME.fullmatch(key) else Size()
        return Size()

    def _computed(self, name: str, path: KeyPath) -> str:
        """A name with the interpolations in it filled in; empty when they do not make a plain one."""
        if ":" in name.partition("${")[0] or not self._of_text(name, path).is_bounded:
            return ""
        filled = self._filled(name, path, 0)
        return filled if _PLAIN_NAME.fullmatch(filled) else ""

    def _filled(self, text: str, path: KeyPath, depth: int) -> str:
        if depth > _LONGEST_NAME // 20 or len(text) > _LONGEST_NAME:
            return ""
        for inner in list(_groups(text)):
            target = _target(self._filled(inner.strip(), path, depth + 1), path)
            value = self._value(target)
            if isinstance(value, dict | list):
                return ""
            text = text.replace(f"${{{inner}}}", self._filled(str(value), target, depth + 1), 1)
            if len(text) > _LONGEST_NAME:
                return ""
        return text

    def _value(self, path: KeyPath, hops: int = 0) -> Any:
        """The value at a path; through interpolations on the way where they are plain."""
        value: Any = self._whole
        for place, key in enumerate(path):
            if isinstance(value, str):
                groups = list(_groups(value))
                if len(groups) != 1 or value.strip() != f"${{{groups[0]}}}":
                    return None
                target = _target(groups[0].strip(), path[:place])
                return self._value((*target, *path[place:]), hops + 1) if hops < _MOST_HOPS else None
            if isinstance(value, dict):
                value = value.get(key, value.get(int(key)) if str(key).isdigit() else None)
            elif isinstance(value, list) and str(key).isdigit() and int(key) < len(value):
                value = value[int(key)]
            else:
                return None
        return value


def _groups(text: str) -> Iterator[str]:
    """What is between ``${`` and its ``}`` in a text, outermost ones only."""
    place = text.find("${")
    while place >= 0:
        depth = 1
        end = place + 2
        while end < len(text) and depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        yield text[place + 2 : end - 1] if not depth else text[place + 2 :]
        place = text.find("${", end)


def _target(name: str, path: KeyPath) -> KeyPath:
    """The path that a name leads to, from the value at ``path``: with dots in front, from the mapping it is in."""
    dots = len(name) - len(name.lstrip("."))
    parts = tuple(part for part in re.split(r"[.\[\]]+", name.lstrip(".")) if part)
    return (*path[: len(path) - dots], *parts) if dots else parts
