"""Where a value comes from: the place that set it, what it set aside, and what it refers to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gymctl.config.blocks.key_docs import KeyDoc, doc_at
from gymctl.config.diagnostics import KeyPath, dotted
from gymctl.config.model import Config
from gymctl.config.secrets import mask
from gymctl.config.wording import did_you_mean
from gymctl.errors import InputError

_PART = re.compile(r"[^.\[\]]+")
_REFERENCE = re.compile(r"\$\{\s*([^\s${}:]+)\s*\}")


@dataclass(frozen=True)
class ExplainedSetting:
    """One place that set a value, and what stood there (credentials masked)."""

    place: str
    written: Any


@dataclass(frozen=True)
class Explanation:
    """A value (credentials masked), the places that set it, first to last, and the keys that it refers to.

    ``settings`` is empty where an interpolation made the value; ``inside`` are the leaves of a mapping or list, each
    with the place that won.
    """

    path: str
    value: Any
    settings: tuple[ExplainedSetting, ...]
    refers_to: tuple[Explanation, ...]
    inside: tuple[Explanation, ...]
    doc: KeyDoc | None = None
    """What the key means, where it is known."""
    is_set: bool = True
    """False: nothing sets it, and the default holds."""

    @property
    def won(self) -> ExplainedSetting | None:
        """The setting that counts."""
        if self.settings:
            return self.settings[-1]
        return None


def explain(config: Config, text: str) -> Explanation:
    """Explain the value at a dotted path; a server's kind and implementation may be left out.

    Raises:
        InputError: the value does not exist.
    """
    try:
        path = _path(config, text)
    except InputError:
        if unset := _unset(config, _PART.findall(text)):
            return unset
        raise
    return replace(_explained(config, path, deep=True), doc=_doc(config, path))


def _unset(config: Config, parts: list[str]) -> Explanation | None:
    """A key that nothing sets and a block or the server's code knows."""
    server = config.servers.get(parts[0]) if parts else None
    candidates: list[tuple[str, ...]] = [tuple(parts)]
    if server is not None:
        rest = parts[2:] if parts[1:2] == [server.implementation] else parts[1:]
        candidates.append((*server.path, *rest))
    for path in candidates:
        if path and (doc := _doc(config, path)):
            return Explanation(dotted(path), None, (), (), (), doc=doc, is_set=False)
    return None


def _doc(config: Config, path: KeyPath) -> KeyDoc | None:
    server = config.servers.get(str(path[0]))
    if server:
        return doc_at(path, server.folder, server.entrypoint)
    return doc_at(path)


def _explained(config: Config, path: KeyPath, *, deep: bool, seen: frozenset[KeyPath] = frozenset()) -> Explanation:
    value = _value_at(config.resolved, path)
    settings = tuple(
        ExplainedSetting(str(place), _display_value(config, path, written))
        for place, written in zip(config.origins.history(path), config.origins.written.get(path, ()), strict=True)
    )
    nested = isinstance(value, dict | list)
    raw = config.origins.written.get(path, [None])[-1]
    return Explanation(
        path=dotted(path),
        value=_display_value(config, path, value),
        settings=() if nested and isinstance(raw, dict) else settings,
        refers_to=tuple(_referred(config, raw, seen | {path})),
        inside=tuple(_explained(config, leaf, deep=False) for leaf in _leaves(value, path)) if nested and deep else (),
    )


def _referred(config: Config, raw: Any, seen: frozenset[KeyPath]) -> Iterator[Explanation]:
    """What the plain ``${a.b}`` in a text refer to."""
    for name in _REFERENCE.findall(raw) if isinstance(raw, str) else ():
        path = tuple(_PART.findall(name))
        if path not in seen and not name.startswith(".") and _has(config.resolved, path):
            yield _explained(config, path, deep=False, seen=seen)


def _leaves(value: Any, path: KeyPath) -> Iterator[KeyPath]:
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    if not value or not isinstance(value, dict | list):
        yield path
        return
    for key, item in items:
        yield from _leaves(item, (*path, key))


def _display_value(config: Config, path: KeyPath, value: Any) -> Any:
    key = next((part for part in reversed(path) if isinstance(part, str)), "")
    if isinstance(value, str) and _REFERENCE.fullmatch(value):
        return value
    return mask({key: value}, config.secrets)[key]


def _path(config: Config, text: str) -> KeyPath:
    """The key path of a dotted text: as written, or below the fields of the server that its first part names."""
    parts = _PART.findall(text)
    if not parts:
        raise InputError("the path is empty", "write a dotted path, such as policy_model.port")
    candidates = [parts]
    if server := config.servers.get(parts[0]):
        rest = parts[2:] if parts[1:2] == [server.implementation] else parts[1:]
        candidates.append([*server.path, *rest])
    matches = [path for candidate in candidates if (path := _typed(config.resolved, candidate)) is not None]
    if not matches:
        raise InputError(f"no value is set at {text}", _hint(config, parts))
    return matches[0]


def _typed(value: Any, parts: list[str]) -> KeyPath | None:
    """The parts as keys of their kind (list indices are numbers), or None where the value does not exist."""
    path: list[str | int] = []
    for part in parts:
        if isinstance(value, list) and part.isdigit() and int(part) < len(value):
            path.append(int(part))
        elif isinstance(value, Mapping) and part in value:
            path.append(part)
        else:
            return None
        value = value[path[-1]]
    return tuple(path)


def _hint(config: Config, parts: list[str]) -> str:
    for cut in range(len(parts) - 1, -1, -1):
        head = parts[:cut]
        server = config.servers.get(parts[0]) if cut else None
        for candidate in (head, [*server.path, *head[1:]]) if server else (head,):
            path = _typed(config.resolved, candidate)
            known = _value_at(config.resolved, path) if path is not None else None
            if (
                isinstance(known, Mapping)
                and parts[cut] not in known
                and (hint := did_you_mean(parts[cut], map(str, known)))
            ):
                return hint
    return "gymctl config show lists all values"


def _value_at(value: Any, path: KeyPath) -> Any:
    for part in path:
        value = value[part]
    return value


def _has(value: Any, path: KeyPath) -> bool:
    return _typed(value, [str(part) for part in path]) == path
