"""Rules about what a container may do to the machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from gymctl.stack.audit.rule import Check, Rule, Severity, each, when
from gymctl.stack.audit.subject import AuditedContainer

_SENSITIVE = ("/boot", "/dev", "/etc", "/lib", "/proc", "/root", "/run", "/sys", "/usr", "/var/lib/docker", "/var/run")
_ENGINE_SOCKETS = ("docker.sock", "containerd.sock", "podman.sock")
_ROOT = ("", "0", "root")
_NO_NEW_PRIVILEGES = {"no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"}


def _is_privileged(container: AuditedContainer) -> bool:
    return container.is_privileged


def _added_capabilities(container: AuditedContainer) -> Iterator[str]:
    for capability in sorted(container.added_capabilities):
        yield f"cap_add: {capability}"


def _keeps_capabilities(container: AuditedContainer) -> bool:
    return "ALL" not in container.dropped_capabilities


def _may_gain_privileges(container: AuditedContainer) -> bool:
    return _NO_NEW_PRIVILEGES.isdisjoint(container.security_options)


def _is_root_writable(container: AuditedContainer) -> bool:
    return not container.is_read_only


def _host_namespace(key: str) -> Check:
    """A check that the machine's own namespace of a kind is not used."""
    return when(lambda container: container.namespaces.get(key) == "host", f"{key}: host")


def _security_option(unwanted: str) -> Check:
    """A check that an option which turns a protection off is not set."""
    return when(lambda container: unwanted in _with_colons(container.security_options), f"security_opt: {unwanted}")


def _with_colons(options: Iterable[str]) -> list[str]:
    """Security options in the form with a colon; Docker takes ``=`` too."""
    return [option.replace("=", ":") for option in options]


def _engine_sockets(container: AuditedContainer) -> Iterator[str]:
    for mount in container.mounts:
        if PurePosixPath(mount.source).name in _ENGINE_SOCKETS:
            yield f"mounts {mount.source}"


def _sensitive_folders(container: AuditedContainer) -> Iterator[str]:
    for mount in container.mounts:
        if mount.type == "bind" and _is_sensitive(PurePosixPath(mount.source)):
            yield f"mounts {mount.source}"


def _is_sensitive(path: PurePosixPath) -> bool:
    """Whether a path is the machine's root or one of its system; a socket of the engine has a rule of its own."""
    if path.name in _ENGINE_SOCKETS:
        return False
    return path == PurePosixPath("/") or any(path.is_relative_to(place) for place in _SENSITIVE)


def _writable_mounts(container: AuditedContainer) -> Iterator[str]:
    for mount in container.mounts:
        if mount.type == "bind" and mount.is_writable:
            yield f"may write to {mount.source}"


def _shared_mounts(container: AuditedContainer) -> Iterator[str]:
    for mount in container.mounts:
        if mount.propagation in ("shared", "rshared"):
            yield f"{mount.source} has shared propagation"


def _devices(container: AuditedContainer) -> Iterator[str]:
    for device in container.devices:
        yield f"devices: {device}"


def _is_root(container: AuditedContainer) -> bool:
    return container.user is not None and container.user.partition(":")[0] in _ROOT


def _has_cgroup_parent(container: AuditedContainer) -> bool:
    return "cgroup_parent" in container.namespaces


def _sysctls(container: AuditedContainer) -> Iterator[str]:
    for name in container.sysctls:
        yield f"sysctls: {name}"


PRIVILEGE_RULES = (
    Rule(
        id="privileged",
        severity=Severity.CRITICAL,
        title="a container can do anything on the machine",
        cure="privileged: false",
        check=when(_is_privileged, "privileged: true"),
        docker_bench="5.5",
    ),
    Rule(
        id="engine-socket",
        severity=Severity.CRITICAL,
        title="a container can control the container engine",
        cure="remove the socket from volumes",
        check=each(_engine_sockets),
        docker_bench="5.32",
    ),
    Rule(
        id="host-network",
        severity=Severity.CRITICAL,
        title="a container uses the machine's network",
        cure="remove network_mode: host",
        check=_host_namespace("network"),
        docker_bench="5.10",
    ),
    Rule(
        id="sensitive-folder",
        severity=Severity.HIGH,
        title="a container can read a directory of the system",
        cure="mount only the directory with the data, such as ./data:/data:ro",
        check=each(_sensitive_folders),
        docker_bench="5.6",
    ),
    Rule(
        id="root-user",
        severity=Severity.HIGH,
        title="a container runs as root",
        cure='user: "10001"',
        check=when(_is_root, "runs as root"),
    ),
    Rule(
        id="added-capabilities",
        severity=Severity.HIGH,
        title="a container has more capabilities than Docker's default",
        cure="remove cap_add",
        check=each(_added_capabilities),
        docker_bench="5.4",
    ),
    Rule(
        id="seccomp-off",
        severity=Severity.HIGH,
        title="system calls of a container are not filtered",
        cure="remove seccomp:unconfined from security_opt",
        check=_security_option("seccomp:unconfined"),
        docker_bench="5.22",
    ),
    Rule(
        id="host-pid",
        severity=Severity.HIGH,
        title="a container sees the machine's processes",
        cure="remove pid: host",
        check=_host_namespace("pid"),
        docker_bench="5.16",
    ),
    Rule(
        id="host-user-namespace",
        severity=Severity.MEDIUM,
        title="a container runs outside the engine's user namespace",
        cure="remove userns_mode: host",
        check=_host_namespace("userns"),
        docker_bench="5.31",
    ),
    Rule(
        id="kept-capabilities",
        severity=Severity.MEDIUM,
        title="a container keeps Docker's default capabilities",
        cure="cap_drop: [ALL]",
        check=when(_keeps_capabilities, "cap_drop does not contain ALL"),
    ),
    Rule(
        id="new-privileges",
        severity=Severity.MEDIUM,
        title="a program in a container can gain privileges, for example through setuid",
        cure="security_opt: ['no-new-privileges:true']",
        check=when(_may_gain_privileges, "security_opt does not contain no-new-privileges:true"),
        docker_bench="5.26",
    ),
    Rule(
        id="writable-root",
        severity=Severity.MEDIUM,
        title="a container can change its own programs",
        cure="read_only: true",
        check=when(_is_root_writable, "read_only is not set"),
        docker_bench="5.13",
    ),
    Rule(
        id="apparmor-off",
        severity=Severity.MEDIUM,
        title="the AppArmor profile of a container is off",
        cure="remove apparmor:unconfined from security_opt",
        check=_security_option("apparmor:unconfined"),
        docker_bench="5.2",
    ),
    Rule(
        id="selinux-off",
        severity=Severity.MEDIUM,
        title="SELinux does not confine a container",
        cure="remove label:disable from security_opt",
        check=_security_option("label:disable"),
        docker_bench="5.3",
    ),
    Rule(
        id="host-ipc",
        severity=Severity.MEDIUM,
        title="a container shares memory with the machine's processes",
        cure="shm_size: 16gb",
        check=_host_namespace("ipc"),
        docker_bench="5.17",
    ),
    Rule(
        id="devices",
        severity=Severity.MEDIUM,
        title="a container has devices of the machine",
        cure="resources: {gpus: 1}",
        check=each(_devices),
        docker_bench="5.18",
    ),
    Rule(
        id="shared-mount",
        severity=Severity.MEDIUM,
        title="mounts made in a container appear on the machine",
        cure="remove the propagation from volumes",
        check=each(_shared_mounts),
        docker_bench="5.20",
    ),
    Rule(
        id="host-uts",
        severity=Severity.LOW,
        title="a container can change the machine's host name",
        cure="remove uts: host",
        check=_host_namespace("uts"),
        docker_bench="5.21",
    ),
    Rule(
        id="cgroup-parent",
        severity=Severity.LOW,
        title="a container is outside the engine's control group",
        cure="remove cgroup_parent",
        check=when(_has_cgroup_parent, "cgroup_parent is set"),
        docker_bench="5.25",
    ),
    Rule(
        id="sysctls",
        severity=Severity.LOW,
        title="a container sets kernel parameters",
        cure="remove sysctls",
        check=each(_sysctls),
    ),
    Rule(
        id="writable-mount",
        severity=Severity.LOW,
        title="a container can change files of the machine",
        cure="volumes: ['SOURCE:TARGET:ro']",
        check=each(_writable_mounts),
    ),
)
