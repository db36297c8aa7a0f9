"""One service, as Swarm takes it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from gymctl.errors import Problem
from gymctl.stack.compose.model import Service
from gymctl.stack.slices.host_gateway import GATEWAY
from gymctl.stack.swarm.depends_on import wait_for_dependencies
from gymctl.stack.swarm.deploy import translate_deploy
from gymctl.stack.swarm.mounts import translate_mounts
from gymctl.stack.swarm.options import SwarmOptions
from gymctl.stack.swarm.ports import translate_ports
from gymctl.stack.swarm.report import TranslationReport

# Servers come and go here: callers look names up again every 3 s (server/calls/replicas.py) and wait for those that
# are being replaced.
MOVING = {"GYMCTL_NOTICE_S": "4", "GYMCTL_PATIENCE_S": "60"}
GRACE = "120s"

_DAEMON = '"no-new-privileges": true in the daemon.json of each node applies it to all containers'

_BRACES = '{{"{{"}}'  # the Go template that gives {{


def translate_service(
    service: Service, absent: Collection[str], options: SwarmOptions, report: TranslationReport, problems: list[Problem]
) -> Service:
    """The service for Swarm; changes are added to ``report``. ``absent`` are services that are left out."""
    ports = translate_ports(service, report, problems)
    deploy, variables = translate_deploy(service.model_copy(update={"ports": ports}), report, problems)
    now: dict[str, Any] = {
        "image": _image(service, options, report),
        "ports": ports,
        "volumes": translate_mounts(service, report),
        "deploy": deploy,
        "environment": {**variables, **_environment(service, report)} or None,
        "stop_grace_period": _grace(service, report),
        **wait_for_dependencies(service, absent, report),
    }
    _report_lost(service, report)
    gone = (
        "pull_policy",
        "profiles",
        "depends_on",
        "restart",
        "tmpfs",
        "security_opt",
        "shm_size",
        "ipc",
        "cpu_shares",
    )
    return service.model_copy(update={**dict.fromkeys(gone), **now})


def _environment(service: Service, report: TranslationReport) -> dict[str, str]:
    """Variables as Swarm hands them on: it expands Go templates in them (swarmkit's template/expand.go)."""
    before = {**(MOVING if _is_server(service) else {}), **(service.environment or {})}
    after = {name: value.replace("{{", _BRACES) for name, value in before.items()}
    if after != before:
        changed = ", ".join(name for name in before if after[name] != before[name])
        report.translated("environment", f"{changed}: {{{{ is written {_BRACES}, because Swarm expands templates")
    return after


def _is_server(service: Service) -> bool:
    return "NEMO_GYM_CONFIG_PATH" in (service.environment or {})


def _grace(service: Service, report: TranslationReport) -> str | None:
    """Servers of both runtimes finish their requests if they are given time; Compose stops them all at once."""
    if not _is_server(service):
        return service.stop_grace_period
    was = service.stop_grace_period or "10s"
    report.translated(
        "stop_grace_period", f"{GRACE} instead of {was}: a server that moves finishes its current requests"
    )
    return GRACE


def _image(service: Service, options: SwarmOptions, report: TranslationReport) -> str:
    image = options.images.get(service.image, service.image)
    if image != service.image:
        report.translated("image", image)
        report.translated("pull_policy", "none: a node pulls a missing image by its digest")
    elif service.pull_policy in ("never", "missing"):
        detail = "docker stack deploy --resolve-image never; each node needs the image: gymctl images push|load"
        report.translated("pull_policy", detail)
    elif service.pull_policy is not None:
        report.lost(
            "pull_policy", f"{service.pull_policy}: Swarm neither builds images nor pulls those that are present"
        )
    return image


def _report_lost(service: Service, report: TranslationReport) -> None:
    for option in service.security_opt or ():
        if option.startswith("no-new-privileges"):
            how = _DAEMON
        else:
            how = "set it in the daemon.json of each node"
        report.lost("security_opt", f"{option}: Swarm ignores it; {how}")
    if service.ipc is not None:
        report.lost("ipc", f"{service.ipc}: Swarm ignores it; shm_size gives shared memory of its own")
    if service.cpu_shares is not None:
        report.lost("cpu_shares", f"{service.cpu_shares}: Swarm has no CPU weights; use resources.reserve.cpus")
    if any(GATEWAY in host for host in service.extra_hosts or ()):
        report.translated("extra_hosts", f"{GATEWAY} is the node that the task runs on")
