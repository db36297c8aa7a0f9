"""The containers of a running stack as the subject of an audit, by ``docker inspect``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gymctl.engines.docker.containers import PROJECT, SERVICE
from gymctl.stack.audit.compose_file import SERVER, SLICE, bounded_log, parsed_slice, tmpfs_size
from gymctl.stack.audit.subject import AuditedContainer, AuditedMount, AuditedNetwork, AuditedPort, AuditedStack
from gymctl.stack.compose.model import INHIBIT_ADDRESS
from gymctl.stack.labels import COMPLETES, JOB, KIND, STACK
from gymctl.stack.labels import SERVER as SERVER_LABEL

if TYPE_CHECKING:
    import docker

_SWARM_STACK = "com.docker.stack.namespace"
_SWARM_SERVICE = "com.docker.swarm.service.name"
_SECRETS = "/run/secrets/"
_NAMESPACES = {"pid": "PidMode", "ipc": "IpcMode", "network": "NetworkMode", "uts": "UTSMode", "userns": "UsernsMode"}


def inspect_stack(client: docker.DockerClient, name: str) -> AuditedStack:
    """A running stack as this machine's engine sees it: of each service the first container; jobs are left out."""
    from docker.errors import NotFound

    inspected: dict[str, Mapping[str, Any]] = {}
    for listed in client.api.containers(filters={"label": f"{STACK}={name}"}):
        with suppress(NotFound):  # removed between the list and now
            item = client.api.inspect_container(listed["Id"])
            if JOB not in item["Config"]["Labels"]:
                inspected.setdefault(_service_name(item, name), item)
    joined = {network for item in inspected.values() for network in item["NetworkSettings"]["Networks"]}
    networks = [_network(client.api.inspect_network(network), name) for network in sorted(joined)]
    return AuditedStack(
        name=name,
        containers=tuple(container_of(item, name) for item in inspected.values()),
        networks={network.name: network for network in networks},
        secret_files={name: Path(file) for item in inspected.values() for name, file in _secrets(item) if file},
    )


def container_of(inspected: Mapping[str, Any], stack: str) -> AuditedContainer:
    """A container of the stack ``stack``, as Docker describes it."""
    config = inspected["Config"]
    host = inspected["HostConfig"]
    labels = config.get("Labels") or {}
    environment = dict(text.partition("=")[::2] for text in _listed(config, "Env"))
    service = _service_name(inspected, stack)
    return AuditedContainer(
        service=service,
        kind=labels.get(KIND, ""),
        server=environment.get(SERVER) or labels.get(SERVER_LABEL, service),
        image=config["Image"],
        pull_policy=None,
        user=config.get("User") or "root",
        command=tuple(map(str, _listed(config, "Cmd"))),
        environment=environment,
        slice=parsed_slice(environment.get(SLICE, "")),
        secrets=tuple(name for name, _ in _secrets(inspected)),
        is_privileged=bool(host.get("Privileged")),
        is_read_only=bool(host.get("ReadonlyRootfs")),
        added_capabilities=frozenset(_listed(host, "CapAdd")),
        dropped_capabilities=frozenset(_listed(host, "CapDrop")),
        security_options=tuple(_security_options(inspected)),
        namespaces=_namespaces(host),
        devices=tuple(item["PathOnHost"] for item in _listed(host, "Devices")),
        sysctls=tuple(_listed(host, "Sysctls")),
        mounts=(*_mounts(inspected), *_memory_files(host.get("Tmpfs") or {})),
        limits=frozenset(_limits(host)),
        is_oom_killable=_is_oom_killable(host),
        log_driver=host["LogConfig"]["Type"],
        ports=tuple(_ports(host.get("PortBindings") or {})),
        networks=tuple(_short(network, stack) for network in inspected["NetworkSettings"]["Networks"]),
        extra_hosts=tuple(_listed(host, "ExtraHosts")),
        has_healthcheck=(config.get("Healthcheck") or {}).get("Test", ["NONE"]) != ["NONE"],
        completes=labels.get(COMPLETES) == "true",
        has_init=bool(host.get("Init")),
        restart=host["RestartPolicy"].get("Name") or "no",
    )


def _service_name(inspected: Mapping[str, Any], stack: str) -> str:
    """The service of a container of Compose or of a Swarm."""
    labels = inspected["Config"].get("Labels") or {}
    name = labels.get(SERVICE) or labels.get(_SWARM_SERVICE, "").removeprefix(f"{stack}_")
    return str(name or inspected["Name"].removeprefix("/"))


def _listed(value: Mapping[str, Any], key: str) -> Any:
    """A list or mapping that Docker may give as null."""
    return value.get(key) or ()


def _security_options(inspected: Mapping[str, Any]) -> Iterator[str]:
    """The options of a container, and whether the engine runs it without a profile on a machine with AppArmor."""
    yield from _listed(inspected["HostConfig"], "SecurityOpt")
    if inspected.get("AppArmorProfile") == "unconfined":
        yield "apparmor:unconfined"


def _is_oom_killable(host: Mapping[str, Any]) -> bool:
    return not host.get("OomKillDisable") and (host.get("OomScoreAdj") or 0) >= 0


def _short(network: str, stack: str) -> str:
    """The name of a stack's network in its file."""
    return network.removeprefix(f"{stack}_")


def _network(inspected: Mapping[str, Any], stack: str) -> AuditedNetwork:
    options = inspected.get("Options") or {}
    labels = inspected.get("Labels") or {}
    return AuditedNetwork(
        name=_short(inspected["Name"], stack),
        is_internal=bool(inspected.get("Internal")),
        has_host_address=str(options.get(INHIBIT_ADDRESS, "")).lower() != "true",
        is_external=stack not in (labels.get(PROJECT), labels.get(_SWARM_STACK)),
        driver=inspected.get("Driver", ""),
        is_encrypted="encrypted" in options,
    )


def _namespaces(host: Mapping[str, Any]) -> dict[str, str]:
    modes = {key: str(host[word]) for key, word in _NAMESPACES.items() if host.get(word)}
    if host.get("CgroupParent"):
        modes["cgroup_parent"] = str(host["CgroupParent"])
    return modes


def _limits(host: Mapping[str, Any]) -> Iterator[str]:
    """Which resources are limited."""
    log = host["LogConfig"]
    if host.get("Memory"):
        yield "memory"
    if any(host.get(key) for key in ("NanoCpus", "CpuQuota", "CpusetCpus", "CpuShares")):
        yield "cpus"
    if (host.get("PidsLimit") or 0) > 0:
        yield "pids"
    if any(item["Name"] == "nofile" for item in _listed(host, "Ulimits")):
        yield "nofile"
    if bounded_log(log["Type"], log.get("Config") or {}):
        yield "logs"


def _mounts(inspected: Mapping[str, Any]) -> Iterator[AuditedMount]:
    """The mounts of a container, secrets left out."""
    for item in _listed(inspected, "Mounts"):
        if not item["Destination"].startswith(_SECRETS):
            yield _mount(item)


def _mount(item: Mapping[str, Any]) -> AuditedMount:
    return AuditedMount(
        type=item["Type"],
        source=item.get("Source", ""),
        target=item["Destination"],
        is_writable=bool(item.get("RW")),
        propagation=item.get("Propagation", ""),
        size="unknown" if item["Type"] == "tmpfs" else "",
    )


def _memory_files(tmpfs: Mapping[str, str]) -> Iterator[AuditedMount]:
    for target, options in tmpfs.items():
        yield AuditedMount(type="tmpfs", source="", target=target, is_writable=True, size=tmpfs_size(options))


def _ports(bindings: Mapping[str, Any]) -> Iterator[AuditedPort]:
    for target, published in bindings.items():
        for binding in published or ():
            port = binding.get("HostPort") or "0"
            yield AuditedPort(binding.get("HostIp", ""), int(port), int(target.partition("/")[0]))


def _secrets(inspected: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The secrets of a container: the name of each, and its file on this machine, empty where it has none."""
    for item in _listed(inspected, "Mounts"):
        if item["Destination"].startswith(_SECRETS):
            yield item["Destination"].removeprefix(_SECRETS), item.get("Source", "")
