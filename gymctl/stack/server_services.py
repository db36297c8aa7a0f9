"""The services of the head and of the configuration's servers, before add-ons change them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gymctl.config import Config, ServerInstance
from gymctl.config.vocabulary import HEAD_NAME, LOOPBACK_HOSTS
from gymctl.stack.addons.nemo_gym import NemoGym
from gymctl.stack.addons.observers import add_token_to_head
from gymctl.stack.addons.policy_watch import PolicyWatchers
from gymctl.stack.addons.tls_edge import StackEdge
from gymctl.stack.container import with_container
from gymctl.stack.images import ImageChoice
from gymctl.stack.placement import node_placement, resource_bounds
from gymctl.stack.service import ServicePlan
from gymctl.stack.service_names import HEAD_SERVICE
from gymctl.stack.slices.host_gateway import extra_hosts
from gymctl.stack.slices.interpolation import dump_slice
from gymctl.stack.slices.slices import Address, Slice, head_slice
from gymctl.stack.worker_nodes import Machines

SERVICES_ROOT = "/opt/gymctl/services"


def head_service(
    config: Config,
    addresses: Mapping[str, Address],
    choice: ImageChoice,
    publish_host: str,
    machines: Machines,
    watchers: PolicyWatchers,
    edge: StackEdge,
    gym: NemoGym,
) -> ServicePlan:
    """The head, published at ``publish_host`` on this machine."""
    port = config.head.port
    data = head_slice(config, addresses)
    secrets = (*watchers.add_to_head(data), *add_token_to_head(config, data))
    edge.add_to_head(data)
    gym.add_to_head(data)
    head = ServicePlan(
        name=HEAD_SERVICE,
        kind="head",
        implementation="head",
        image=choice.shared(),
        port=port,
        slice_text=dump_slice(data),
        config_path=HEAD_NAME,
        command=("python", "app.py"),
        working_dir=f"{SERVICES_ROOT}/head",
        secrets=secrets,
        published=((publish_host, port, port),),
        placement=node_placement(config.placements.of("head")),
        extra_hosts=extra_hosts((addresses[name].url for name in config.servers), ()),
    )
    return machines.with_token(head, data)


def head_notes(config: Config, publish_host: str) -> Iterator[str]:
    """Whether the configuration expects a head for other machines, but only this machine can reach it."""
    if config.edge is not None:
        return
    key = "default_host"
    value = config.values.get(key)
    if config.head.host:
        key = "head_server.host"
        value = config.head.host
    if config.membership is None and value and value not in LOOPBACK_HOSTS and publish_host in LOOPBACK_HOSTS:
        yield (
            f"{key} is {value}, but the head is published on {publish_host}:{config.head.port}, "
            "which only this machine can reach; use --publish ADDRESS to open it"
        )


def server_service(
    server: ServerInstance, address: Address, view: Slice, image: str, machine_names: Sequence[str]
) -> ServicePlan:
    """A server's container; ``machine_names`` are names of this machine that its configuration may have."""
    planned = ServicePlan(
        name=address.host,
        server=server.name,
        kind=server.kind,
        implementation=server.implementation,
        image=image,
        port=address.port,
        slice_text=view.text,
        config_path=server.name,
        command=("python", server.entrypoint),
        working_dir=f"{SERVICES_ROOT}/{server.kind.value}/{server.implementation}",
        secrets=view.secrets,
        extra_hosts=extra_hosts(view.texts, machine_names),
        placement=node_placement(server.placement),
        bounds=resource_bounds(server.limits),
        tmp_size=server.limits.tmp if server.limits else None,
        replicas=server.replicas,
        workers=server.num_workers or 1,
    )
    return with_container(planned, server.container, machine_names)
