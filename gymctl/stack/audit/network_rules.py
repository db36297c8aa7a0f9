"""Rules about the peers that can reach a container, and those that it can reach."""

from __future__ import annotations

from collections.abc import Iterator

from gymctl.config import ServerKind
from gymctl.config.vocabulary import EVERY_INTERFACE, LOOPBACK_HOSTS
from gymctl.stack.audit.calls import needless_pairs
from gymctl.stack.audit.rule import Evidence, Rule, Severity, each, when
from gymctl.stack.audit.subject import ENVIRONMENTS, HEAD, MODELS, AuditedContainer, AuditedStack
from gymctl.stack.slices.host_gateway import GATEWAY

_AGENTS = frozenset({ServerKind.AGENT.value})
_FIRST_ORDINARY_PORT = 1024
_OVERLAY = "overlay"
_EVERY_INTERFACE = ("", EVERY_INTERFACE, "::", "[::]")


def _every_interface(container: AuditedContainer) -> Iterator[str]:
    for port in container.ports:
        if port.host in _EVERY_INTERFACE:
            yield f"port {port.published or port.target} on every address of the machine"


def _privileged_ports(container: AuditedContainer) -> Iterator[str]:
    for port in container.ports:
        if 0 < port.published < _FIRST_ORDINARY_PORT:
            yield f"port {port.published}"


def _published(container: AuditedContainer) -> Iterator[str]:
    if container.kind == HEAD or container.is_tls_edge:
        return
    for port in container.ports:
        yield f"port {port.published or port.target} is published"


def _open_ports(container: AuditedContainer) -> Iterator[str]:
    """The ports of gymctl's containers that other machines reach without TLS and without a token."""
    if container.is_of_gymctl and not container.is_tls_edge:
        for port in container.ports:
            if port.host not in LOOPBACK_HOSTS:
                yield f"{port.host}:{port.published}"


def _without_protection(container: AuditedContainer) -> Iterator[str]:
    if not container.requires_token:
        yield from (f"{port} answers without a token" for port in _open_ports(container))


def _without_encryption(container: AuditedContainer) -> Iterator[str]:
    yield from (f"{port} is plain HTTP" for port in _open_ports(container))


def _local_head(container: AuditedContainer) -> Iterator[str]:
    if container.kind == HEAD and not container.requires_token:
        for port in container.ports:
            if port.host in LOOPBACK_HOSTS:
                yield f"{port.host}:{port.published} answers every user of the machine without a token"


def _without_tokens(stack: AuditedStack) -> Iterator[Evidence]:
    servers = [container for container in stack.containers if container.is_server]
    if servers and not any(container.requires_token for container in servers):
        yield Evidence("", "servers answer every container on their networks without a token")
        return
    for container in servers:
        if not container.requires_token:
            yield Evidence(container.service, "answers every container on its networks without a token")


def _is_on_default_bridge(container: AuditedContainer) -> bool:
    return container.namespaces.get("network") in ("bridge", "default")


def _one_network(stack: AuditedStack) -> Iterator[Evidence]:
    kinds = {container.kind for container in stack.containers if container.networks == ("default",)}
    if kinds & ENVIRONMENTS:
        yield Evidence("default", "all containers are on one network with outbound access")


def _environments_and_models(stack: AuditedStack) -> Iterator[Evidence]:
    for environment, model in needless_pairs(stack, ENVIRONMENTS, MODELS):
        yield Evidence(environment, f"reaches {model}, which it does not call")


def _environments(stack: AuditedStack) -> Iterator[Evidence]:
    for one, other in needless_pairs(stack, ENVIRONMENTS, ENVIRONMENTS):
        yield Evidence(one, f"reaches {other}, which it does not call")


def _others(stack: AuditedStack) -> Iterator[Evidence]:
    for first, second in ((_AGENTS, _AGENTS), (_AGENTS, ENVIRONMENTS), (_AGENTS, MODELS), (MODELS, MODELS)):
        for one, other in needless_pairs(stack, first, second):
            yield Evidence(one, f"reaches {other}, which it does not call")


def _way_out(stack: AuditedStack, kinds: frozenset[str]) -> Iterator[Evidence]:
    for container in stack.containers:
        networks = [network.name for network in stack.networks_of(container) if not network.is_internal]
        if container.kind in kinds and networks:
            yield Evidence(container.service, f"{networks[0]} has outbound access, the metadata address included")


def _environment_out(stack: AuditedStack) -> Iterator[Evidence]:
    return _way_out(stack, ENVIRONMENTS)


def _agent_out(stack: AuditedStack) -> Iterator[Evidence]:
    return _way_out(stack, _AGENTS)


def _model_out(stack: AuditedStack) -> Iterator[Evidence]:
    return _way_out(stack, MODELS)


def _head_out(stack: AuditedStack) -> Iterator[Evidence]:
    return _way_out(stack, frozenset({HEAD}))


def _host_on_network(stack: AuditedStack) -> Iterator[Evidence]:
    for network in stack.networks.values():
        is_bridge = network.driver != _OVERLAY
        if is_bridge and network.is_internal and network.has_host_address:
            yield Evidence(network.name, "the machine has an address on this internal network")


def _host_name(container: AuditedContainer) -> Iterator[str]:
    if container.kind in ENVIRONMENTS:
        yield from (f"extra_hosts: {host}" for host in container.extra_hosts if host.startswith(GATEWAY))


def _plain_overlay(stack: AuditedStack) -> Iterator[Evidence]:
    own = (network for network in stack.networks.values() if not network.is_external)
    for network in own:
        if network.driver == _OVERLAY and not network.is_encrypted:
            yield Evidence(network.name, "traffic between machines is not encrypted")


def _external_network(stack: AuditedStack) -> Iterator[Evidence]:
    for container in stack.containers:
        names = [network.name for network in stack.networks_of(container) if network.is_external]
        if names:
            yield Evidence(container.service, f"is on {names[0]}, with containers of others")


NETWORK_RULES = (
    Rule(
        id="published-without-token",
        severity=Severity.CRITICAL,
        title="other machines can use a server without a token",
        cure="use edge: {address: ADDRESS} instead of --publish, or an SSH tunnel",
        check=each(_without_protection),
    ),
    Rule(
        id="published-without-tls",
        severity=Severity.HIGH,
        title="a server is published without TLS",
        cure="use edge: {address: ADDRESS} instead of --publish, or an SSH tunnel",
        check=each(_without_encryption),
    ),
    Rule(
        id="every-interface",
        severity=Severity.HIGH,
        title="a port is published on every address of the machine",
        cure="ports: ['127.0.0.1:PORT:PORT']",
        check=each(_every_interface),
        docker_bench="5.14",
    ),
    Rule(
        id="one-network",
        severity=Severity.HIGH,
        title="environments share one open network with all other containers",
        cure="render the file again with this version: gymctl render",
        check=_one_network,
    ),
    Rule(
        id="environment-reaches-model",
        severity=Severity.HIGH,
        title="an environment can reach a model server that it does not call, and thus use its key",
        cure="render the file again with this version: gymctl render",
        check=_environments_and_models,
    ),
    Rule(
        id="environment-egress",
        severity=Severity.HIGH,
        title="code of an environment can call the internet, the machine and a cloud's metadata address",
        cure="egress: [HOST, ...]",
        check=_environment_out,
    ),
    Rule(
        id="default-bridge",
        severity=Severity.HIGH,
        title="a container is on Docker's default bridge, with containers of other projects",
        cure="remove network_mode: bridge",
        check=when(_is_on_default_bridge, "uses Docker's default bridge"),
        docker_bench="5.30",
    ),
    Rule(
        id="environments-reach-each-other",
        severity=Severity.MEDIUM,
        title="an environment can reach another one that it does not call",
        cure="move each environment and its agents to a separate stack",
        check=_environments,
    ),
    Rule(
        id="tokens-between-servers",
        severity=Severity.MEDIUM,
        title="calls between containers are restricted only by their networks",
        cure="tokens: true",
        check=_without_tokens,
    ),
    Rule(
        id="model-egress",
        severity=Severity.MEDIUM,
        title="a model server can call every address, not only its endpoint",
        cure="egress: [HOST, ...]",
        check=_model_out,
    ),
    Rule(
        id="agent-egress",
        severity=Severity.MEDIUM,
        title="an agent can call addresses outside the stack",
        cure="egress: false",
        check=_agent_out,
    ),
    Rule(
        id="host-address",
        severity=Severity.MEDIUM,
        title="containers without outbound access reach services of the machine",
        cure="driver_opts: {com.docker.network.bridge.inhibit_ipv4: 'true'}",
        check=_host_on_network,
    ),
    Rule(
        id="host-name",
        severity=Severity.MEDIUM,
        title="an environment knows the machine's address",
        cure="remove this machine's addresses from its settings",
        check=each(_host_name),
    ),
    Rule(
        id="plain-overlay",
        severity=Severity.MEDIUM,
        title="machines between the nodes of a Swarm can read requests and keys",
        cure="driver_opts: {encrypted: ''}",
        check=_plain_overlay,
    ),
    Rule(
        id="published-server",
        severity=Severity.MEDIUM,
        title="a container other than the head has a published port",
        cure="remove its ports",
        check=each(_published),
        docker_bench="5.9",
    ),
    Rule(
        id="servers-reach-each-other",
        severity=Severity.LOW,
        title="an agent or a model server shares a network with a server that it does not call",
        cure="split the stack: a stack has at most 16 networks",
        check=_others,
    ),
    Rule(
        id="external-network",
        severity=Severity.LOW,
        title="a container is on a network that is not the stack's own",
        cure="remove it from networks",
        check=_external_network,
    ),
    Rule(
        id="head-without-token",
        severity=Severity.LOW,
        title="every user of the machine can read the configuration and call the head",
        cure="tokens: true",
        check=each(_local_head),
    ),
    Rule(
        id="head-egress",
        severity=Severity.LOW,
        title="the head can call addresses outside the stack: Docker publishes no port on an internal network",
        cure="add a firewall rule, such as: iptables -I DOCKER-USER -d 169.254.169.254 -j DROP",
        check=_head_out,
    ),
    Rule(
        id="privileged-port",
        severity=Severity.LOW,
        title="a port below 1024 is published",
        cure="ports: ['127.0.0.1:11000:11000']",
        check=each(_privileged_ports),
        docker_bench="5.8",
    ),
)
