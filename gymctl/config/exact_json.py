"""JSON without a silent change: integers of any size, decimals beyond a float, text with half a surrogate pair.

orjson turns integers beyond 64 bits into floats when it reads, and NaN into null when it writes. What is read here is
written back with the same value; what JSON cannot hold is an error.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec
import orjson

_EXACT_DIGITS = 15
"""A decimal without an exponent and with at most this many characters is exact as a float."""

_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
_EXTREME = re.compile(rb"[0-9][eE][+-]?[0-9]{3}|[0-9]{300}|0\.0{300}")
_NOT_A_NUMBER = re.compile(rb'(?<![\w"])(-?Infinity|NaN)(?![\w"])')
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


class NotFiniteError(ValueError):
    """A value holds NaN or an infinity, for which JSON has no number; the text names its place."""


def _exact_decimal(text: str) -> float | Decimal:
    """A decimal as a float where that is the same value, else as it is."""
    value = float(text)
    if len(text) <= _EXACT_DIGITS and "e" not in text.lower():
        return value
    if repr(value) == text:
        return value
    exact = Decimal(text)
    if math.isfinite(value) and exact == Decimal(repr(value)):
        return value
    return exact


_decoder = msgspec.json.Decoder(float_hook=_exact_decimal)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


def loads(text: bytes | str) -> Any:
    """The value of a JSON text. A decimal is a ``float``, or a ``Decimal`` where a float is not exact.

    Raises:
        ValueError: it is not JSON, or it is nested too deeply.
    """
    try:
        return _decoder.decode(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def loads_repaired(body: bytes) -> tuple[Any, bytes]:
    """The value of a JSON text that may hold broken characters, and the text without them (U+FFFD in their place).

    Raises:
        ValueError: it is not JSON, or it is nested too deeply.
    """
    text = body.removeprefix(b"\xef\xbb\xbf")
    try:
        return orjson.loads(text), text
    except ValueError:
        repaired = repair(text)
        if repaired == text:
            raise
        return orjson.loads(repaired), repaired


def repair(text: bytes) -> bytes:
    """JSON text with U+FFFD in place of half surrogate pairs and of bytes that are not UTF-8."""
    if text.isascii() and b"\\u" not in text:
        return text
    return _ESCAPE.sub(lambda match: b"\\ufffd" if match[1] else match[0], text.decode(errors="replace").encode())


def split_fields(text: bytes) -> dict[str, bytes]:
    """The fields of a JSON object, each as the JSON text that it has there.

    Raises:
        ValueError: it is not a JSON object.
    """
    try:
        return {name: bytes(value).strip() for name, value in _fields.decode(text).items()}
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def join_fields(fields: Mapping[str, bytes]) -> bytes:
    """The JSON object that ``split_fields`` took apart."""
    return b"{" + b",".join([orjson.dumps(name) + b":" + value for name, value in fields.items()]) + b"}"


def dumps(value: Any, default: Callable[[Any], Any] | None = None) -> bytes:
    """JSON text of a value; keys that are not text become it. ``default`` converts what JSON has no type for.

    NaN and infinities become null, as with orjson: use ``dumps_finite`` where a value may hold them.

    Raises:
        TypeError: something in it is not JSON.
    """

    def convert(item: Any) -> Any:
        """Write decimals with every digit; infinities and NaN become floats, which orjson writes as null."""
        if isinstance(item, Decimal) and item.is_finite():
            return orjson.Fragment(str(item).encode())
        if isinstance(item, Decimal):
            return float(item)
        if default is None:
            raise TypeError(f"{type(item).__name__} is not JSON")
        return default(item)

    try:
        return orjson.dumps(value, default=convert)
    except TypeError:
        plain = _plain(value, default)
    return orjson.dumps(plain, option=orjson.OPT_NON_STR_KEYS)


def dumps_finite(value: Any, default: Callable[[Any], Any] | None = None) -> bytes:
    """As ``dumps``, but NaN and infinities are refused.

    Raises:
        NotFiniteError: the value holds one.
        TypeError: something in it is not JSON.
    """
    text = dumps(value, default)
    if b"null" in text:
        place = _place_of(value, default, lambda number: not _is_finite(number))
        if place is not None:
            raise NotFiniteError(f"{place or 'the value'} is not a finite number; JSON supports only finite numbers")
    return text


def explain(text: bytes) -> str:
    """What is wrong with a text that is not JSON, where it is a mistake that writers of rows make; else empty."""
    outside = _STRING.sub(lambda match: b'"' * len(match[0]), text)
    match = _NOT_A_NUMBER.search(outside)
    if match:
        return f"{match[1].decode()} at column {match.start() + 1}: not a JSON number; write null or a number"
    half = next((match for match in _ESCAPE.finditer(text) if match[1]), None)
    if half:
        return f"{half[0].decode()} at column {half.start() + 1}: half of a surrogate pair; write the whole character"
    return ""


def beyond_float(text: bytes, value: Any) -> str | None:
    """The place of the first decimal that a float would turn into infinity or zero, as a dotted path; else None.

    Args:
        text: the JSON text, which is searched first: most have no such number.
        value: what ``loads`` made of it.
    """
    if _EXTREME.search(text) is None:
        return None
    return _place_of(value, None, _is_beyond_float)


def _is_beyond_float(value: float | Decimal) -> bool:
    if not isinstance(value, Decimal) or not value.is_finite():
        return False
    number = float(value)
    return not math.isfinite(number) or (number == 0) != (value == 0)


def _plain(value: Any, default: Callable[[Any], Any] | None) -> Any:
    """The value in what orjson writes: long integers as fragments, broken text repaired."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return orjson.Fragment(str(value).encode() if _is_finite(value) else b"null")
    if isinstance(value, Mapping):
        return {_plain_key(key, default): _plain(item, default) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, default) for item in value]
    if default is None or isinstance(value, orjson.Fragment | bool | float | None):
        return value
    return _converted(value, default)


def _converted(value: Any, default: Callable[[Any], Any]) -> Any:
    try:
        return _plain(default(value), default)
    except TypeError:
        orjson.dumps(value)  # a type that orjson knows of itself, such as a date; else the error is its own
        return value


def _is_finite(value: float | Decimal) -> bool:
    if isinstance(value, int):
        return True
    if isinstance(value, Decimal):
        return value.is_finite()
    return math.isfinite(value)


def _plain_key(key: Any, default: Callable[[Any], Any] | None) -> Any:
    if isinstance(key, int) and not isinstance(key, bool):
        return str(key)
    return _plain(key, default)


def _place_of(
    value: Any, default: Callable[[Any], Any] | None, matches: Callable[[float | Decimal], bool], place: str = ""
) -> str | None:
    """The place of the first decimal that matches, as a dotted path; None without one."""
    if isinstance(value, float | Decimal):
        if matches(value):
            return place
        return None
    children: list[tuple[Any, Any]] = []
    if isinstance(value, Mapping):
        children = list(value.items())
    elif isinstance(value, list | tuple):
        children = list(enumerate(value))
    elif default is not None and not isinstance(value, str | int | bool | None):
        try:
            return _place_of(default(value), default, matches, place)
        except TypeError:
            return None
    for key, item in children:
        match = _place_of(item, default, matches, f"{place}.{key}" if place else str(key))
        if match is not None:
            return match
    return None
