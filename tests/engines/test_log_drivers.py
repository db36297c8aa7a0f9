"""Servers whose log lines Docker cannot read back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gymctl.engines.docker.log_drivers import ServiceLog, readable_services
from gymctl.engines.swarm.logs import services_to_read
from gymctl.errors import EngineError

SENT = ServiceLog(
    service="web-1",
    name="web",
    driver="syslog",
    options={"syslog-address": "udp://10.0.0.5:514", "cache-disabled": "true"},
)
KEPT = ServiceLog(service="head", name="head", driver="syslog", options={"syslog-address": "udp://10.0.0.5:514"})


def test_readable_services_are_read_and_the_others_have_a_line() -> None:
    lines: list[str] = []
    assert readable_services([SENT, KEPT], lines.append) == ["head"]
    assert lines == ["log lines of web are sent to syslog (udp://10.0.0.5:514), and Docker keeps no copy of them"]


def test_no_readable_service_is_an_error_with_the_receiver() -> None:
    dropped = ServiceLog(service="quiet", name="quiet", driver="none")
    with pytest.raises(
        EngineError, match=r"web are sent to syslog \(udp://10.0.0.5:514\).*quiet are not kept"
    ) as caught:
        readable_services([SENT, dropped], pytest.fail)
    assert "cache-disabled" in str(caught.value)


def test_a_stack_without_containers_has_nothing_to_report() -> None:
    assert readable_services([], pytest.fail) == []


def swarm_service(name: str, driver: dict[str, Any] | None) -> dict[str, Any]:
    template: dict[str, Any] = {"ContainerSpec": {"Image": "image"}}
    if driver is not None:
        template["LogDriver"] = driver
    spec = {"Name": f"demo_{name}", "Mode": {"Replicated": {"Replicas": 1}}, "TaskTemplate": template}
    return {"ID": name, "Version": {"Index": 1}, "Spec": spec}


def test_a_swarms_services_are_read_back_where_docker_keeps_a_copy() -> None:
    listed = [
        swarm_service("web-1", {"Name": "gelf", "Options": {"gelf-address": "udp://a:1", "cache-disabled": "true"}}),
        swarm_service("head", {"Name": "gelf", "Options": {"gelf-address": "udp://a:1"}}),
        swarm_service("plain", None),
        swarm_service("addon", {"Name": "none"}),
    ]
    client: Any = SimpleNamespace(api=SimpleNamespace(services=lambda filters: listed))
    names = {"web-1": "web", "head": "head", "plain": "plain"}
    lines: list[str] = []
    assert services_to_read(client, "demo", names, lines.append) == {"head": "head", "plain": "plain"}
    assert lines == ["log lines of web are sent to gelf (udp://a:1), and Docker keeps no copy of them"]
    with pytest.raises(EngineError, match=r"gelf \(udp://a:1\)"):
        services_to_read(client, "demo", {"web-1": "web"}, pytest.fail)
