"""Every key that a document can hold, and who answers for it: kept as it is, or translated.

A key in neither list is an error where it is met, and in a test before that: nothing is dropped in silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gymctl.errors import Problem
from gymctl.stack.compose import model as compose
from gymctl.stack.compose.model import ComposeDocument, Part

KEPT: Mapping[type[Part], str] = {
    compose.Service: "entrypoint command working_dir user secrets configs extra_hosts healthcheck init "
    "stop_signal read_only cap_add cap_drop ulimits logging labels networks",
    compose.Port: "target protocol",
    compose.Healthcheck: "test start_period start_interval interval timeout retries disable",
    compose.Dependency: "",
    compose.Limit: "soft hard",
    compose.Tmpfs: "",
    compose.Mount: "type source target read_only tmpfs",
    compose.Device: "",
    compose.DiscreteResource: "kind value",
    compose.GenericResource: "discrete_resource_spec",
    compose.Resources: "cpus memory pids generic_resources",
    compose.ResourceBounds: "limits reservations",
    compose.Preference: "spread",
    compose.DeployPlacement: "constraints preferences max_replicas_per_node",
    compose.UpdatePolicy: "parallelism delay failure_action monitor max_failure_ratio order",
    compose.RestartPolicy: "condition delay max_attempts window",
    compose.Deploy: "mode replicas resources placement restart_policy",
    compose.Logging: "driver options",
    compose.FileMount: "source target uid gid mode",
    compose.NetworkAttachment: "aliases",
    compose.Network: "name internal external labels",
    compose.Volume: "name driver external driver_opts labels",
    compose.StoredFile: "file external labels",
    compose.ComposeDocument: "services networks volumes secrets configs",
}

TRANSLATED: Mapping[type[Part], str] = {
    compose.Service: "image environment stop_grace_period pull_policy profiles ports depends_on restart tmpfs volumes "
    "security_opt shm_size ipc cpu_shares deploy",
    compose.Port: "published host_ip mode",
    compose.Dependency: "condition restart required",
    compose.Tmpfs: "size mode",
    compose.Device: "capabilities driver count device_ids options",
    compose.Resources: "devices",
    compose.Deploy: "endpoint_mode labels update_config rollback_config",
    compose.Network: "driver driver_opts attachable",
    compose.StoredFile: "name content",
    compose.ComposeDocument: "name",
}

# Where Docker's own schema for stacks takes x- keys; anywhere else it refuses the file.
_EXTENSIBLE = (
    compose.ComposeDocument, compose.Service, compose.Network, compose.Volume, compose.StoredFile
)  # fmt: skip


def known_keys(part: type[Part]) -> frozenset[str]:
    """The keys of a part that the translation answers for."""
    return frozenset(f"{KEPT.get(part, '')} {TRANSLATED.get(part, '')}".split())


def unknown_keys(document: ComposeDocument) -> list[Problem]:
    """Keys that are set somewhere and have no translation."""
    return list(_unknown(document, ""))


def _unknown(value: object, where: str) -> Iterator[Problem]:
    if isinstance(value, Part):
        yield from _unknown_in(value, where)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _unknown(item, f"{where}.{name}")
    elif isinstance(value, list):
        for item in value:
            yield from _unknown(item, where)


def _unknown_in(part: Part, where: str) -> Iterator[Problem]:
    if where:
        before = f"{where}."
    else:
        before = ""
    for key in type(part).model_fields:
        value = getattr(part, key)
        if value is not None and key not in known_keys(type(part)):
            hint = "remove it, or render for Compose"
            yield Problem(f"{before}{key}", f"the key {key!r} cannot be translated to Swarm", hint)
        yield from _unknown(value, f"{before}{key}")
    for key in () if isinstance(part, _EXTENSIBLE) else part.model_extra or ():
        yield Problem(f"{before}{key}", f"{key!r} is not allowed here in a stack file", "move it to the service level")
