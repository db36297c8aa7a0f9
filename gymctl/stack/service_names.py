"""Names of services: a server's own where Compose, Swarm and DNS accept it, else one that is derived from it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping

from gymctl.config import ServerInstance
from gymctl.config.vocabulary import REPLICA_SUFFIX

HEAD_SERVICE = "head"
NODE_SERVICE = "node"
RAY_SERVICE = "ray-head"
EDGE_SERVICE = "gymctl-edge"
PROMETHEUS_SERVICE = "gymctl-prometheus"
ALERTMANAGER_SERVICE = "gymctl-alertmanager"

MOST_CHARACTERS = 63
"""Of a DNS label, and of a service's name in Swarm (swarmkit's controlapi/service.go), the stack's before it."""
_ALWAYS_KEPT = 40
"""Characters of a name that is kept even where the stack's name is so long that Swarm refuses both."""

_OWN_SERVICES = (HEAD_SERVICE, NODE_SERVICE, RAY_SERVICE, EDGE_SERVICE, PROMETHEUS_SERVICE, ALERTMANAGER_SERVICE)
_SERVICE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_OTHER_CHARACTERS = re.compile(r"[^A-Za-z0-9]+")
_DIGEST_CHARACTERS = 8


def service_names(servers: Mapping[str, ServerInstance], stack: str = "") -> dict[str, str]:
    """The service name of each server.

    A name that cannot be used, or that differs from an earlier one in case only, becomes its letters and digits with
    a digest of the whole: the same in every rendering, and no two are equal. ``stack`` is the name of the stack, which
    Swarm puts before the name of each service.
    """
    taken = {name.lower() for name in _OWN_SERVICES}
    names: dict[str, str] = {}
    for name, server in servers.items():
        candidates = (name, f"{name}{REPLICA_SUFFIX}") if server.replicas > 1 else (name,)
        if _is_usable(candidates, _longest(server, stack), taken):
            names[name] = name
            taken.update(candidate.lower() for candidate in candidates)
    for name in servers:
        if name not in names:
            names[name] = _derived(name, taken)
            taken.update((names[name], f"{names[name]}{REPLICA_SUFFIX}"))
    return {name: names[name] for name in servers}


def _longest(server: ServerInstance, stack: str) -> int:
    """Most characters of the service's name: the stack's name goes before it, the suffix of its replicas after it."""
    added = f"{stack}_" if stack else ""
    if server.replicas > 1:
        added += REPLICA_SUFFIX
    return max(MOST_CHARACTERS - len(added), _ALWAYS_KEPT)


def _is_usable(candidates: Iterable[str], longest: int, taken: set[str]) -> bool:
    """Whether a server's name, and its replicas', can be service names; the first of ``candidates`` is its own."""
    name, *_ = candidates
    is_valid = len(name) <= longest and _SERVICE_NAME.fullmatch(name) is not None
    return is_valid and taken.isdisjoint(candidate.lower() for candidate in candidates)


def _derived(name: str, taken: set[str]) -> str:
    """A name of its letters and digits, and a digest of the whole name."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    stem = _OTHER_CHARACTERS.sub("-", name).strip("-").lower() or "server"
    beginning = stem[: _ALWAYS_KEPT - _DIGEST_CHARACTERS - 1].rstrip("-")
    candidates = (f"{beginning}-{digest[start:][:_DIGEST_CHARACTERS]}" for start in range(len(digest)))
    return next(candidate for candidate in candidates if candidate not in taken)
