"""A Compose document as a stack file: a pure function that says what it changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from gymctl.errors import ConfigError, Problem
from gymctl.stack.document import ComposeDocument, Network, Service, StoredFile
from gymctl.stack.swarm.changes import Change, Report
from gymctl.stack.swarm.keys import unknown_keys
from gymctl.stack.swarm.options import SwarmOptions
from gymctl.stack.swarm.service import translate_service

DEFAULT_NETWORK = "default"
_BRIDGE_OPTIONS = "com.docker.network.bridge."
_LONGEST_NAME = 64  # of a secret or config in a swarm
_LARGEST = {"secrets": 500_000, "configs": 1_000_000}  # bytes that a swarm stores (Engine API documentation)


@dataclass(frozen=True)
class Translation:
    """A stack file's document, what changed on the way, and files to write beside it (relative path -> bytes)."""

    name: str
    document: ComposeDocument
    changes: tuple[Change, ...]
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)


def translate(document: ComposeDocument, options: SwarmOptions | None = None) -> Translation:
    """The document for ``docker stack deploy``.

    Raises:
        ConfigError: it holds what Swarm cannot do and nobody would want to lose, or a key without a translation.
    """
    options = options or SwarmOptions()
    problems = unknown_keys(document)
    if problems:
        raise ConfigError(problems)
    name = document.name or "gym"
    whole = Report()
    whole.translated("name", f"the stack's name: docker stack deploy -c FILE {name}")
    changes: list[Change] = []
    services: dict[str, Service] = {}
    for service_name, service in document.services.items():
        report = Report(service_name)
        translated = translate_service(service, options, report, problems)
        changes += report.changes
        if translated is not None:
            services[service_name] = translated
    stored = {
        kind: _stored(kind, getattr(document, kind), name, options, whole, problems) for kind in ("secrets", "configs")
    }
    networks = _networks(document, whole)
    if problems:
        raise ConfigError(problems)
    after = document.model_copy(update={"name": None, "services": services, "networks": networks, **stored})
    return Translation(name, after, (*whole.changes, *changes))


def _networks(document: ComposeDocument, report: Report) -> dict[str, Network | None]:
    """All networks as overlays; that of services which name none is written down, so that jobs can join it."""
    networks: dict[str, Network | None] = {
        name: _network(name, item, report) for name, item in (document.networks or {}).items()
    }
    if DEFAULT_NETWORK not in networks and any(item.networks is None for item in document.services.values()):
        networks[DEFAULT_NETWORK] = Network(driver="overlay", attachable=True)
        report.translated("networks", f"{DEFAULT_NETWORK}: an overlay over all nodes, which jobs may attach to")
    return networks


def _network(name: str, network: Network | None, report: Report) -> Network:
    before = network or Network()
    if before.external:
        report.translated("networks", f"{name}: it must be an attachable overlay that is there already")
        return before
    if before.driver not in (None, "bridge"):
        return before
    options = {key: value for key, value in (before.driver_opts or {}).items() if not key.startswith(_BRIDGE_OPTIONS)}
    for key in sorted(set(before.driver_opts or {}) - set(options)):
        report.lost("networks", f"{name}: {key} is an option of bridges, and this is an overlay")
    report.translated("networks", f"{name}: an overlay over all nodes, which jobs may attach to")
    return before.model_copy(update={"driver": "overlay", "attachable": True, "driver_opts": options or None})


def _stored(
    kind: str,
    items: Mapping[str, StoredFile] | None,
    stack: str,
    options: SwarmOptions,
    report: Report,
    problems: list[Problem],
) -> dict[str, StoredFile] | None:
    """Secrets or configs under names that tell their content: Swarm changes none, a new content is a new one."""
    stored = dict(items or {})
    ours = {key: item for key, item in stored.items() if not item.external}
    files = ((key, item.file or "") for key, item in ours.items())
    known = {key: options.contents[file] for key, file in files if file in options.contents}
    for key, content in known.items():
        if len(content) > _LARGEST[kind]:
            what = f"{key} has {len(content):,} bytes, and a swarm stores {_LARGEST[kind]:,}"
            problems.append(Problem(f"{kind}.{key}", what, "put it into the image or a volume"))
        name = stored_name(stack, ours[key].name or key, content, slow=kind == "secrets")
        stored[key] = ours[key].model_copy(update={"name": name})
    if known:
        report.translated(kind, f"{', '.join(known)}: named with a digest; a changed one restarts its readers")
    if unknown := sorted(set(ours) - set(known)):
        report.lost(kind, f"{', '.join(unknown)}: no digest in the name, so that a changed one cannot be deployed")
    return stored or None


def stored_name(stack: str, key: str, content: bytes, *, slow: bool) -> str:
    """The name of a secret or config: of the stack, its key, and 12 hexadecimal digits that change with the content.

    ``slow`` makes them of a function that takes its time (50 ms), so that nobody guesses a short secret by its name.
    """
    salt = f"{stack}/{key}".encode()
    digest = (
        hashlib.scrypt(content, salt=salt, n=2**14, r=8, p=1, dklen=6).hex()
        if slow
        else (hashlib.sha256(salt + b"\0" + content).hexdigest()[:12])
    )
    return f"{stack}_{key}"[: _LONGEST_NAME - len(digest) - 1] + f"_{digest}"
