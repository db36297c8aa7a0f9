"""What starting a stack would change: its services compared with the containers that are there.

Compose decides by a digest of each service whether a container is replaced; it is asked for that digest. It does not
see the content of secrets, which is compared here.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from gymctl.engines.compose.effective import EffectiveFile
from gymctl.engines.compose.update_order import PUBLISHES, stop_first_reasons
from gymctl.engines.compose.version import ServiceVersion, StackVersion
from gymctl.engines.docker.containers import Container
from gymctl.engines.own_folder import FOLDER
from gymctl.engines.state import find_state
from gymctl.stack.service import EGRESS_IMPLEMENTATION
from gymctl.stack.service_names import EDGE_SERVICE

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
SLICE = "NEMO_GYM_CONFIG_DICT"
_SECRETS = "secrets"
_DIGITS = 8
_LONGEST = 80

_ABSENT = {EDGE_SERVICE: "no server is exposed (--expose)"}
"""Why a service of gymctl's own, by its name, is not part of a stack."""


class Action(StrEnum):
    """What happens to the containers of a service."""

    UNCHANGED = "unchanged"
    CREATED = "created"
    REPLACED = "replaced"
    STARTED = "started"
    SCALED = "scaled"
    REMOVED = "removed"


@dataclass(frozen=True)
class Difference:
    """Why a service changes: a value before and after. Empty text: there is none."""

    path: tuple[str, ...]
    """Keys that lead to the value: of the configuration, or of the service in the rendered file."""
    old: str
    new: str

    @property
    def in_configuration(self) -> bool:
        """Whether ``path`` leads into the configuration."""
        return self.path[:1] == (SLICE,)


@dataclass(frozen=True)
class ServiceChange:
    """What happens to one service, and why. ``replicas`` and ``running`` are numbers of containers."""

    name: str
    """The server's name."""
    service: str
    action: Action
    running: int
    replicas: int
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()
    """Reasons that are not values, such as a container that has stopped."""
    stop_first: str = ""
    """Why old containers must stop before new ones start; empty: the new ones start first."""

    @property
    def has_other_secrets(self) -> bool:
        """Whether a secret that it reads has another value."""
        return any(difference.path[:1] == (_SECRETS,) for difference in self.differences)


def changes_of_stack(
    version: StackVersion, file: Path, effective: EffectiveFile, containers: Iterable[Container]
) -> list[ServiceChange]:
    """What ``up`` would do to each service, with a version whose file is ``file``. Writes nothing.

    Args:
        version: the version to run.
        file: its rendered file, which still has what was rendered before.
        effective: the version as Compose understands it.
        containers: what is there now.
    """
    earlier_text = ""
    if find_state(file.parent) is not None and file.exists():
        earlier_text = file.read_text("utf-8")
    return find_changes(
        version,
        text=effective.text,
        earlier_text=earlier_text,
        digests=effective.digests,
        stop_first=stop_first_reasons(effective.document["services"]),
        containers=containers,
        directory=file.parent,
    )


def find_changes(
    version: StackVersion,
    *,
    text: str,
    earlier_text: str,
    digests: Mapping[str, str],
    stop_first: Mapping[str, str],
    containers: Iterable[Container],
    directory: Path,
) -> list[ServiceChange]:
    """What ``up`` would do to each service, in its order, then to those that the version does not have.

    Args:
        version: the version to run.
        text: it, rendered.
        earlier_text: what was rendered before; empty: nothing was.
        digests: Compose's digest of each service in ``text``.
        stop_first: why the old containers of a service must stop before new ones start, by service.
        containers: what is there now.
        directory: where the stack is started, and its secrets are.
    """
    by_service: dict[str, list[Container]] = defaultdict(list)
    for container in containers:
        by_service[container.service].append(container)
    before = _services(earlier_text)
    after = _services(text)
    secrets = _changed_secrets(directory, version.secrets)
    changes = []
    for service in version.services:
        there = by_service.pop(service.name, [])
        values = [*differences((), before.get(service.name), after[service.name])] if before else []
        of_secrets = [secrets[name] for name in service.secrets if name in secrets] if there else []
        change = _change(service, there, digests.get(service.name, ""), values, of_secrets)
        changes.append(replace(change, stop_first=stop_first.get(service.name, "")))
    for name, there in sorted(by_service.items()):
        note = _ABSENT.get(name, "the configuration has no such server")
        if there[0].implementation == EGRESS_IMPLEMENTATION:
            note = "its server has no list of hosts in 'egress'"
        change = ServiceChange(
            name=name, service=name, action=Action.REMOVED, running=len(there), replicas=0, notes=(note,)
        )
        changes.append(change)
    return _with_dependents(changes, {service.name: service.needs for service in version.services})


def _with_dependents(changes: Sequence[ServiceChange], needs: Mapping[str, Sequence[str]]) -> list[ServiceChange]:
    """The changes; a service that is replaced with one that it needs, and that stops first, stops first too."""
    replaced = {change.service: change for change in changes if change.action is Action.REPLACED}
    stopped = {name for name, change in replaced.items() if change.stop_first and change.stop_first != PUBLISHES}
    result = []
    for change in changes:
        blocking = sorted(stopped & set(needs.get(change.service, ())))
        if blocking and change.service in replaced and not change.stop_first:
            reason = f"it depends on {replaced[blocking[0]].name}, which stops first"
            result.append(replace(change, stop_first=reason))
        else:
            result.append(change)
    return result


def _change(
    service: ServiceVersion,
    there: Sequence[Container],
    digest: str,
    differences: Sequence[Difference],
    secrets: Sequence[Difference],
) -> ServiceChange:
    """What happens to a service of the version."""
    is_outdated = any(container.config_digest != digest for container in there)
    stopped = [item for item in there if item.state not in ("running", "restarting") and not item.done]
    is_scaled = bool(there) and len(there) != service.replicas
    surplus = max(0, len(there) - service.replicas)  # those that have stopped go first
    notes = [f"a container has stopped (exit code {item.exit_code})" for item in stopped]
    if is_scaled:
        notes.append(f"{len(there)} replicas exist, {service.replicas} are configured")
    if is_outdated and not differences:
        notes.append("it was started from another file, such as a changed compose.override.yaml")
    possible = {
        Action.CREATED: not there,
        Action.REPLACED: is_outdated or (bool(secrets) and len(stopped) < len(there)),
        Action.STARTED: len(stopped) > surplus,
        Action.SCALED: is_scaled,
    }
    return ServiceChange(
        name=service.title,
        service=service.name,
        action=next((action for action, applies in possible.items() if applies), Action.UNCHANGED),
        running=len(there),
        replicas=service.replicas,
        differences=(*(differences if is_outdated else ()), *secrets),
        notes=tuple(notes),
    )


def _services(text: str) -> dict[str, Any]:
    """The services of a rendered file; none if it is not one any more."""
    try:
        document = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe one
        return {name: _with_slice(service) for name, service in document["services"].items()}
    except (yaml.YAMLError, TypeError, KeyError, AttributeError):
        return {}


def _with_slice(service: dict[str, Any]) -> dict[str, Any]:
    """A service whose configuration is a mapping at its top instead of a text in its environment."""
    environment = dict(service.get("environment") or {})
    text = environment.pop(SLICE, "")
    parsed = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe one
    return {**service, "environment": environment, SLICE: parsed}


def differences(path: tuple[str, ...], old: Any, new: Any) -> Iterator[Difference]:
    """The values that differ between two mappings of mappings; ``path`` is where they are."""
    if old == new:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys((*old, *new)):
            yield from differences((*path, str(key)), old.get(key), new.get(key))
    else:
        yield Difference(path, _short(old), _short(new))


def _short(value: Any) -> str:
    """A value in one line; empty for none."""
    if value is None:
        return ""
    text = " ".join(str(value).replace("$$", "$").split())
    if len(text) > _LONGEST:
        return f"{text[:_LONGEST]}..."
    return text


def _changed_secrets(directory: Path, secrets: Mapping[str, str]) -> dict[str, Difference]:
    """Secrets that a file has with another content, as the beginnings of digests."""
    changed = {}
    for name, value in secrets.items():
        path = directory / FOLDER / _SECRETS / name
        content = value.encode("utf-8", "surrogateescape")
        if not path.is_file() or path.read_bytes() != content:
            old = f"sha256:{_digest(path.read_bytes())}" if path.is_file() else ""
            changed[name] = Difference((_SECRETS, name), old, f"sha256:{_digest(content)}")
    return changed


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_DIGITS]


def actions_between(before: Iterable[Container], after: Iterable[Container]) -> Counter[str]:
    """How many services a start has left, created, replaced, started or removed, seen by their containers."""
    earlier = _runs(before)
    later = _runs(after)
    return Counter(_action(earlier.get(name, {}), later.get(name, {})).value for name in earlier.keys() | later.keys())


def _runs(containers: Iterable[Container]) -> dict[str, dict[str, str]]:
    """When each container started, by service and container."""
    runs: dict[str, dict[str, str]] = defaultdict(dict)
    for item in containers:
        runs[item.service][item.id] = item.started_at
    return runs


def _action(earlier: Mapping[str, str], later: Mapping[str, str]) -> Action:
    """What was done to a service."""
    remaining = earlier.keys() & later.keys()
    if not earlier:
        return Action.CREATED
    if not later:
        return Action.REMOVED
    if not remaining:
        return Action.REPLACED
    if any(earlier[item] != later[item] for item in remaining):
        return Action.STARTED
    if earlier.keys() != later.keys():
        return Action.SCALED
    return Action.UNCHANGED
