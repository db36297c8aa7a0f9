"""The plan as a Compose document: one service a server, hardened, quick to be found healthy, quick to stop."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from gymctl.config.blocks.log_shipping import BOUNDED_OPTIONS
from gymctl.config.vocabulary import DEFAULT_NETWORK
from gymctl.errors import ConfigError
from gymctl.stack import labels
from gymctl.stack.compose.model import (
    INHIBIT_ADDRESS,
    ComposeDocument,
    Dependency,
    Deploy,
    Healthcheck,
    Limit,
    Logging,
    Network,
    NetworkAttachment,
    Port,
    Service,
    StoredFile,
    Volume,
)
from gymctl.stack.compose.rules import check_document
from gymctl.stack.compose.yaml import render_compose
from gymctl.stack.limits import default_limits, limited_bounds, tmp_size
from gymctl.stack.networks.membership import is_egress
from gymctl.stack.plan import StackPlan
from gymctl.stack.service import ServicePlan

SECRETS_DIR = "./.gymctl/secrets"
# A server touches its ready file on its event loop every 5 s, so an old file means a blocked loop.
# Asking for it costs a shell and a find; a probe that starts Python: 153 s of CPU for twelve servers, not 7. Starting
# the shell in its container costs most of that, so a probe waits for a server that is not there yet.
_PROBE = (
    "n=0; until test -e /tmp/gymctl-ready || test $n -ge 20; do n=$((n+1)); sleep 0.2; done; "
    "test -e /tmp/gymctl-ready || { echo the server is not listening yet; exit 1; }; "
    'test -n "$(find /tmp/gymctl-ready -mmin -0.5)" || { echo the event loop has not run for 30 s; exit 1; }'
)

# Without a bound json-file, Docker's default, fills the disk. A daemon with another driver keeps it (``bounded_logs``).
_BOUNDED_LOGS = Logging(driver="json-file", options=BOUNDED_OPTIONS)

# An internal network leaves the machine's own address on its bridge reachable; this bridge gets no address.
_WITHOUT_HOST = {INHIBIT_ADDRESS: "true"}

# OmegaConf 2.4 refuses YAML of more than 10,000 nodes unless it is trusted; a node takes two characters or more.
_MANY_NODES = 20_000


def compose_document(plan: StackPlan, *, secrets_dir: str = SECRETS_DIR) -> ComposeDocument:
    """The document of a plan. Secret values are in files of ``secrets_dir`` (relative to the document), never in it."""
    ending = frozenset(service.name for service in plan.services if service.completes)
    used = {name for service in plan.services for name in service.secrets}
    files = {name: StoredFile(file=f"{secrets_dir.rstrip('/')}/{name}") for name in plan.secrets if name in used}
    return ComposeDocument(
        name=plan.name,
        services={service.name: _service(service, plan, ending) for service in plan.services},
        networks=_networks(plan) or None,
        volumes={name: Volume() for name in _named_volumes(plan.services)} or None,
        secrets=files or None,
    )


def _named_volumes(services: Iterable[ServicePlan]) -> dict[str, None]:
    """Names of the volumes that services mount, each once, in order."""
    names: dict[str, None] = {}
    for service in services:
        for mount in service.volumes:
            if mount.type == "volume" and mount.source:
                names[mount.source] = None
    return names


def _service(service: ServicePlan, plan: StackPlan, ending: Collection[str]) -> Service:
    """The hardened service of a server; for an add-on, its fragment with the plan's values merged over it."""
    own = _of_plan(service, plan, ending)
    if service.fragment is not None:
        settings = {key: getattr(own, key) for key in own.model_fields_set if getattr(own, key) is not None}
        if service.fragment.ulimits:
            del settings["ulimits"]
        if service.fragment.tmpfs:
            settings["tmpfs"] = [_with_size(item, tmp_size(service)) for item in service.fragment.tmpfs]
        health = service.fragment.healthcheck
        if health is not None:
            settings["healthcheck"] = health.model_copy(update={"start_period": service.start_period})
        return service.fragment.model_copy(update=settings)
    return own.model_copy(
        update={
            "healthcheck": None if service.completes else _healthcheck(service),
            "restart": "no" if service.completes else plan.options.restart,
            "pull_policy": "never",  # images are built here; a registry's image of the same name is someone else's
            "init": True,
            "stop_grace_period": "5s",
            "read_only": None if service.writable else True,
            "tmpfs": [_with_size("/tmp", tmp_size(service))],  # noqa: S108 - the container's own
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true"],
        }
    )


def _of_plan(service: ServicePlan, plan: StackPlan, ending: Collection[str]) -> Service:
    """Only the plan's values of a service."""
    return Service(
        image=service.image,
        command=list(service.command) or None,
        working_dir=service.working_dir or None,
        environment=_environment(service) or None,
        secrets=list(service.secrets) or None,
        ports=_ports(service) or None,
        extra_hosts=list(service.extra_hosts) or None,
        depends_on={name: _dependency(name in ending) for name in service.needs} or None,
        volumes=list(service.volumes) or None,
        networks=_joined(service),
        logging=service.logging or (_BOUNDED_LOGS if plan.options.bounded_logs else None),
        ulimits={"nofile": Limit(soft=plan.options.nofile, hard=plan.options.nofile)},
        shm_size=service.shm_size,
        cpu_shares=default_limits(service).cpu_shares,
        deploy=_deploy(service),
        labels=_labels(service, plan.name),
    )


def _ports(service: ServicePlan) -> list[Port]:
    return [Port(target=inside, published=str(port), host_ip=ip) for ip, port, inside in service.published]


def _labels(service: ServicePlan, stack: str) -> dict[str, str]:
    """Labels by which engines find a service's containers, and read what they need to know of them."""
    values = {
        labels.STACK: stack,
        labels.KIND: str(service.kind),
        labels.IMPLEMENTATION: service.implementation,
        labels.PORT: str(service.port),
    }
    if service.title != service.name:
        values[labels.SERVER] = service.title
    if service.completes:
        values[labels.COMPLETES] = "true"
    if service.tries > 1:
        values[labels.TRIES] = str(service.tries)
    return values


def _networks(plan: StackPlan) -> dict[str, Network | None]:
    """The stack's own networks, and those that exist already."""
    own = dict.fromkeys(name for service in plan.services for name in service.stack_networks)
    existing = dict.fromkeys(name for service in plan.services for name in service.networks)
    networks: dict[str, Network | None] = {
        name: Network() if is_egress(name) else Network(internal=True, driver_opts=dict(_WITHOUT_HOST)) for name in own
    }
    return networks | {name: Network(external=True) for name in existing}


def _joined(service: ServicePlan) -> dict[str, NetworkAttachment | None] | None:
    """The networks of a service; None: only the stack's default one."""
    if not (service.stack_networks or service.networks):
        return None
    return dict.fromkeys((*(service.stack_networks or (DEFAULT_NETWORK,)), *service.networks))


def _dependency(ends: bool) -> Dependency:
    return Dependency(condition="service_completed_successfully" if ends else "service_healthy")


def _healthcheck(service: ServicePlan) -> Healthcheck:
    return Healthcheck(
        test=list(service.probe) or ["CMD-SHELL", _PROBE],
        start_period=service.start_period,
        start_interval="1s" if service.probe else "250ms",
        interval="10s",
        timeout="5s",
        retries=3,
    )


def _with_size(tmpfs: str, size: str) -> str:
    """A short form of ``tmpfs:`` with a size: ``/tmp:exec`` becomes ``/tmp:exec,size=64mb``."""
    target, _, options = tmpfs.partition(":")
    return f"{target}:{','.join(filter(None, (options, f'size={size}')))}"


def _deploy(service: ServicePlan) -> Deploy:
    if service.replicas != 1:
        replicas = service.replicas
    else:
        replicas = None
    return Deploy(replicas=replicas, placement=service.placement, resources=limited_bounds(service))


def _environment(service: ServicePlan) -> dict[str, str]:
    environment = dict(service.environment)
    if not service.config_path:  # an add-on
        return environment
    if len(service.slice_text) > _MANY_NODES:
        limit = {"OMEGACONF_MAX_YAML_EXPANDED_NODES": "none"}
    else:
        limit = {}
    environment["NEMO_GYM_CONFIG_PATH"] = service.config_path
    return {**environment, **limit, "NEMO_GYM_CONFIG_DICT": service.slice_text}


def render_stack(plan: StackPlan, *, arguments: Sequence[str] = (), secrets_dir: str = SECRETS_DIR) -> str:
    """The text of the plan's ``compose.yaml``; ``arguments`` (what the user gave) go into its header.

    Raises:
        ConfigError: the document breaks the Compose schema or a rule.
    """
    document = compose_document(plan, secrets_dir=secrets_dir)
    problems = check_document(document)
    if problems:
        raise ConfigError(problems)
    return render_compose(document, arguments=arguments)
