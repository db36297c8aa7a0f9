"""Rules about servers that may reach only some hosts outside of their stack, and the proxies for these hosts."""

from __future__ import annotations

from collections.abc import Iterator

from gymctl.config.vocabulary import EGRESS_HOSTS_VARIABLE, EGRESS_SERVER_VARIABLE, REPLICA_SUFFIX
from gymctl.stack.audit.rule import Evidence, Rule, Severity, each
from gymctl.stack.audit.subject import AuditedContainer, AuditedStack
from gymctl.stack.service import EGRESS_KIND


def _is_proxy(container: AuditedContainer) -> bool:
    return container.kind == EGRESS_KIND


def _shared_proxies(stack: AuditedStack) -> Iterator[Evidence]:
    for proxy in filter(_is_proxy, stack.containers):
        user = proxy.environment.get(EGRESS_SERVER_VARIABLE)
        for other in stack.containers:
            is_user = other.server in (user, f"{user}{REPLICA_SUFFIX}")
            if set(proxy.networks) & set(other.networks) and not (_is_proxy(other) or is_user):
                yield Evidence(other.service, f"can call the hosts of {user} through {proxy.service}")


def _whole_domains(container: AuditedContainer) -> Iterator[str]:
    if _is_proxy(container):
        for host in container.environment.get(EGRESS_HOSTS_VARIABLE, "").split():
            if host.startswith("*.") and "." not in host[2:]:
                yield f"{host} in 'egress' of {container.environment.get(EGRESS_SERVER_VARIABLE)}"


EGRESS_RULES = (
    Rule(
        id="shared-egress-proxy",
        severity=Severity.MEDIUM,
        title="a container can use the proxy to the hosts that another server may call",
        cure="render the file again with this version: gymctl render",
        check=_shared_proxies,
    ),
    Rule(
        id="egress-whole-domain",
        severity=Severity.MEDIUM,
        title="a server can call every host below a top-level domain",
        cure="egress: [api.example.com]",
        check=each(_whole_domains),
    ),
)
