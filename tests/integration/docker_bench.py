"""Section 5 of docker-bench-security 1.6.0 (CIS Docker Benchmark, container runtime), by ``docker inspect``.

Not here: 5.1 is about the engine, 5.7 needs a process list (``docker top``), and 5.23, 5.24 and 5.28 are reminders to
look by hand that the script prints for every container.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

Inspected = Mapping[str, Any]

_SENSITIVE = {"/", "/boot", "/dev", "/etc", "/lib", "/proc", "/sys", "/usr"}
_DEFAULT_CAPABILITIES = {
    *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW"),
    *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
}
_MOST_RETRIES = 5
_FIRST_ORDINARY_PORT = 1024


def _options(item: Inspected) -> str:
    return " ".join(item["HostConfig"]["SecurityOpt"] or ())


def _published(item: Inspected) -> list[Mapping[str, str]]:
    """Published ports, of a container that has not started too."""
    return [binding for bindings in (item["HostConfig"]["PortBindings"] or {}).values() for binding in bindings or ()]


def _has_sensitive_folder(item: Inspected) -> bool:
    return any(mount["RW"] and mount.get("Source") in _SENSITIVE for mount in item["Mounts"])


def _has_privileged_port(item: Inspected) -> bool:
    ports = [int(binding["HostPort"]) for binding in _published(item) if binding["HostPort"]]
    return any(port < _FIRST_ORDINARY_PORT for port in ports)


def _is_on_every_interface(item: Inspected) -> bool:
    return any(binding["HostIp"] in ("", "0.0.0.0") for binding in _published(item))


def _adds_capabilities(item: Inspected) -> bool:
    added = {name.upper().removeprefix("CAP_") for name in item["HostConfig"]["CapAdd"] or ()}
    return bool(added - _DEFAULT_CAPABILITIES)


def _has_no_cpu_setting(item: Inspected) -> bool:
    host = item["HostConfig"]
    return not host["CpuShares"] and not host["NanoCpus"]


def _is_host(key: str) -> Callable[[Inspected], bool]:
    """A check that a namespace is not the machine's."""
    return lambda item: item["HostConfig"][key] == "host"


CHECKS: Mapping[str, Callable[[Inspected], bool]] = {
    "5.2": lambda item: item["AppArmorProfile"] in ("", "unconfined"),
    "5.3": lambda item: not _options(item),
    "5.4": _adds_capabilities,
    "5.5": lambda item: item["HostConfig"]["Privileged"],
    "5.6": _has_sensitive_folder,
    "5.8": _has_privileged_port,
    "5.9": lambda item: bool(_published(item)),
    "5.10": _is_host("NetworkMode"),
    "5.11": lambda item: not item["HostConfig"]["Memory"],
    "5.12": _has_no_cpu_setting,
    "5.13": lambda item: not item["HostConfig"]["ReadonlyRootfs"],
    "5.14": _is_on_every_interface,
    "5.15": lambda item: item["HostConfig"]["RestartPolicy"]["MaximumRetryCount"] > _MOST_RETRIES,
    "5.16": _is_host("PidMode"),
    "5.17": _is_host("IpcMode"),
    "5.18": lambda item: bool(item["HostConfig"]["Devices"]),
    "5.19": lambda item: not item["HostConfig"]["Ulimits"],
    "5.20": lambda item: any("shared" in mount.get("Propagation", "") for mount in item["Mounts"]),
    "5.21": _is_host("UTSMode"),
    "5.22": lambda item: "seccomp:unconfined" in _options(item) or "seccomp=unconfined" in _options(item),
    "5.25": lambda item: bool(item["HostConfig"]["CgroupParent"]),
    "5.26": lambda item: "no-new-privileges" not in _options(item),
    "5.27": lambda item: (item["Config"].get("Healthcheck") or {}).get("Test", ["NONE"]) == ["NONE"],
    "5.29": lambda item: (item["HostConfig"]["PidsLimit"] or 0) <= 0,
    "5.30": lambda item: "bridge" in item["NetworkSettings"]["Networks"],
    "5.31": _is_host("UsernsMode"),
    "5.32": lambda item: "docker.sock" in json.dumps(item["Mounts"]),
}


def warnings(item: Inspected) -> set[str]:
    """The numbers of the checks that an inspected container does not pass."""
    return {number for number, is_broken in CHECKS.items() if is_broken(item)}
