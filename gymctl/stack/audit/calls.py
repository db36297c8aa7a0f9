"""Which containers of a stack share a network though neither calls the other."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from itertools import combinations
from typing import Any

from gymctl.config import ServerKind
from gymctl.config.nested import texts
from gymctl.stack.audit.subject import HEAD, AuditedContainer, AuditedStack

_KINDS = frozenset(kind.value for kind in ServerKind)


def needless_pairs(stack: AuditedStack, first: Collection[str], second: Collection[str]) -> Iterator[tuple[str, str]]:
    """Pairs of services that share a network though neither calls the other.

    One has a kind in ``first``, the other one in ``second``. What a service calls is what its slice refers to.
    """
    for pair in combinations(stack.containers, 2):
        for one, other in (pair, pair[::-1]):
            if one.kind in first and other.kind in second and _share_needlessly(stack, one, other):
                yield one.service, other.service
                break


def _share_needlessly(stack: AuditedStack, one: AuditedContainer, other: AuditedContainer) -> bool:
    is_shared = bool(set(one.networks) & set(other.networks) & stack.networks.keys())
    return is_shared and not (one.server == other.server or _calls(one, other) or _calls(other, one))


def _calls(caller: AuditedContainer, other: AuditedContainer) -> bool:
    """Whether a container's own settings refer to another's server, or contain its address."""
    if caller.kind == HEAD:
        return True
    own = caller.slice.get(caller.server)
    if other.server in set(_references(own)):
        return True
    address = re.compile(rf"://{re.escape(other.service)}(?:[:/]|\Z)", re.IGNORECASE)
    return any(address.search(text) for _, text in texts(own))


def _references(value: Any) -> Iterator[str]:
    """Names of the servers that settings refer to."""
    if isinstance(value, Mapping):
        if value.get("type") in _KINDS and isinstance(value.get("name"), str):
            yield value["name"]
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _references(item)
