"""Rules about what a container may do to the machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath

from gymctl.stack.audit.rule import Rule, Severity, each
from gymctl.stack.audit.subject import AuditedContainer

_SENSITIVE = ("/boot", "/dev", "/etc", "/lib", "/proc", "/root", "/run", "/sys", "/usr", "/var/lib/docker", "/var/run")
_ENGINE_SOCKETS = ("docker.sock", "containerd.sock", "podman.sock")
_ROOT = ("0", "root")


def _privileged(container: AuditedContainer) -> str:
    return "privileged: true" if container.is_privileged else ""


def _added_capabilities(container: AuditedContainer) -> str:
    if container.added_capabilities:
        return f"cap_add: {', '.join(sorted(container.added_capabilities))}"
    return ""


def _kept_capabilities(container: AuditedContainer) -> str:
    if "ALL" in container.dropped_capabilities:
        return ""
    return "cap_drop does not contain ALL"


def _new_privileges(container: AuditedContainer) -> str:
    allowed = {"no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"}
    if allowed.isdisjoint(container.security_options):
        return "security_opt does not contain no-new-privileges:true"
    return ""


def _writable_root(container: AuditedContainer) -> str:
    return "" if container.is_read_only else "read_only is not set"


def _namespace(key: str) -> Callable[[AuditedContainer], str]:
    """A check that the machine's own namespace of a kind is not used."""

    def check(container: AuditedContainer) -> str:
        return f"{key}: host" if container.namespaces.get(key) == "host" else ""

    return check


def _security_option(*options: str) -> Callable[[AuditedContainer], str]:
    """A check that an option which turns a protection off is not set."""

    def check(container: AuditedContainer) -> str:
        off = [option for option in container.security_options if option.replace("=", ":") in options]
        return f"security_opt: {off[0]}" if off else ""

    return check


def _engine_socket(container: AuditedContainer) -> str:
    sockets = [item.source for item in container.mounts if PurePosixPath(item.source).name in _ENGINE_SOCKETS]
    return f"mounts {sockets[0]}" if sockets else ""


def _sensitive_folder(container: AuditedContainer) -> str:
    for mount in container.mounts:
        path = PurePosixPath(mount.source)
        is_socket = path.name in _ENGINE_SOCKETS
        if mount.type == "bind" and not is_socket and any(path.is_relative_to(place) for place in _SENSITIVE):
            return f"mounts {mount.source}"
        if mount.type == "bind" and mount.source == "/":
            return "mounts /"
    return ""


def _writable_mount(container: AuditedContainer) -> str:
    sources = [item.source for item in container.mounts if item.type == "bind" and item.is_writable]
    return f"may write to {sources[0]}" if sources else ""


def _shared_mount(container: AuditedContainer) -> str:
    shared = [item.source for item in container.mounts if item.propagation in ("shared", "rshared")]
    return f"{shared[0]} has shared propagation" if shared else ""


def _device(container: AuditedContainer) -> str:
    return f"devices: {', '.join(container.devices)}" if container.devices else ""


def _root_user(container: AuditedContainer) -> str:
    if container.user is None:
        return ""
    name = container.user.partition(":")[0]
    return f"runs as {name or 'root'}" if name in ("", *_ROOT) else ""


def _cgroup_parent(container: AuditedContainer) -> str:
    parent = container.namespaces.get("cgroup_parent", "")
    return f"cgroup_parent: {parent}" if parent else ""


def _sysctl(container: AuditedContainer) -> str:
    return f"sysctls: {', '.join(container.sysctls)}" if container.sysctls else ""


PRIVILEGE_RULES = (
    Rule(
        id="privileged",
        severity=Severity.CRITICAL,
        title="a container may do everything on the machine",
        cure="privileged: false",
        check=each(_privileged),
        docker_bench="5.5",
    ),
    Rule(
        id="engine-socket",
        severity=Severity.CRITICAL,
        title="a container can give orders to the container engine",
        cure="remove the socket from volumes",
        check=each(_engine_socket),
        docker_bench="5.32",
    ),
    Rule(
        id="host-network",
        severity=Severity.CRITICAL,
        title="a container uses the machine's network",
        cure="remove network_mode: host",
        check=each(_namespace("network")),
        docker_bench="5.10",
    ),
    Rule(
        id="sensitive-folder",
        severity=Severity.HIGH,
        title="a container can read a folder of the system",
        cure="mount the folder with the data only, such as ./data:/data:ro",
        check=each(_sensitive_folder),
        docker_bench="5.6",
    ),
    Rule(
        id="root-user",
        severity=Severity.HIGH,
        title="a container runs as root",
        cure='user: "10001"',
        check=each(_root_user),
    ),
    Rule(
        id="added-capabilities",
        severity=Severity.HIGH,
        title="a container has more rights than Docker's default",
        cure="remove cap_add",
        check=each(_added_capabilities),
        docker_bench="5.4",
    ),
    Rule(
        id="seccomp-off",
        severity=Severity.HIGH,
        title="system calls of a container are not filtered",
        cure="remove seccomp:unconfined from security_opt",
        check=each(_security_option("seccomp:unconfined")),
        docker_bench="5.22",
    ),
    Rule(
        id="host-pid",
        severity=Severity.HIGH,
        title="a container sees the machine's processes",
        cure="remove pid: host",
        check=each(_namespace("pid")),
        docker_bench="5.16",
    ),
    Rule(
        id="host-user-namespace",
        severity=Severity.MEDIUM,
        title="a container leaves the engine's user namespace",
        cure="remove userns_mode: host",
        check=each(_namespace("userns")),
        docker_bench="5.31",
    ),
    Rule(
        id="kept-capabilities",
        severity=Severity.MEDIUM,
        title="a container keeps Docker's default rights",
        cure="cap_drop: [ALL]",
        check=each(_kept_capabilities),
    ),
    Rule(
        id="new-privileges",
        severity=Severity.MEDIUM,
        title="a program in a container can gain rights, such as by setuid",
        cure="security_opt: ['no-new-privileges:true']",
        check=each(_new_privileges),
        docker_bench="5.26",
    ),
    Rule(
        id="writable-root",
        severity=Severity.MEDIUM,
        title="a container can change its own programs",
        cure="read_only: true",
        check=each(_writable_root),
        docker_bench="5.13",
    ),
    Rule(
        id="apparmor-off",
        severity=Severity.MEDIUM,
        title="the AppArmor profile of a container is off",
        cure="remove apparmor:unconfined from security_opt",
        check=each(_security_option("apparmor:unconfined")),
        docker_bench="5.2",
    ),
    Rule(
        id="selinux-off",
        severity=Severity.MEDIUM,
        title="SELinux does not confine a container",
        cure="remove label:disable from security_opt",
        check=each(_security_option("label:disable")),
        docker_bench="5.3",
    ),
    Rule(
        id="host-ipc",
        severity=Severity.MEDIUM,
        title="a container shares memory with the machine's processes",
        cure="shm_size: 16gb",
        check=each(_namespace("ipc")),
        docker_bench="5.17",
    ),
    Rule(
        id="devices",
        severity=Severity.MEDIUM,
        title="a container has devices of the machine",
        cure="resources: {gpus: 1}",
        check=each(_device),
        docker_bench="5.18",
    ),
    Rule(
        id="shared-mount",
        severity=Severity.MEDIUM,
        title="mounts that a container makes appear on the machine",
        cure="remove the propagation from volumes",
        check=each(_shared_mount),
        docker_bench="5.20",
    ),
    Rule(
        id="host-uts",
        severity=Severity.LOW,
        title="a container can change the machine's host name",
        cure="remove uts: host",
        check=each(_namespace("uts")),
        docker_bench="5.21",
    ),
    Rule(
        id="cgroup-parent",
        severity=Severity.LOW,
        title="a container is outside of the engine's control group",
        cure="remove cgroup_parent",
        check=each(_cgroup_parent),
        docker_bench="5.25",
    ),
    Rule(
        id="sysctls",
        severity=Severity.LOW,
        title="a container has kernel parameters of its own",
        cure="remove sysctls",
        check=each(_sysctl),
    ),
    Rule(
        id="writable-mount",
        severity=Severity.LOW,
        title="a container can change files of the machine",
        cure="volumes: ['SOURCE:TARGET:ro']",
        check=each(_writable_mount),
    ),
)
