"""Read a block: pydantic's errors become problems with file, line and a fix."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gymctl.config.blocks.block import OWN_ERROR
from gymctl.config.blocks.block_fields import block_of, choices, field_at, mapping_with, model_at, must_be
from gymctl.config.diagnostics import Findings, KeyPath, dotted
from gymctl.config.secrets import holds_credential
from gymctl.config.wording import did_you_mean, nearest, suggestion

B = TypeVar("B", bound=BaseModel)

_UNKNOWN = ("extra_forbidden", "invalid_key")
_FEW = 3  # choices that a message lists rather than guess which was meant
_LONGEST = 200  # characters of a wrong value in a message


def read_block(model: type[B], value: Any, path: KeyPath, findings: Findings, *, owner: str = "") -> B | None:
    """The block at ``path``, without the keys that are wrong; what is wrong with it becomes problems.

    ``owner`` is the server whose block it is, and begins its messages.
    None: it is not a mapping, or lacks a key that it must have.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults = error.errors(include_url=False)
    reporter = _Reporter(model=model, value=value, path=path, findings=findings, owner=owner)
    reported: set[KeyPath] = set()
    unknown = [str(fault["loc"][-1]) for fault in faults if fault["type"] in _UNKNOWN]
    for fault in faults:
        if fault["type"] == "missing" and nearest(fault["loc"][-1], unknown):
            continue  # it is there, misspelt
        place = _place(model, fault["loc"])
        if fault["type"] == OWN_ERROR:
            place = (*place, *fault["ctx"]["key"])
        if place not in reported:
            reported.add(place)
            reporter.report(fault, place)
    return _without_wrong(model, value, {place[0] for place in reported if place})


def read_stack_block(
    model: type[B], key: str, resolved: Mapping[str, Any], servers: Collection[str], findings: Findings
) -> B | None:
    """The top-level block ``key``; None when there is none, or a server has that name. Errors in it become problems."""
    value = resolved.get(key)
    if value is None or key in servers:
        return None
    return read_block(model, value, (key,), findings)


def _without_wrong(model: type[B], value: Any, keys: set[str | int]) -> B | None:
    if not keys or not isinstance(value, Mapping):
        return None
    try:
        return model.model_validate({key: item for key, item in value.items() if key not in keys})
    except ValidationError:
        return None


def _place(model: type[BaseModel], location: Sequence[str | int]) -> KeyPath:
    """How far a location of pydantic's is keys of blocks: what follows are branches of unions, and items of lists."""
    place: list[str | int] = []
    current: type[BaseModel] | None = model
    rest = list(location)
    while rest and current is not None:
        key = rest.pop(0)
        place.append(key)
        field = current.model_fields.get(str(key))
        if field:
            current = block_of(field.annotation)
        else:
            current = None
        if current is not None and rest and isinstance(rest[0], int):
            place.append(rest.pop(0))
    return tuple(place)


@dataclass(frozen=True)
class _Reporter:
    """Turns faults of one block into problems."""

    model: type[BaseModel]
    value: Any
    path: KeyPath
    findings: Findings
    owner: str

    def report(self, fault: ErrorDetails, place: KeyPath) -> None:
        """Add the problem of a fault at ``place`` below the block."""
        if fault["type"] == OWN_ERROR:
            self._in_own_words(fault["ctx"], place)
        elif fault["type"] in _UNKNOWN:
            self._unknown(place)
        elif fault["type"] == "missing":
            self._missing(place)
        else:
            self._wrong_value(place)

    def _title(self, place: KeyPath) -> str:
        """A place as messages call it: below its server, else by its whole path."""
        if not self.owner:
            return dotted((*self.path, *place))
        if place:
            return f"{self.owner}: {dotted(place)}"
        return self.owner

    def _in_own_words(self, context: Mapping[str, Any], place: KeyPath) -> None:
        is_of_one_key = place and not context["key"]
        if is_of_one_key:
            title = self._title(place)
        else:
            title = f"{self._title(())}:"
        message = f"{title} {context['message']}".removeprefix(": ")
        self.findings.problem((*self.path, *place), message, context["hint"])

    def _unknown(self, place: KeyPath) -> None:
        here = (*self.path, *place)
        parent = model_at(self.model, place[:-1])
        if parent:
            known = list(parent.model_fields)
        else:
            known = []
        if self.owner:
            message = f"{self.owner}: unknown key {dotted(place)!r}"
        else:
            message = f"unknown key {dotted(here)!r}"
        self.findings.problem(here, message, suggestion(place[-1], known, "known keys: "))

    def _missing(self, place: KeyPath) -> None:
        *around, key = place
        field = field_at(self.model, place)
        hint = f"add `{key}`"
        if field is not None and field.description:
            hint += f": {field.description}"
        self.findings.problem((*self.path, *around), f"{self._title(tuple(around))} has no {key}", hint)

    def _wrong_value(self, place: KeyPath) -> None:
        here = (*self.path, *place)
        value = _at(self.value, place)
        hint = ""
        if field := field_at(self.model, place):
            names = choices(field)
            if isinstance(value, str) and len(names) > _FEW:
                hint = did_you_mean(value, names)
            hint = hint or f"it must be {must_be(field)}"
        else:
            block = model_at(self.model, place) or self.model
            hint = f"it must be {mapping_with(block)}"
        self.findings.problem(here, f"{self._title(place)} {_is(here, value)}", hint)


def _is(path: KeyPath, value: Any) -> str:
    """``is VALUE``, with credentials masked."""
    if holds_credential(str(path[-1]) if path else ""):
        return "is not valid"
    text = repr(value)
    return f"is {text if len(text) <= _LONGEST else text[:_LONGEST] + '...'}"


def _at(value: Any, place: KeyPath) -> Any:
    """The value at a place, or the nearest around it: a short form of a block has no keys."""
    for part in place:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return value
    return value
