"""Phrases that many messages share: the nearest name, a list cut short, a duration."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

_LISTED = 3  # names before "and N more"


def nearest(wrong: object, known: Iterable[object], *, cutoff: float = 0.6) -> str | None:
    """The one of ``known`` that is spelled most like ``wrong``; None when none is close."""
    close = get_close_matches(str(wrong), sorted(str(name) for name in known), 1, cutoff)
    if close:
        return close[0]
    return None


def did_you_mean(wrong: object, known: Iterable[object], *, cutoff: float = 0.6) -> str:
    """``did you mean 'x'?`` with the nearest of ``known``; empty when none is close."""
    close = nearest(wrong, known, cutoff=cutoff)
    if close is not None:
        return f"did you mean {close!r}?"
    return ""


def suggestion(wrong: object, known: Collection[object], introduction: str = "available: ") -> str:
    """``did you mean 'x'?``, else all of ``known`` after an introduction; empty when nothing is known."""
    if not known:
        return ""
    return did_you_mean(wrong, known) or introduction + ", ".join(str(name) for name in known)


def listing(names: Collection[str]) -> str:
    """``a, b, c and 3 more``: the first names, and how many follow."""
    first = ", ".join(list(names)[:_LISTED])
    rest = len(names) - _LISTED
    if rest > 0:
        return f"{first} and {rest} more"
    return first


def all_of(names: Collection[str]) -> str:
    """``a, b and c``: every name."""
    *first, last = names
    if first:
        return f"{', '.join(first)} and {last}"
    return last


def duration(seconds: float) -> str:
    """A duration in two units at most: ``12s``, ``3m04s``, ``2h10m``, ``5d03h``."""
    whole = int(seconds)
    for unit, size, below, smaller in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // smaller:02d}{below}"
    return f"{whole}s"


def counted(number: int, noun: str) -> str:
    """A number and its noun: ``1 server``, ``2 servers``."""
    if number == 1:
        return f"{number} {noun}"
    return f"{number} {noun}s"
