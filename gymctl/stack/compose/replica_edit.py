"""Another number of replicas in a document that is rendered already: its lines are changed, nothing else is."""

from __future__ import annotations

import re
from collections.abc import Mapping

_TOP = re.compile(r"(\S+):\s*$")
_SERVICE = re.compile(r"  ([\"']?)(?P<name>[^\s\"':]+)\1:\s*$")
_SCALE = "    scale: "
_DEPLOY = "    deploy:"
_REPLICAS = "      replicas: "


def with_replicas(text: str, counts: Mapping[str, int]) -> str:
    """The Compose file ``text`` with the replica counts of ``counts``.

    Compose compares a service's other keys with the definition of its containers: where there was no
    ``deploy``, ``scale`` sets it there, and running containers stay unchanged.

    Raises:
        ValueError: a service is not in it.
    """
    lines = text.split("\n")
    for name, count in counts.items():
        first, end = _block(lines, name)
        lines[first:end] = _counted(lines[first:end], count)
    return "\n".join(lines)


def _block(lines: list[str], service: str) -> tuple[int, int]:
    """The lines of a service, from the one after its name to the one after its last."""
    inside = False
    first = None
    for number, line in enumerate(lines):
        if top := _TOP.match(line):
            if first is not None:
                return first, number
            inside = top[1] == "services"
        elif inside and (match := _SERVICE.match(line)):
            if first is not None:
                return first, number
            if match["name"] == service:
                first = number + 1
    if first is None:
        raise ValueError(f"no service {service!r} in the file")
    return first, len(lines)


def _counted(block: list[str], count: int) -> list[str]:
    for index, line in enumerate(block):
        if line.startswith(_SCALE):
            return [*block[:index], f"{_SCALE}{count}", *block[index + 1 :]]
        if line.rstrip() == _DEPLOY:
            below = index + 1
            after = below + (below < len(block) and block[below].startswith(_REPLICAS))
            return [*block[:below], f"{_REPLICAS}{count}", *block[after:]]
    return [f"{_SCALE}{count}", *block]
