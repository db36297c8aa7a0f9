"""The plan as a Compose document: one service a server, hardened, quick to be found healthy, quick to stop."""

from __future__ import annotations

from gymctl.stack.document import ComposeDocument, Dependency, Healthcheck, Limit, Port, Service, StoredFile
from gymctl.stack.plan import StackOptions, StackPlan
from gymctl.stack.service import ServicePlan

SECRETS_DIR = "./.gymctl/secrets"
# A server touches its ready file on its event loop every 5 s, so an old one means a loop that stands still.
# Asking for it costs a shell and a find; a probe that starts Python: 153 s of CPU for twelve servers, not 7.
_PROBE = 'test -n "$(find /tmp/gymctl-ready -mmin -0.5 2>/dev/null)"'

# OmegaConf 2.4 refuses YAML of more than 10,000 nodes unless told to trust it; a node takes two characters or more.
_MANY_NODES = 20_000


def compose_document(plan: StackPlan, *, secrets_dir: str = SECRETS_DIR) -> ComposeDocument:
    """The document of a plan. Secret values are in files of ``secrets_dir`` (relative to the document), never in it."""
    used = [name for name in plan.secrets if any(name in service.secrets for service in plan.services)]
    return ComposeDocument(
        name=plan.name,
        services={service.name: _service(service, plan.name, plan.options) for service in plan.services},
        secrets={name: StoredFile(file=f"{secrets_dir.rstrip('/')}/{name}") for name in used} or None,
    )


def _service(service: ServicePlan, stack: str, options: StackOptions) -> Service:
    return Service(
        image=service.image,
        pull_policy="never",  # images are built here; a registry's image of the same name is someone else's
        command=list(service.command),
        working_dir=service.working_dir,
        environment=_environment(service) or None,
        secrets=list(service.secrets) or None,
        ports=[Port(target=inside, published=str(port), host_ip=ip) for ip, port, inside in service.published] or None,
        extra_hosts=list(service.extra_hosts) or None,
        depends_on={name: Dependency(condition="service_healthy") for name in service.needs} or None,
        healthcheck=Healthcheck(
            test=list(service.probe) or ["CMD-SHELL", _PROBE],
            start_period=service.start_period,
            start_interval="1s" if service.probe else "250ms",
            interval="10s",
            timeout="5s",
            retries=3,
        ),
        init=True,
        restart=options.restart,
        stop_grace_period="5s",
        read_only=True,
        tmpfs=["/tmp"],  # noqa: S108 - the container's own
        cap_drop=["ALL"],
        security_opt=["no-new-privileges:true"],
        ulimits={"nofile": Limit(soft=options.nofile, hard=options.nofile)},
        shm_size=service.shm_size,
        labels={
            "gymctl.stack": stack,
            "gymctl.kind": str(service.kind),
            "gymctl.implementation": service.implementation,
            "gymctl.port": str(service.port),
        },
    )


def _environment(service: ServicePlan) -> dict[str, str]:
    environment = dict(service.environment)
    if not service.config_path:  # no server: Ray
        return environment
    limit = {"OMEGACONF_MAX_YAML_EXPANDED_NODES": "none"} if len(service.slice_text) > _MANY_NODES else {}
    environment["NEMO_GYM_CONFIG_PATH"] = service.config_path
    return {**environment, **limit, "NEMO_GYM_CONFIG_DICT": service.slice_text}
