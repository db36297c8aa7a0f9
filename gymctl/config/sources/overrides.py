"""Overrides on the command line: ``+a.b=c``, ``++a.b=c``, ``a.b=c``, with the values of Hydra's grammar.

Upstream hands its arguments to Hydra, whose value grammar is: ``null``, booleans, integers, floats, quoted strings,
``[lists]``, ``{dicts: 1}``, and anything else as a string. Hydra itself would own argv and the working directory, so
only the grammar is taken.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from gymctl.config.diagnostics import KeyPath, Location
from gymctl.config.sources.yaml_documents import Document
from gymctl.errors import InputError

_KEY = re.compile(r"^(\+{0,2}|~)([A-Za-z_][\w@/-]*(?:\.[\w@/-]+)*)(=(.*))?$", re.DOTALL)
_INTEGER = re.compile(r"^[+-]?(?:0|[1-9]\d*(?:_\d+)*)$")
_WORDS = {"null": None, "true": True, "false": False}
_ESCAPED = re.compile(r"\\([\\()\[\]{}:=, \t])")
_WHOLE = r"(?:0|[1-9]\d*(?:_\d+)*)"
_FLOAT = re.compile(rf"^[+-]?(?:{_WHOLE}?\.\d+(?:_\d+)*|{_WHOLE}\.|{_WHOLE}(?=[eE]))(?:[eE][+-]?\d+)?$")


@dataclass(frozen=True)
class Override:
    """One override: the key path it sets, the value, and the argument up to its ``=``."""

    path: tuple[str, ...]
    value: Any
    text: str


def looks_like_override(argument: str) -> bool:
    """Whether a command-line argument is an override rather than a path."""
    if argument.startswith("~/"):
        return False  # a home that no shell has filled in
    return argument.startswith(("+", "~")) or ("=" in argument and _KEY.match(argument) is not None)


def parse_override(argument: str) -> Override:
    """Parse one override.

    Raises:
        InputError: it is not ``key=value``, or its value is not of the grammar.
    """
    match = _KEY.match(argument)
    if not match:
        raise InputError(f"{argument!r} is not an override", "write +key.path=value")
    sign, key, equals, value = match.groups()
    place = f"{sign}{key}"  # never the value: it may be a credential, and places are printed
    if sign == "~":
        raise InputError(
            f"{place}: keys from a file cannot be deleted on the command line (nor in NeMo Gym)",
            f"set it to null with ++{key}=null",
        )
    if not equals:
        raise InputError(f"{place} has no value", f"write {place}=value")
    return Override(tuple(key.split(".")), parse_value(value, place), place)


def override_document(override: Override) -> Document:
    """The override as a layer of configuration."""
    data: Any = override.value
    for key in reversed(override.path):
        data = {key: data}
    document = Document("command line", data)
    place = Location(f"command line ({override.text})")
    for cut in range(1, len(override.path) + 1):
        document.marks[override.path[:cut]] = place
    _mark_inside(override.value, override.path, document, place)
    return document


def _mark_inside(value: Any, path: KeyPath, document: Document, place: Location) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            document.marks[(*path, key)] = place
            _mark_inside(item, (*path, key), document, place)


def parse_value(text: str, argument: str) -> Any:
    """One value of Hydra's grammar; ``argument`` names it in errors. What Hydra refuses (``#``, ``é``) is text.

    Raises:
        InputError: unbalanced brackets or quotes.
    """
    stripped = text.strip()
    if stripped[:1] not in ("[", "{", "'", '"'):
        return _scalar(stripped)
    reader = _Reader(stripped, argument)
    value = reader.value("")
    if reader.rest().strip():
        raise reader.error(f"unexpected {reader.rest().strip()!r} after the value")
    return value


class _Reader:
    """A cursor over one value; nested values end at the characters in ``ends``."""

    def __init__(self, text: str, argument: str) -> None:
        self._text = text
        self._at = 0
        self._argument = argument

    def error(self, problem: str) -> InputError:
        """An ``InputError`` about this argument, with a hint on how lists and mappings are written."""
        return InputError(
            f"{self._argument}: {problem}", "lists are [a,b], dicts {a: 1}; quote text that contains , : ] or }"
        )

    def rest(self) -> str:
        """The text that has not been read yet."""
        return self._text[self._at :]

    def value(self, ends: str) -> Any:
        """Read one value: a list, a mapping, quoted text, or a scalar up to one of the characters ``ends``."""
        self._skip()
        if self._peek() == "[":
            return self._sequence()
        if self._peek() == "{":
            return self._mapping()
        if self._peek() in ("'", '"'):
            return self._quoted()
        return _scalar(self._until(ends))

    def _sequence(self) -> list[Any]:
        self._at += 1
        items: list[Any] = []
        while not self._closes("]"):
            if self._peek() == ",":
                raise self.error("an item of a list is empty (is it using an unset shell variable?)")
            items.append(self.value(",]"))
            self._separator("]")
        return items

    def _mapping(self) -> dict[Any, Any]:
        self._at += 1
        items: dict[Any, Any] = {}
        while not self._closes("}"):
            if self._peek() in ("'", '"'):
                key = self._quoted()
            else:
                key = _scalar(self._until(":}"))
            self._skip()
            if self._peek() != ":":
                raise self.error(f"{key!r} in a dict has no value")
            self._at += 1
            items[key] = self.value(",}")
            self._separator("}")
        return items

    def _closes(self, end: str) -> bool:
        self._skip()
        if self._peek() == end:
            self._at += 1
            return True
        if not self._peek():
            raise self.error(f"{end!r} is missing")
        return False

    def _separator(self, end: str) -> None:
        self._skip()
        if self._peek() == ",":
            self._at += 1
        elif self._peek() != end:
            raise self.error(
                f"expected ',' or {end!r} before {self.rest()!r}" if self.rest() else f"{end!r} is missing"
            )

    def _quoted(self) -> str:
        """Quoted text: backslashes count only before a quote of the same kind, where each pair is one."""
        quote = self._peek()
        self._at = self._at + 1
        out = ""
        while self._peek() != quote:
            if not self._peek():
                raise self.error(f"the quote {quote} is not closed")
            run = len(self.rest()) - len(self.rest().lstrip("\\"))
            if not run:
                out += self._peek()
                self._at += 1
                continue
            self._at += run
            before_quote = self._peek() == quote
            out += "\\" * (run // 2 if before_quote else run)
            if before_quote and run % 2:
                out += quote
                self._at += 1
        self._at += 1
        return out

    def _until(self, ends: str) -> str:
        start = self._at
        depth = 0
        while self._at < len(self._text):
            here = self._text[self._at]
            if self._text.startswith("${", self._at):
                depth += 1
                self._at += 1
            elif here == "\\":
                self._at += 1
            elif here == "}" and depth:
                depth -= 1
            elif here in ends and not depth:
                break
            self._at += 1
        return self._text[start : self._at].strip()

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _skip(self) -> None:
        while self._peek().isspace():
            self._at += 1


def _scalar(text: str) -> Any:
    lowered = text.lower()
    if lowered in _WORDS:
        return _WORDS[lowered]
    if _INTEGER.match(text):
        return int(text)
    if _FLOAT.match(text) or lowered.lstrip("+-") in ("inf", "nan"):
        return float(text)
    if "${" in text:
        return text
    return _ESCAPED.sub(r"\1", text)
