"""Servers that may reach only some hosts: their proxies, and what programs in their containers find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import yaml
from plan_strategies import AGENT, MODEL, RESOURCES, config, ref, server

from gymctl.config import ServerInstance
from gymctl.config.blocks.container_settings import ContainerSettings
from gymctl.config.model import Membership
from gymctl.config.vocabulary import Role
from gymctl.errors import ConfigError
from gymctl.stack import StackOptions, StackPlan, plan_stack, render_stack
from gymctl.stack.egress import CERTIFICATES, Egress
from gymctl.stack.service import ServicePlan
from gymctl.stack.swarm import render_swarm

pytestmark = pytest.mark.unit


def servers(hosts: Sequence[str] = ("x.test",), **fields: Any) -> list[ServerInstance]:
    """An environment with a list, its agent and a model."""
    env = server("env", RESOURCES, {"judge_model_server": ref(MODEL, "policy"), **fields})
    return [
        replace(env, container=ContainerSettings.model_validate({"egress": list(hosts)})),
        server("policy", MODEL, {"openai_base_url": "https://api.test/v1"}),
        server("agent", AGENT, {"resources_server": ref(RESOURCES, "env"), "model_server": ref(MODEL, "policy")}),
    ]


def plan(listed: Sequence[ServerInstance], **options: Any) -> StackPlan:
    return plan_stack(config(*listed), name="demo", options=StackOptions(version="1", **options))


def of(planned: StackPlan, name: str) -> ServicePlan:
    return next(service for service in planned.services if service.name == name)


def test_a_server_finds_its_proxy_and_calls_the_stack_without_it() -> None:
    planned = plan(servers())
    env = of(planned, "env")
    variables = dict(env.environment)
    url = "http://env-egress:3128"
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "GYMCTL_EGRESS_PROXY"):
        assert variables[name] == url
    assert variables["NO_PROXY"] == variables["no_proxy"]
    assert set(variables["no_proxy"].split(",")) == {"localhost", "127.0.0.1", "::1", "head", "env", "policy"}
    assert env.needs == ("env-egress",)
    assert not env.egress
    assert not of(planned, "agent").environment


def test_a_proxy_has_the_hosts_of_its_server() -> None:
    first, *others = servers(["API.test", "*.x.test:8443"])
    other = replace(server("other", RESOURCES), container=ContainerSettings(egress=("other.test",)))
    planned = plan([first, *others, other])
    assert dict(of(planned, "env-egress").environment) == {
        "GYMCTL_EGRESS_SERVER": "env",
        "GYMCTL_EGRESS_HOSTS": "api.test *.x.test:8443",
    }
    assert dict(of(planned, "other-egress").environment)["GYMCTL_EGRESS_HOSTS"] == "other.test"
    assert "env can reach api.test, *.x.test:8443 only, through a proxy" in planned.notes


def test_hosts_that_settings_name_and_the_list_does_not_are_noted() -> None:
    listed = ["api.test:8443", "host.docker.internal:8000"]
    fields = {"a_url": "https://api.test:8443/v1", "b_url": "http://localhost:8000", "c_url": "https://c.test"}
    notes = plan(servers(listed, **fields)).notes
    assert [note for note in notes if "'egress' does not list" in note] == [
        "env: its settings name c.test, which its 'egress' does not list"
    ]


def test_this_machine_is_reached_by_the_proxy_only() -> None:
    listed = servers(["host.docker.internal:8000", "me.test:80"], a_url="http://localhost:8000", b_url="http://me.test")
    planned = plan(listed, machine_names=("me.test", "unlisted.test"))
    assert of(planned, "env").extra_hosts == ()
    assert of(planned, "env-egress").extra_hosts == (
        "host.docker.internal:host-gateway",
        "me.test:host-gateway",
    )
    assert of(plan(servers(a_url="http://localhost:8000")), "env-egress").extra_hosts == ()


def test_the_proxy_of_this_machine_is_for_the_proxy_and_its_certificates_for_the_server() -> None:
    url = "http://me:pa55word@proxy.test:3128"
    planned = plan(servers(), egress=Egress({"HTTPS_PROXY": url}, "corp.test", "-----BEGIN CERTIFICATE-----"))
    proxy = of(planned, "env-egress")
    assert proxy.secrets == ("HTTPS_PROXY",)
    assert "corp.test" in dict(proxy.environment)["NO_PROXY"].split(",")
    assert of(planned, "env").secrets == (CERTIFICATES,)
    assert dict(of(planned, "env").environment)["HTTPS_PROXY"] == "http://env-egress:3128"
    assert planned.secrets["HTTPS_PROXY"] == url


def test_variables_of_the_user_are_kept() -> None:
    first, *others = servers()
    first = replace(first, container=ContainerSettings(egress=("x.test",), environment={"NO_PROXY": "own.test"}))
    assert dict(of(plan([first, *others]), "env").environment)["NO_PROXY"] == "own.test"


def test_a_name_that_is_taken_or_too_long_is_replaced() -> None:
    taken = server("env-egress", RESOURCES)
    names = {service.name for service in plan([*servers(), taken]).services}
    [name] = [name for name in names if name.endswith("-egress") and name != "env-egress"]
    assert len(name) == len("12345678-egress")
    long = replace(server("e" * 60, RESOURCES), container=ContainerSettings(egress=("x.test",)))
    document = yaml.safe_load(render_stack(plan([long])))
    assert all(len(f"demo_{name}") <= 63 for name in document["networks"])


def test_a_stack_on_several_machines_has_no_lists() -> None:
    whole = replace(config(*servers()), membership=Membership(role=Role.COORDINATOR, token="t", node="n"))
    with pytest.raises(ConfigError, match="a list of hosts in 'egress' is not available with --role"):
        plan_stack(whole, name="demo", options=StackOptions("1"))


def test_a_swarm_has_the_same_networks_and_proxies() -> None:
    document = yaml.safe_load(render_swarm(plan(servers())).text)
    assert document["networks"]["stack-hosts-env"]["internal"]
    assert set(document["services"]["env-egress"]["networks"]) == {"stack-hosts-env", "stack-egress-proxies"}
    assert document["services"]["env"]["environment"]["HTTPS_PROXY"] == "http://env-egress:3128"
