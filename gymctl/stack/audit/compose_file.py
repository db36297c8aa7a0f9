"""A Compose or stack file as the subject of an audit, in the specification's short and long forms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from gymctl.config.vocabulary import DEFAULT_NETWORK
from gymctl.errors import InputError
from gymctl.stack import labels
from gymctl.stack.audit.subject import AuditedContainer, AuditedMount, AuditedNetwork, AuditedPort, AuditedStack
from gymctl.stack.compose.model import INHIBIT_ADDRESS
from gymctl.stack.compose.schema import schema_errors
from gymctl.stack.compose.yaml import single_dollars

SLICE = "NEMO_GYM_CONFIG_DICT"
SERVER = "NEMO_GYM_CONFIG_PATH"
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_OVERLAY = "overlay"
_BOUNDED_DRIVERS = frozenset({"json-file", "local"})
_LIMITS = {"memory": ("mem_limit",), "cpus": ("cpus", "cpuset", "cpu_shares"), "pids": ("pids_limit",)}
"""Resources by their key under ``limits``, and the older keys of a service."""
_UNLIMITED = ("0", "-1")
_NAMESPACES = {"pid": "pid", "ipc": "ipc", "network": "network_mode", "uts": "uts", "userns": "userns_mode"}


def stack_of_text(text: str, where: str, directory: Path) -> AuditedStack:
    """The stack that a file describes.

    Args:
        text: the file's content.
        where: its name, for messages.
        directory: its folder, from which it names others.

    Raises:
        InputError: it is not YAML, or not a Compose file.
    """
    try:
        document = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe one
    except yaml.YAMLError as error:
        raise InputError(f"{where}: it is not YAML: {error}", "audit a file that `gymctl render` wrote") from error
    for place, problem in schema_errors(document):
        message = ": ".join(filter(None, (where, place, problem)))
        raise InputError(message, "audit a Compose file, such as one that `gymctl render` wrote")
    return stack_of_document(single_dollars(document), where, directory)


def stack_of_document(document: Mapping[str, Any], name: str, directory: Path) -> AuditedStack:
    """The stack of a document that keeps to the specification's schema; ``name`` is used where it has none."""
    networks = {key: _network(key, value or {}) for key, value in (document.get("networks") or {}).items()}
    is_swarm = any(network.driver == _OVERLAY for network in networks.values())
    services = document.get("services") or {}
    containers = tuple(_container(key, service, is_swarm=is_swarm) for key, service in services.items())
    if any(DEFAULT_NETWORK in container.networks for container in containers):
        networks.setdefault(DEFAULT_NETWORK, AuditedNetwork(DEFAULT_NETWORK))
    secrets = document.get("secrets") or {}
    files = {key: directory / value["file"] for key, value in secrets.items() if value and value.get("file")}
    return AuditedStack(
        name=str(document.get("name") or name), containers=containers, networks=networks, secret_files=files
    )


def parsed_slice(text: str) -> dict[str, Any]:
    """A container's part of the configuration; empty where it is not one."""
    try:
        value = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe one
    except yaml.YAMLError:
        return {}
    if isinstance(value, dict):
        return value
    return {}


def bounded_log(driver: str, options: Mapping[str, Any]) -> bool:
    """Whether what a log driver writes on this machine has a limit; others write elsewhere."""
    return driver not in _BOUNDED_DRIVERS or "max-size" in options or driver == "local"


def tmpfs_size(options: str) -> str:
    """The size among the options of a file system in memory, such as ``exec,size=64m``; empty: none."""
    sizes = [option.partition("=")[2] for option in options.split(",") if option.startswith("size=")]
    return "".join(sizes[-1:])


def _container(name: str, service: Mapping[str, Any], *, is_swarm: bool) -> AuditedContainer:
    marks = dict(_pairs(service.get("labels")))
    environment = dict(_pairs(service.get("environment")))
    server = environment.get(SERVER) or marks.get(labels.SERVER, name)
    return AuditedContainer(
        service=name,
        kind=marks.get(labels.KIND, ""),
        server=server,
        image=str(service.get("image", "")),
        pull_policy=None if is_swarm else str(service.get("pull_policy", "missing")),
        user=str(service["user"]) if "user" in service else None,
        command=_words(service.get("command")),
        environment=environment,
        slice=parsed_slice(environment.get(SLICE, "")),
        secrets=tuple(_names(service.get("secrets"))),
        is_privileged=_is_true(service.get("privileged")),
        is_read_only=_is_true(service.get("read_only")),
        added_capabilities=frozenset(name.upper() for name in _names(service.get("cap_add"))),
        dropped_capabilities=frozenset(name.upper() for name in _names(service.get("cap_drop"))),
        security_options=tuple(_names(service.get("security_opt"))),
        namespaces=_namespaces(service),
        devices=tuple(_names(service.get("devices"))),
        sysctls=tuple(key for key, _ in _pairs(service.get("sysctls"))),
        mounts=(*map(_mount, service.get("volumes", ())), *map(_tmpfs, _listed(service.get("tmpfs")))),
        limits=frozenset(_limits(service)),
        is_oom_killable=_is_oom_killable(service),
        log_driver=str(_under(service, "logging").get("driver") or ""),
        ports=tuple(map(_port, service.get("ports", ()))),
        networks=_joined(service),
        extra_hosts=tuple(f"{key}:{value}" for key, value in _pairs(service.get("extra_hosts"), separators="=:")),
        has_healthcheck=_is_checked(_under(service, "healthcheck")),
        completes=marks.get(labels.COMPLETES) == "true",
        has_init=_is_true(service.get("init")),
        restart=str(service.get("restart", "no")),
    )


def _namespaces(service: Mapping[str, Any]) -> dict[str, str]:
    modes = {key: str(service[word]) for key, word in _NAMESPACES.items() if service.get(word)}
    if service.get("cgroup_parent"):
        modes["cgroup_parent"] = str(service["cgroup_parent"])
    return modes


def _limits(service: Mapping[str, Any]) -> Iterator[str]:
    """Which resources are limited."""
    limits = _under(service, "deploy", "resources", "limits")
    logging = _under(service, "logging")
    for name, keys in _LIMITS.items():
        values = [limits.get(name), *(service.get(key) for key in keys)]
        if any(value and str(value) not in _UNLIMITED for value in values):
            yield name
    if "nofile" in _under(service, "ulimits"):
        yield "nofile"
    if bounded_log(str(logging.get("driver") or "json-file"), _under(logging, "options")):
        yield "logs"


def _under(value: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """The mapping at the end of a path of keys; empty where there is none."""
    for key in keys:
        value = value.get(key) or {}
    return value


def _is_oom_killable(service: Mapping[str, Any]) -> bool:
    is_protected = str(service.get("oom_score_adj", "")).startswith("-")
    return not (is_protected or _is_true(service.get("oom_kill_disable")))


def _is_checked(healthcheck: Mapping[str, Any]) -> bool:
    is_off = _is_true(healthcheck.get("disable")) or healthcheck.get("test") in (["NONE"], "NONE")
    return bool(healthcheck) and not is_off


def _joined(service: Mapping[str, Any]) -> tuple[str, ...]:
    if service.get("network_mode"):
        return ()
    return tuple(_names(service.get("networks"))) or (DEFAULT_NETWORK,)


def _network(name: str, network: Mapping[str, Any]) -> AuditedNetwork:
    options = network.get("driver_opts") or {}
    return AuditedNetwork(
        name=name,
        is_internal=_is_true(network.get("internal")),
        has_host_address=str(options.get(INHIBIT_ADDRESS, "")).lower() != "true",
        is_external=bool(network.get("external")),
        driver=str(network.get("driver") or ""),
        is_encrypted="encrypted" in options and str(options["encrypted"]).lower() != "false",
    )


def _port(port: Any) -> AuditedPort:
    """A published port: ``[HOST:][PUBLISHED:]TARGET[/PROTOCOL]`` or a mapping; of a range the first."""
    if isinstance(port, Mapping):
        host = str(port.get("host_ip", ""))
        published = str(port.get("published", ""))
        target = str(port.get("target", ""))
    else:
        outside, _, target = str(port).partition("/")[0].rpartition(":")
        host, _, published = outside.rpartition(":")
    return AuditedPort(host.strip("[]"), _first_number(published), _first_number(target))


def _first_number(text: str) -> int:
    first = text.partition("-")[0]
    return int(first) if first.isdecimal() else 0


def _mount(volume: Any) -> AuditedMount:
    if isinstance(volume, Mapping):
        return AuditedMount(
            type=str(volume["type"]),
            source=str(volume.get("source", "")),
            target=str(volume.get("target", "")),
            is_writable=not _is_true(volume.get("read_only")),
            propagation=str((volume.get("bind") or {}).get("propagation", "")),
            size=str((volume.get("tmpfs") or {}).get("size", "")),
        )
    source, _, rest = str(volume).partition(":")
    target, _, options = rest.partition(":")
    words = options.split(",")
    return AuditedMount(
        type="bind" if source[:1] in ("/", ".", "~") else "volume",
        source=source,
        target=target or source,
        is_writable="ro" not in words,
        propagation=next((word for word in words if word.endswith(("shared", "slave", "private"))), ""),
    )


def _tmpfs(item: str) -> AuditedMount:
    target, _, options = item.partition(":")
    return AuditedMount(type="tmpfs", source="", target=target, is_writable=True, size=tmpfs_size(options))


def _pairs(value: Any, separators: str = "=") -> Iterator[tuple[str, str]]:
    """The pairs of a mapping, or of a list of texts with one of ``separators``."""
    if isinstance(value, Mapping):
        yield from ((str(key), "" if item is None else str(item)) for key, item in value.items())
        return
    for text in value or ():
        positions = [position for mark in separators if (position := str(text).find(mark)) >= 0]
        end = positions[0] if positions else len(str(text))
        yield str(text)[:end], str(text)[end + 1 :]


def _names(value: Any, key: str = "source") -> Iterator[str]:
    """The names in a list of texts or of mappings with ``key``, or the keys of a mapping."""
    for item in value or ():
        name = item.get(key, "") if isinstance(item, Mapping) else item
        if name:
            yield str(name)


def _words(value: Any) -> tuple[str, ...]:
    """A command, as a text or a list of words."""
    if isinstance(value, str):
        return tuple(value.split())
    return tuple(map(str, value or ()))


def _listed(value: Any) -> Sequence[str]:
    if isinstance(value, str):
        return [value]
    return list(value or ())


def _is_true(value: Any) -> bool:
    return value is True or (isinstance(value, str) and value.lower() == "true")
