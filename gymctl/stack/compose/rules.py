"""Rules for a Compose document in addition to the specification's schema. Each rule has a code that stays.

GYM001 the schema                          GYM010 one host port published twice
GYM002 a network that is not declared      GYM011 an environment variable the kernel refuses
GYM003 a volume that is not declared       GYM012 count together with device_ids
GYM004 a secret that is not declared       GYM013 a ``$`` in a key, which Compose does not unescape
GYM005 a config that is not declared       GYM014 waiting for the health of a service without a healthcheck
GYM006 depends_on an unknown service       GYM015 not a size in bytes
GYM007 services that wait for each other   GYM016 start_interval without start_period, which ignores it
GYM008 not a duration                      GYM017 a NUL in an environment variable
GYM009 not a port
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from gymctl.config.sizes import is_size
from gymctl.config.vocabulary import EVERY_INTERFACE
from gymctl.config.wording import did_you_mean
from gymctl.errors import Problem
from gymctl.stack.compose.model import ComposeDocument, Mount, Service
from gymctl.stack.compose.schema import schema_errors

MAX_VARIABLE = 131_072  # bytes of NAME=value and its final NUL (Linux MAX_ARG_STRLEN)

_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+")
_HEALTH_TIMES = ("start_period", "start_interval", "interval", "timeout")


def check_document(document: ComposeDocument) -> list[Problem]:
    """Everything wrong with a document, in the order of the codes' groups; each message begins with its code."""
    data = document.plain()
    problems = [Problem(where, f"GYM001 {message}") for where, message in schema_errors(data)]
    problems += _dollar_keys(data, "")
    for name, service in document.services.items():
        where = f"services.{name}"
        for rule in (_declared, _durations, _sizes, _ports, _devices, _environment):
            problems += rule(where, service, document)
    problems += _dependencies(document)
    problems += _published_twice(document)
    return problems


def _declared(where: str, service: Service, document: ComposeDocument) -> Iterator[Problem]:
    used = (
        ("GYM002", "network", service.networks or (), {"default", *(document.networks or ())}),
        ("GYM003", "volume", _volumes(service), set(document.volumes or ())),
        ("GYM004", "secret", _sources(service.secrets), set(document.secrets or ())),
        ("GYM005", "config", _sources(service.configs), set(document.configs or ())),
    )
    for code, kind, names, known in used:
        for name in names:
            if name not in known:
                yield Problem(
                    f"{where}.{kind}s", f"{code} the {kind} {name!r} is not declared", _near(name, known, kind)
                )


def _near(name: str, known: set[str], kind: str) -> str:
    return did_you_mean(name, known) or f"declare it under the top-level {kind}s"


def _sources(items: list[Any] | None) -> list[str]:
    return [item if isinstance(item, str) else item.source for item in items or ()]


def _volumes(service: Service) -> Iterator[str]:
    """Names of volumes, not paths of bind mounts."""
    for item in service.volumes or ():
        if isinstance(item, Mount):
            if item.type == "volume" and item.source:
                yield item.source
        elif ":" in item and item[0] not in "./~":
            yield item.partition(":")[0]


def _durations(where: str, service: Service, _: ComposeDocument) -> Iterator[Problem]:
    health = service.healthcheck
    if health:
        values = {f"healthcheck.{key}": getattr(health, key) for key in _HEALTH_TIMES}
    else:
        values = {}
    values["stop_grace_period"] = service.stop_grace_period
    deploy = service.deploy
    for part, keys in (("update_config", ("delay", "monitor")), ("restart_policy", ("delay", "window"))):
        if deploy:
            policy = getattr(deploy, part)
        else:
            policy = None
        if policy:
            values |= {f"deploy.{part}.{key}": getattr(policy, key) for key in keys}
        else:
            values |= {}
    for key, value in values.items():
        if value is not None and not _DURATION.fullmatch(value):
            yield Problem(f"{where}.{key}", f"GYM008 {value!r} is not a duration", "use a form like 1m30s or 250ms")
    if health and health.start_interval and not health.start_period:
        yield Problem(f"{where}.healthcheck", "GYM016 start_interval has no effect without start_period", "set both")


def _sizes(where: str, service: Service, _: ComposeDocument) -> Iterator[Problem]:
    for key, value in _all_sizes(service).items():
        if value is not None and not is_size(value):
            yield Problem(f"{where}.{key}", f"GYM015 {value!r} is not a size", "use a form like 512mb or 16gb")


def _all_sizes(service: Service) -> dict[str, Any]:
    """Every size of a service, by the place of its key."""
    sizes: dict[str, Any] = {"shm_size": service.shm_size}
    if service.deploy is None or service.deploy.resources is None:
        return sizes
    for part in ("limits", "reservations"):
        resources = getattr(service.deploy.resources, part)
        if resources:
            sizes[f"deploy.resources.{part}.memory"] = resources.memory
    return sizes


def _ports(where: str, service: Service, _: ComposeDocument) -> Iterator[Problem]:
    for port in service.ports or ():
        for number in (port.target, port.published):
            if number is not None and not _is_port(str(number)):
                problem = f"GYM009 {str(number)!r} is not a port"
                yield Problem(f"{where}.ports", problem, "a port is a number from 1 to 65535")


def _is_port(text: str) -> bool:
    return text.isdecimal() and 0 < int(text) < 65536


def _devices(where: str, service: Service, _: ComposeDocument) -> Iterator[Problem]:
    if service.deploy is None or service.deploy.resources is None:
        return
    for device in service.deploy.resources.devices():
        if device.count is not None and device.device_ids is not None:
            place = f"{where}.deploy.resources.reservations.devices"
            yield Problem(place, "GYM012 count and device_ids are mutually exclusive", "keep one of them")


def _environment(where: str, service: Service, _: ComposeDocument) -> Iterator[Problem]:
    for name, value in (service.environment or {}).items():
        place = f"{where}.environment.{name}"
        size = len(name.encode()) + len(value.encode()) + 2
        if size > MAX_VARIABLE:
            message = f"GYM011 {size:,} bytes exceed the limit of one environment variable ({MAX_VARIABLE:,})"
            yield Problem(place, message, "mount it as a file")
        if "\0" in value:
            yield Problem(place, "GYM017 an environment variable cannot contain a NUL character", "remove it")


def _dependencies(document: ComposeDocument) -> Iterator[Problem]:
    services = document.services
    graph: dict[str, set[str]] = {}
    for name, service in services.items():
        graph[name] = set()
        where = f"services.{name}.depends_on"
        for other, dependency in (service.depends_on or {}).items():
            if other not in services:
                yield Problem(where, f"GYM006 unknown service {other!r}", _near(other, set(services), "service"))
                continue
            graph[name].add(other)
            check = services[other].healthcheck
            if dependency.condition == "service_healthy" and (check is None or check.disable):
                message = f"GYM014 it waits for {other!r} to be healthy, but {other!r} has no healthcheck"
                yield Problem(where, message, "add a healthcheck to it, or wait for service_started")
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = " -> ".join(reversed(error.args[1]))
        yield Problem("services", f"GYM007 services wait for each other: {circle}", "remove one of these depends_on")


def _published_twice(document: ComposeDocument) -> Iterator[Problem]:
    taken: dict[tuple[str, str], dict[str, str]] = {}
    for name, service in document.services.items():
        for port in service.ports or ():
            if port.published is None:
                continue
            here = taken.setdefault((str(port.published), port.protocol or "tcp"), {})
            address = port.host_ip or EVERY_INTERFACE
            clash = next(
                (other for ip, other in here.items() if ip == address or EVERY_INTERFACE in (ip, address)), None
            )
            if clash is not None:
                message = f"GYM010 port {port.published} on this machine is already published by {clash}"
                yield Problem(f"services.{name}.ports", message, "publish another port")
            here.setdefault(address, name)


def _dollar_keys(value: Any, where: str) -> Iterator[Problem]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if "$" in key:
                yield Problem(where, f"GYM013 the key {key!r} contains a $", "rename it; Compose cannot express it")
            yield from _dollar_keys(item, f"{where}.{key}" if where else key)
    elif isinstance(value, list):
        for item in value:
            yield from _dollar_keys(item, where)
