"""Read a block: from what pydantic finds wrong to problems with their file and line, and what would be right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from gymctl.config.block import OWN_ERROR
from gymctl.config.block_fields import block_of, choices, field_at, model_at, must_be
from gymctl.config.diagnostics import Findings, KeyPath, dotted
from gymctl.config.secrets import holds_credential
from gymctl.config.wording import did_you_mean, nearest, suggestion

B = TypeVar("B", bound=BaseModel)

_UNKNOWN = ("extra_forbidden", "invalid_key")
_FEW = 3  # choices that a message lists rather than guess which was meant
_LONGEST = 200  # characters of a wrong value in a message


def read_block(
    model: type[B], value: Any, path: KeyPath, findings: Findings, *, owner: str = "", also: Sequence[str] = ()
) -> B | None:
    """The block at ``path``, without the keys that are wrong; what is wrong with it becomes problems.

    ``owner`` is the server whose block it is, and begins its messages; ``also`` are further keys that a hint may name.
    None: it is not a mapping, or lacks a key that it must have.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults = error.errors(include_url=False)
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
            _report(model, fault, place, value, path, findings, owner, also)
    return _without_wrong(model, value, {place[0] for place in reported if place})


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
        current = block_of(field.annotation) if field else None
        if current is not None and rest and isinstance(rest[0], int):
            place.append(rest.pop(0))
    return tuple(place)


def _report(
    model: type[BaseModel],
    fault: ErrorDetails,
    place: KeyPath,
    value: Any,
    path: KeyPath,
    findings: Findings,
    owner: str,
    also: Sequence[str],
) -> None:
    here = (*path, *place)
    title = f"{owner}: {dotted(place)}" if owner and place else owner or dotted(here)
    if fault["type"] == OWN_ERROR:
        context = fault["ctx"]
        around = f"{owner or dotted(path)}:" if context["key"] or not place else title
        findings.problem(here, f"{around} {context['message']}".removeprefix(": "), context["hint"])
    elif fault["type"] in _UNKNOWN:
        parent = model_at(model, place[:-1])
        known = [*(parent.model_fields if parent else ()), *also]
        message = f"{owner}: unknown key {dotted(place)!r}" if owner else f"unknown key {dotted(here)!r}"
        findings.problem(here, message, suggestion(place[-1], known, "there are "))
    elif fault["type"] == "missing":
        around = f"{owner}: {dotted(place[:-1])}" if owner and place[:-1] else owner or dotted(here[:-1])
        field = field_at(model, place)
        hint = (field.description or "") if field else ""
        findings.problem(here[:-1], f"{around} has no {place[-1]}", f"add `{place[-1]}`: {hint}".rstrip(": "))
    else:
        field = field_at(model, place)
        wrong_value = _at(value, place)
        names = choices(field) if field else ()
        is_near = isinstance(wrong_value, str) and len(names) > _FEW
        hint = did_you_mean(wrong_value, names) if is_near else ""
        findings.problem(
            here, f"{title} {_is(here, wrong_value)}", hint or f"it must be {_expected(model, place, field)}"
        )


def _is(path: KeyPath, value: Any) -> str:
    """``is VALUE``, with nothing of a credential."""
    if holds_credential(str(path[-1]) if path else ""):
        return "is not valid"
    text = repr(value)
    return f"is {text if len(text) <= _LONGEST else text[:_LONGEST] + '...'}"


def _expected(model: type[BaseModel], place: KeyPath, field: FieldInfo | None) -> str:
    if field is not None:
        return must_be(field)
    block = model_at(model, place) or model
    return f"a mapping of {', '.join(block.model_fields)}"


def _at(value: Any, place: KeyPath) -> Any:
    """The value at a place, or the nearest around it: a short form of a block has no keys."""
    for part in place:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return value
    return value
