"""A copy of a configuration's value in which every string is split into literal text and secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gymctl.config import ServerInstance, ServerKind
from gymctl.stack.slices.host_gateway import is_base_url_key, rerouted
from gymctl.stack.slices.interpolation import Piece, Pieces, SecretFinder, written

# Written anew for each slice, or the engine's business: one replica more is no reason to start the others again.
_NOT_TOLD = ("entrypoint", "host", "port", "replicas")


@dataclass(frozen=True)
class Marked:
    """Nested data with tuples of pieces for strings, and the secrets among them."""

    value: Any
    secrets: frozenset[Piece]
    rerouted: tuple[str, ...] = ()  # key paths whose localhost became the gateway


def mark(value: Any, finder: SecretFinder) -> Marked:
    """Mark any value."""
    walk = _Walk(finder, None)
    return Marked(walk.copy(value), frozenset(walk.used))


def mark_fields(server: ServerInstance, finder: SecretFinder, gateway: str | None) -> Marked:
    """Mark a server's own fields, but for what ``_NOT_TOLD`` names; a model's localhost becomes ``gateway``."""
    walk = _Walk(finder, gateway if server.kind is ServerKind.MODEL else None)
    fields = {key: value for key, value in server.fields.items() if key not in _NOT_TOLD}
    return Marked(walk.copy(fields), frozenset(walk.used), tuple(dict.fromkeys(walk.rerouted)))


def unmark(marked: Marked, names: Mapping[Piece, str]) -> Any:
    """Plain data again: literals escaped for OmegaConf, secrets as references by the given names."""
    return _plain(marked.value, names)


@dataclass
class _Walk:
    finder: SecretFinder
    gateway: str | None
    used: set[Piece] = field(default_factory=set)
    rerouted: list[str] = field(default_factory=list)

    def copy(self, value: Any, path: str = "", *, is_url: bool = False) -> Any:
        if isinstance(value, str):
            return self._text(value, path, is_url=is_url)
        if isinstance(value, Mapping):
            if _is_reference(value):  # names of the stack's own parts: no secrets, whatever env.yaml holds
                return {key: (Piece(item),) for key, item in value.items()}
            return {
                key: self.copy(item, f"{path}.{key}" if path else str(key), is_url=is_base_url_key(str(key)))
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.copy(item, path, is_url=is_url) for item in value]
        return value

    def _text(self, value: str, path: str, *, is_url: bool) -> Pieces:
        pieces = self.finder.split(value)
        if is_url and self.gateway is not None and (changed := rerouted(pieces, self.gateway)):
            pieces = changed
            self.rerouted.append(path)
        self.used.update(piece for piece in pieces if piece.secret is not None)
        return pieces


def _is_reference(value: Mapping[str, Any]) -> bool:
    kinds = {kind.value for kind in ServerKind}
    return set(value) == {"type", "name"} and value["type"] in kinds and isinstance(value["name"], str)


def _plain(value: Any, names: Mapping[Piece, str]) -> Any:
    if isinstance(value, tuple):
        return written(value, names)
    if isinstance(value, dict):
        return {key: _plain(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, names) for item in value]
    return value
