"""Text that comes out of OmegaConf as it went in, and secrets as references to the environment.

The escaping rule, the same in OmegaConf 2.3 and 2.4: a string is parsed only if it holds ``${``. Then a run of
backslashes right before ``${`` is halved, and an odd one left over makes that ``${`` literal; every other backslash
is literal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from gymctl.stack.yaml_dumper import PlainDumper

MIN_EMBEDDED = (
    8  # characters: a shorter secret is replaced only where it is the whole string, or "on" would be everywhere
)

_OPENING = re.compile(r"(\\*)\$\{")
_TRAILING = re.compile(r"\\+\Z")
# What OmegaConf's loader takes for a float and PyYAML's does not (1e3, 1.5e3): such text must be quoted.
_FLOAT = re.compile(r"^[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+$|^[-+]?\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?$")


@dataclass(frozen=True)
class Piece:
    """A part of a string: literal text, or the value of the secret ``secret``."""

    text: str
    secret: str | None = None


Pieces = tuple[Piece, ...]


class _SliceDumper(PlainDumper):
    """For a reader with OmegaConf's scalar rules."""


_SliceDumper.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


def dump_slice(value: Mapping[str, Any]) -> str:
    """YAML text that ``OmegaConf.create`` reads back as the same data (types too)."""
    text: str = yaml.dump(dict(value), Dumper=_SliceDumper, sort_keys=False, allow_unicode=True, width=1_000_000)
    return text


class SecretFinder:
    """Finds secrets in strings. ``secrets`` maps environment names to values."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._by_value = {value: name for name, value in reversed(list(secrets.items())) if value}
        self._longest_first = sorted((v for v in self._by_value if len(v) >= MIN_EMBEDDED), key=len, reverse=True)

    def split(self, text: str) -> Pieces:
        """``text`` as literal parts and secrets; joined, their texts are ``text`` again."""
        if text in self._by_value:
            return (Piece(text, self._by_value[text]),)
        pieces: list[Piece] = [Piece(text)]
        for value in self._longest_first:
            if value in text:
                pieces = [part for piece in pieces for part in self._cut(piece, value)]
        return tuple(pieces)

    def _cut(self, piece: Piece, value: str) -> list[Piece]:
        if piece.secret is not None or value not in piece.text:
            return [piece]
        parts: list[Piece] = []
        for index, literal in enumerate(piece.text.split(value)):
            if index:
                parts.append(Piece(value, self._by_value[value]))
            if literal:
                parts.append(Piece(literal))
        return parts


def written(pieces: Sequence[Piece], names: Mapping[Piece, str]) -> str:
    """The string to put in a slice: literals escaped, secrets as ``${oc.env:NAME}``."""
    parts = []
    for index, piece in enumerate(pieces):
        if piece.secret is not None:
            parts.append(f"${{oc.env:{names.get(piece, piece.secret)}}}")
            continue
        literal = escaped(piece.text)
        if index + 1 < len(pieces):  # what follows begins with ${, so backslashes at the end count
            literal = _TRAILING.sub(lambda run: run[0] * 2, literal)
        parts.append(literal)
    return "".join(parts)


def escaped(text: str) -> str:
    """``text`` such that OmegaConf resolves it to itself."""
    if "${" in text:
        return _OPENING.sub(lambda match: match[1] * 2 + "\\${", text)
    return text


def escape_all(value: Any) -> Any:
    """A copy of nested data with every string (not the keys) escaped."""
    if isinstance(value, Mapping):
        return {key: escape_all(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [escape_all(item) for item in value]
    if isinstance(value, str):
        return escaped(value)
    return value
