"""What starting a stack would change: its services compared with the containers that are there.

Compose decides by a digest of each service whether a container is replaced; it is asked for that digest. It does not
see the content of secrets, which is compared here.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from gymctl.engines.compose.command import compose_command
from gymctl.engines.docker.containers import Container, find_containers
from gymctl.engines.runner import run
from gymctl.engines.state import FOLDER, find_state
from gymctl.stack.plan import StackPlan
from gymctl.stack.service import ServicePlan
from gymctl.stack.service_names import EDGE_SERVICE

if TYPE_CHECKING:
    import docker

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
SLICE = "NEMO_GYM_CONFIG_DICT"
_DIGITS = 8
_LONGEST = 80

_ABSENT = {EDGE_SERVICE: "no server is exposed (--expose)"}
"""Why a service of gymctl's own, by its name, is not part of a stack."""


class Action(StrEnum):
    """What happens to the containers of a service."""

    UNCHANGED = "unchanged"
    CREATED = "created"
    REPLACED = "replaced"
    RESTARTED = "restarted"
    """The same containers, stopped and started again: they read their secrets when they start."""
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
    action: Action
    running: int
    replicas: int
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()
    """Reasons that are not values, such as a container that has stopped."""


def service_digests(name: str, file: Path, text: str) -> dict[str, str]:
    """Compose's digest of each service in the rendered ``text``, as if it were in ``file``. Writes nothing there.

    Raises:
        CommandFailed: Compose does not accept the text, or an override file.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as draft:
        draft.write(text)
        draft.flush()
        command = compose_command(name, file, "config", "--hash", "*")
        command[command.index(str(file))] = draft.name
        output = run(command, cwd=file.parent, timeout=60).stdout
    lines = (line.split() for line in output.splitlines())
    return {parts[0]: parts[1] for parts in lines if len(parts) == 2}


def changes_of_stack(client: docker.DockerClient, plan: StackPlan, file: Path, text: str) -> list[ServiceChange]:
    """What ``up`` with the rendered ``text``, to be written to ``file``, would do to each service. Writes nothing.

    Raises:
        CommandFailed: Compose does not accept the text.
    """
    earlier_text = ""
    if find_state(file.parent) is not None and file.exists():
        earlier_text = file.read_text("utf-8")
    return find_changes(
        plan,
        text=text,
        earlier_text=earlier_text,
        digests=service_digests(plan.name, file, text),
        containers=find_containers(client, plan.name),
        directory=file.parent,
    )


def find_changes(
    plan: StackPlan,
    *,
    text: str,
    earlier_text: str,
    digests: Mapping[str, str],
    containers: Iterable[Container],
    directory: Path,
) -> list[ServiceChange]:
    """What ``up`` would do to each service, in the order of the plan, then to those that the plan does not have.

    Args:
        plan: the stack to run.
        text: it, rendered.
        earlier_text: what was rendered before; empty: nothing was.
        digests: Compose's digest of each service in ``text``.
        containers: what is there now.
        directory: where the stack is started, and its secrets are.
    """
    by_service: dict[str, list[Container]] = defaultdict(list)
    for container in containers:
        by_service[container.service].append(container)
    before = _services(earlier_text)
    after = _services(text)
    secrets = _changed_secrets(directory, plan.secrets)
    changes = []
    for service in plan.services:
        there = by_service.pop(service.name, [])
        values = [*differences((), before.get(service.name), after[service.name])] if before else []
        of_secrets = [secrets[name] for name in service.secrets if name in secrets] if there else []
        changes.append(_change(service, there, digests.get(service.name, ""), values, of_secrets))
    for name, there in sorted(by_service.items()):
        note = _ABSENT.get(name, "the configuration has no such server")
        changes.append(ServiceChange(name, Action.REMOVED, running=len(there), replicas=0, notes=(note,)))
    return changes


def _change(
    service: ServicePlan,
    there: Sequence[Container],
    digest: str,
    differences: Sequence[Difference],
    secrets: Sequence[Difference],
) -> ServiceChange:
    """What happens to a service that is planned."""
    is_replaced = any(container.config_digest != digest for container in there)
    stopped = [item for item in there if item.state not in ("running", "restarting") and not item.done]
    is_scaled = bool(there) and len(there) != service.replicas
    notes = [f"a container has stopped (exit code {item.exit_code})" for item in stopped]
    if is_scaled:
        notes.append(f"{len(there)} replicas are there, {service.replicas} are configured")
    if is_replaced and not differences:
        notes.append("it was started from another file, such as a changed compose.override.yaml")
    possible = {
        Action.CREATED: not there,
        Action.REPLACED: is_replaced,
        Action.RESTARTED: bool(secrets) and len(stopped) < len(there),
        Action.STARTED: bool(stopped),
        Action.SCALED: is_scaled,
    }
    return ServiceChange(
        name=service.title,
        action=next((action for action, applies in possible.items() if applies), Action.UNCHANGED),
        running=len(there),
        replicas=service.replicas,
        differences=(*(differences if is_replaced else ()), *secrets),
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
        path = directory / FOLDER / "secrets" / name
        content = value.encode("utf-8", "surrogateescape")
        if not path.is_file() or path.read_bytes() != content:
            old = f"sha256:{_digest(path.read_bytes())}" if path.is_file() else ""
            changed[name] = Difference(("secrets", name), old, f"sha256:{_digest(content)}")
    return changed


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_DIGITS]


def actions_between(before: Iterable[Container], after: Iterable[Container]) -> Counter[str]:
    """How many services a start has left, created, replaced, restarted or removed, seen by their containers."""
    earlier = _runs(before)
    later = _runs(after)
    return Counter(_action(earlier.get(name, {}), later.get(name, {})).value for name in earlier.keys() | later.keys())


def _runs(containers: Iterable[Container]) -> dict[str, dict[str, tuple[str, bool]]]:
    """By service and container: when it started, and whether it runs."""
    runs: dict[str, dict[str, tuple[str, bool]]] = defaultdict(dict)
    for item in containers:
        runs[item.service][item.id] = (item.started_at, item.state == "running")
    return runs


def _action(earlier: Mapping[str, tuple[str, bool]], later: Mapping[str, tuple[str, bool]]) -> Action:
    """What was done to a service."""
    remaining = earlier.keys() & later.keys()
    if not earlier:
        return Action.CREATED
    if not later:
        return Action.REMOVED
    if not remaining:
        return Action.REPLACED
    if any(earlier[item][0] != later[item][0] for item in remaining):
        return Action.RESTARTED if all(earlier[item][1] for item in remaining) else Action.STARTED
    if earlier.keys() != later.keys():
        return Action.SCALED
    return Action.UNCHANGED
