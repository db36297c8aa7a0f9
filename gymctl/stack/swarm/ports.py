"""Published ports: Swarm cannot bind an address, so what Compose publishes on loopback is not published at all."""

from __future__ import annotations

from gymctl.config import ServerKind
from gymctl.config.vocabulary import EVERY_INTERFACE, EVERY_INTERFACE_HOSTS
from gymctl.errors import Problem
from gymctl.stack.compose.model import Port, Service
from gymctl.stack.labels import KIND
from gymctl.stack.swarm.report import TranslationReport

_EVERYWHERE = (None, "", *EVERY_INTERFACE_HOSTS)
_OPTION = f"--publish {EVERY_INTERFACE}"


def translate_ports(service: Service, report: TranslationReport, problems: list[Problem]) -> list[Port] | None:
    """The ports of a service, each on the node that its task runs on (``mode: host``).

    A port of one address is refused: Docker would open it on all of them. What gymctl publishes by itself is left out
    and reported; what the user asked for is a problem.
    """
    return [port for item in service.ports or () if (port := _port(item, service, report, problems))] or None


def _port(port: Port, service: Service, report: TranslationReport, problems: list[Problem]) -> Port | None:
    published = port.published or "a port"
    if port.host_ip not in _EVERYWHERE:
        problem = (
            f"{port.host_ip}:{published} is not published: Swarm cannot bind to one address, so the "
            "port would be open on every interface"
        )
        if _is_asked_for(service):
            hint = f"remove it, or open it on every interface of its node: {_OPTION}"
            problems.append(Problem(f"services.{report.service}.ports", problem, hint))
        else:
            report.lost("ports", f"{problem}; {_OPTION} opens it on every interface of its node")
        return None
    report.translated("ports", f"{published} on every interface of the node it runs on (mode: host, no routing mesh)")
    if port.published is not None:
        number = int(port.published)
    else:
        number = None
    return port.model_copy(update={"published": number, "host_ip": None, "mode": "host"})


def _is_asked_for(service: Service) -> bool:
    """The head and its like are gymctl's own; a server is the user's."""
    kind = (service.labels or {}).get(KIND)
    return kind is None or kind in {str(known) for known in ServerKind}
