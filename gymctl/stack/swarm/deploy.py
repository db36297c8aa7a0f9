"""The ``deploy`` part: restarts, GPUs, how tasks are replaced, how a service's name resolves."""

from __future__ import annotations

from gymctl.errors import Problem
from gymctl.stack import labels
from gymctl.stack.compose.model import (
    Deploy,
    DeployPlacement,
    Device,
    DiscreteResource,
    GenericResource,
    ResourceBounds,
    Resources,
    RestartPolicy,
    Service,
    UpdatePolicy,
)
from gymctl.stack.swarm.report import TranslationReport

GPU_KIND = "NVIDIA-GPU"
GPU_LABEL = f"node.labels.{labels.GPU}==true"
GPU_VARIABLE = "NVIDIA_VISIBLE_DEVICES"

_NODE = f'declare the GPUs of each node: "node-generic-resources": ["{GPU_KIND}=UUID", ...] in its daemon.json'
_MONITOR = "10s"  # a task that fails this soon after it was healthy fails the update
_RESTART_DELAY = "2s"
_RESTARTS = {"always": "any", "unless-stopped": "any", "on-failure": "on-failure", "no": "none"}


def translate_deploy(
    service: Service, report: TranslationReport, problems: list[Problem]
) -> tuple[Deploy, dict[str, str]]:
    """The ``deploy`` of a service, and variables to add to its environment."""
    before = service.deploy or Deploy()
    placement = before.placement
    resources, constraint, variables = _resources(before.resources, report, problems)
    if constraint:
        known = placement or DeployPlacement()
        placement = known.model_copy(update={"constraints": [*(known.constraints or ()), constraint]})
    report.translated("deploy.endpoint_mode", "dnsrr: names resolve to the tasks themselves, for kernels without IPVS")
    updates = _updates(service, before, resources, report)
    return before.model_copy(
        update={
            **updates,
            "endpoint_mode": "dnsrr",
            "labels": {**(service.labels or {}), **(before.labels or {})} or None,
            "resources": resources,
            "placement": placement,
            "restart_policy": _restart_policy(service, before, report),
        }
    ), variables


def _is_job(deploy: Deploy) -> bool:
    """A job runs until it ends; Swarm refuses to update it or to restart it after success."""
    return (deploy.mode or "").endswith("-job")


def _updates(
    service: Service, deploy: Deploy, resources: ResourceBounds | None, report: TranslationReport
) -> dict[str, UpdatePolicy | None]:
    """How tasks are replaced, and how that is taken back."""
    if deploy.update_config is None and not _is_job(deploy):
        order, why = _order(service, deploy, resources)
        report.added("deploy.update_config", f"{order}{why}; one task at a time, rolled back on failure")
        policies = {"update_config": _policy(order, "rollback"), "rollback_config": _policy(order, "pause")}
        return {**policies, **({"rollback_config": deploy.rollback_config} if deploy.rollback_config else {})}
    return {}


def _restart_policy(service: Service, deploy: Deploy, report: TranslationReport) -> RestartPolicy:
    if deploy.restart_policy is not None:
        if service.restart is not None:
            report.lost("restart", "deploy.restart_policy takes precedence")
        return deploy.restart_policy
    word, _, attempts = (service.restart or "no").partition(":")
    condition = _RESTARTS.get(word, "any")
    if condition == "any" and _is_job(deploy):
        condition = "on-failure"
    if service.restart is None:
        report.added("deploy.restart_policy", "none: Swarm would restart it forever")
    else:
        report.translated("restart", f"deploy.restart_policy: {condition}")
    policy = RestartPolicy(condition=condition)
    if condition == "none":
        return policy
    return policy.model_copy(update={"delay": _RESTART_DELAY, "max_attempts": int(attempts) if attempts else None})


def _order(service: Service, deploy: Deploy, resources: ResourceBounds | None) -> tuple[str, str]:
    """New tasks before the old ones go, but where both cannot be there at once; and why not."""
    if resources:
        reserved = resources.reservations
    else:
        reserved = None
    volumes = [item for item in service.volumes or () if isinstance(item, str) or item.type != "tmpfs"]
    if service.ports:
        return "stop-first", ", since two tasks cannot use the same port of a node"
    if reserved and reserved.generic_resources:
        return "stop-first", ", since two tasks cannot use the same GPUs"
    if deploy.placement and deploy.placement.max_replicas_per_node:
        return "stop-first", ", since a second task could exceed max_replicas_per_node"
    if volumes:
        return "stop-first", ", since two tasks would write to its volume"
    return "start-first", ""


def _policy(order: str, failure_action: str) -> UpdatePolicy:
    return UpdatePolicy.model_validate(
        {"parallelism": 1, "failure_action": failure_action, "monitor": _MONITOR, "order": order}
    )


def _resources(
    bounds: ResourceBounds | None, report: TranslationReport, problems: list[Problem]
) -> tuple[ResourceBounds | None, str, dict[str, str]]:
    """Limits and reservations, a constraint for those that need one, and variables of the environment."""
    if bounds is None:
        return None, "", {}
    limits = bounds.limits
    reserved = bounds.reservations
    if limits is not None and (limits.devices or limits.generic_resources):
        report.lost("deploy.resources.limits", "devices can only be reserved, not limited")
        limits = limits.model_copy(update={"devices": None, "generic_resources": None})
    if reserved is not None and reserved.pids is not None:
        report.lost("deploy.resources.reservations.pids", "processes can only be limited, not reserved")
        reserved = reserved.model_copy(update={"pids": None})
    constraint = ""
    variables = dict[str, str]()
    if reserved is not None and reserved.devices is not None:
        reserved, constraint, variables = _devices(reserved, report, problems)
    return bounds.model_copy(update={"limits": limits, "reservations": reserved}), constraint, variables


def _devices(
    reserved: Resources, report: TranslationReport, problems: list[Problem]
) -> tuple[Resources | None, str, dict[str, str]]:
    where = "deploy.resources.reservations.devices"
    counted = 0
    chosen = []
    for device in reserved.devices or ():
        if "gpu" not in device.capabilities:
            problem = f"Swarm has no devices of {'/'.join(device.capabilities)}"
            problems.append(Problem(f"services.{report.service}.{where}", problem, "reserve GPUs, or use Compose"))
        elif isinstance(device.count, int):
            counted += device.count
        else:
            chosen += device.device_ids or ["all"]
        _ignored(device, report, where)
    generic = list(reserved.generic_resources or ())
    if counted:
        generic.append(GenericResource(discrete_resource_spec=DiscreteResource(kind=GPU_KIND, value=counted)))
        report.translated(where, f"generic_resources {GPU_KIND}: {counted}; {_NODE}")
    variables: dict[str, str] = {}
    constraint = ""
    if chosen:
        variables = {GPU_VARIABLE: ",".join(chosen)}
        constraint = GPU_LABEL
        label = "docker node update --label-add gymctl.gpu=true NODE"
        report.translated(where, f"{GPU_VARIABLE}={','.join(chosen)} on nodes labelled so: {label}; not reserved there")
    left = reserved.model_copy(update={"devices": None, "generic_resources": generic or None})
    return (left if left.plain() else None), constraint, variables


def _ignored(device: Device, report: TranslationReport, where: str) -> None:
    capabilities = [name for name in device.capabilities if name != "gpu"]
    if capabilities:
        report.lost(where, f"capabilities {', '.join(capabilities)}: set NVIDIA_DRIVER_CAPABILITIES in its environment")
    if device.driver not in (None, "nvidia"):
        report.lost(where, f"driver {device.driver}: the node's default runtime decides")
    if device.options:
        report.lost(where, "options: the node's default runtime decides")
