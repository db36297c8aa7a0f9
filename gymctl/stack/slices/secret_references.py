"""A copy of a configuration's value in which every string is split into literal text and secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gymctl.config import ServerInstance, ServerKind
from gymctl.stack.slices.host_gateway import reroute
from gymctl.stack.slices.interpolation import Piece, Pieces, SecretFinder, written

# Written for each slice, or handled by the engine: adding a replica must not restart the others.
_NOT_TOLD = ("entrypoint", "host", "port", "replicas")


@dataclass(frozen=True)
class Marked:
    """Nested data with tuples of pieces for strings, and the secrets among them."""

    value: Any
    secrets: frozenset[Piece]
    rerouted: tuple[str, ...] = ()  # key paths whose localhost became the gateway
    texts: frozenset[str] = frozenset()  # every string in it, as a container gets it


def mark(value: Any, finder: SecretFinder, gateway: str | None = None, path: str = "") -> Marked:
    """Mark any value; the addresses of this machine in it become ``gateway``. ``path`` is its own key path."""
    walk = _Walk(finder, gateway)
    copy = walk.copy(value, path)
    return Marked(copy, frozenset(walk.used), tuple(dict.fromkeys(walk.rerouted)), frozenset(walk.texts))


def mark_fields(server: ServerInstance, finder: SecretFinder, gateway: str | None) -> Marked:
    """Mark a server's own fields, but for what ``_NOT_TOLD`` names; localhost in an address becomes ``gateway``."""
    return mark({key: value for key, value in server.fields.items() if key not in _NOT_TOLD}, finder, gateway)


def unmark(marked: Marked, names: Mapping[Piece, str]) -> Any:
    """Plain data again: literals escaped for OmegaConf, secrets as references by the given names."""
    return _plain(marked.value, names)


@dataclass
class _Walk:
    finder: SecretFinder
    gateway: str | None
    used: set[Piece] = field(default_factory=set)
    rerouted: list[str] = field(default_factory=list)
    texts: set[str] = field(default_factory=set)

    def copy(self, value: Any, path: str = "") -> Any:
        """The value with every text split into pieces, secrets apart; ``path`` is where it is in the slice."""
        if isinstance(value, str):
            return self._text(value, path)
        if isinstance(value, Mapping):
            if _is_reference(value):  # names of the stack's own parts: no secrets, whatever env.yaml holds
                return {key: (Piece(item),) for key, item in value.items()}
            return {key: self.copy(item, f"{path}.{key}" if path else str(key)) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.copy(item, path) for item in value]
        return value

    def _text(self, value: str, path: str) -> Pieces:
        pieces = self.finder.split(value)
        if self.gateway is not None and (changed := reroute(pieces, self.gateway, path.rpartition(".")[2])):
            pieces = changed
            self.rerouted.append(path)
        self.used.update(piece for piece in pieces if piece.secret is not None)
        self.texts.add("".join(piece.text for piece in pieces))
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
