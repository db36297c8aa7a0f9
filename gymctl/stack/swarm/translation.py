"""A Compose document as a stack file: a pure function that reports its changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from gymctl.errors import ConfigError, Problem
from gymctl.stack.compose.model import INHIBIT_ADDRESS, ComposeDocument, Network
from gymctl.stack.swarm.depends_on import left_out
from gymctl.stack.swarm.key_coverage import unknown_keys
from gymctl.stack.swarm.options import SwarmOptions
from gymctl.stack.swarm.report import KeyChange, TranslationReport
from gymctl.stack.swarm.secrets_and_configs import translate_stored
from gymctl.stack.swarm.service_keys import translate_service

DEFAULT_NETWORK = "default"
ENCRYPTED = "encrypted"
"""Option of an overlay network."""
_LONGEST_NAME = 63
_BRIDGE_OPTIONS = "com.docker.network.bridge."


@dataclass(frozen=True)
class Translation:
    """A stack file's document, the translation report, and files to write next to it (relative path -> bytes)."""

    name: str
    document: ComposeDocument
    changes: tuple[KeyChange, ...]
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)


def translate(document: ComposeDocument, options: SwarmOptions | None = None) -> Translation:
    """The document for ``docker stack deploy``.

    Raises:
        ConfigError: it contains something essential that Swarm cannot do, or a key without a translation.
    """
    options = options or SwarmOptions()
    name = document.name or "gym"
    problems = [*unknown_keys(document), *_name_problems(document, name)]
    if problems:
        raise ConfigError(problems)
    whole = TranslationReport()
    whole.translated("name", f"the stack name: docker stack deploy -c FILE {name}")
    reports = {service_name: TranslationReport(service_name) for service_name in document.services}
    absent = left_out(document, reports.__getitem__)
    services = {
        key: translate_service(service, absent, options, reports[key], problems)
        for key, service in document.services.items()
        if key not in absent
    }
    stored, files = translate_stored(document, name, options, whole, problems)
    networks = _networks(document, options, whole)
    if problems:
        raise ConfigError(problems)
    after = document.model_copy(update={"name": None, "services": services, "networks": networks, **stored})
    changes = [change for report in (whole, *reports.values()) for change in report.changes]
    return Translation(name, after, tuple(changes), files)


def _name_problems(document: ComposeDocument, stack: str) -> Iterator[Problem]:
    """Swarm puts the stack's name before a service's, and takes 63 characters (swarmkit's controlapi/service.go)."""
    for name in document.services:
        long = len(f"{stack}_{name}") - _LONGEST_NAME
        if long > 0:
            hint = (
                f"give the stack a name of {len(stack) - long} characters at most (--name NAME), or rename the server"
            )
            if not (len(stack) > long):
                hint = "rename the server"
            problem = f"{stack}_{name} is {long} characters longer than Swarm's limit for service names"
            yield Problem(f"services.{name}", problem, hint)


def _networks(document: ComposeDocument, options: SwarmOptions, report: TranslationReport) -> dict[str, Network | None]:
    """All networks as overlays; the default network is written explicitly, so that jobs can join it."""
    present = dict(document.networks or {})
    if DEFAULT_NETWORK not in present and _uses_default_network(document):
        present[DEFAULT_NETWORK] = None
    return {name: _network(name, item, options, report) for name, item in present.items()}


def _uses_default_network(document: ComposeDocument) -> bool:
    attached = (item.networks for item in document.services.values())
    return any(names is None or DEFAULT_NETWORK in names for names in attached)


def _network(name: str, network: Network | None, options: SwarmOptions, report: TranslationReport) -> Network:
    before = network or Network()
    if before.external:
        report.translated("networks", f"{name}: it must already exist as an attachable overlay")
        return before
    if before.driver not in (None, "bridge", "overlay"):
        report.lost("networks", f"{name}: Docker decides whether a Swarm can use a {before.driver} network")
        return before
    kept = {key: value for key, value in (before.driver_opts or {}).items() if not key.startswith(_BRIDGE_OPTIONS)}
    lost = set(before.driver_opts or {}) - set(kept)
    if before.internal:
        lost -= {INHIBIT_ADDRESS}  # an internal overlay has no address of the node
    for key in sorted(lost):
        report.lost("networks", f"{name}: {key} applies to bridge networks; this is an overlay")
    kind = "attachable overlay"
    if options.is_encrypted:
        kept[ENCRYPTED] = ""
        kind = "attachable, encrypted overlay"
    report.translated("networks", f"{name}: an {kind} across all nodes")
    return before.model_copy(update={"driver": "overlay", "attachable": True, "driver_opts": kept or None})
