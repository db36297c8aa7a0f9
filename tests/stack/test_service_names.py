"""Any name that NeMo Gym allows for a server becomes a service: its own, or one derived from it."""

from __future__ import annotations

import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from plan_strategies import AGENT, MODEL, RESOURCES, config, ref, server

from gymctl.config import Config
from gymctl.engines.planned_servers import server_address
from gymctl.stack import StackOptions, StackPlan, plan_stack, render_stack
from gymctl.stack.service_names import service_names
from gymctl.stack.swarm import render_swarm

LONG = "genrm_compare_simple_agent_reasoning_off_with_a_name_beyond_what_dns_accepts"
ODD_NAMES = ("litmus/agent", "my server", LONG, "Env", "env", "head", "Node", "ray-head", "-x", "über", "a/b", "a b")
LABEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")


def plan(whole: Config, name: str = "demo") -> StackPlan:
    return plan_stack(whole, name=name, options=StackOptions(version="1"))


def odd_stack() -> Config:
    return config(
        server("policy/model", MODEL, {"openai_base_url": "https://api.test/v1"}),
        server(LONG, RESOURCES, {"domain": "agent"}),
        server(
            "my agent",
            AGENT,
            {"resources_server": ref(RESOURCES, LONG), "model_server": ref(MODEL, "policy/model")},
        ),
    )


@given(st.lists(st.text(min_size=1, max_size=80) | st.sampled_from(ODD_NAMES), unique=True, max_size=8), st.data())
def test_every_name_has_one_valid_service_name_of_its_own(names: list[str], data: st.DataObject) -> None:
    counts = data.draw(st.lists(st.sampled_from((1, 2)), min_size=len(names), max_size=len(names)))
    pairs = zip(names, counts, strict=True)
    servers = {name: server(name, RESOURCES, {"replicas": count}) for name, count in pairs}
    services = service_names(servers, "demo")
    assert list(services) == names
    assert all(LABEL.fullmatch(service) and len(f"demo_{service}") <= 63 for service in services.values())
    assert len({service.lower() for service in services.values()} | {"head", "node", "ray-head"}) == len(names) + 3
    assert services == service_names(servers, "demo")


def test_a_valid_name_is_kept() -> None:
    assert service_names(config(server("weather_1.x")).servers) == {"weather_1.x": "weather_1.x"}


def test_a_derived_name_never_takes_the_name_of_another_server() -> None:
    derived = service_names(config(server("a/b")).servers)["a/b"]
    names = service_names(config(server("a/b"), server(derived)).servers)
    assert names[derived] == derived
    assert names["a/b"].startswith("a-b-")
    assert names["a/b"] != derived


def test_replicas_of_a_server_never_share_a_name_with_another_server() -> None:
    names = service_names(config(server("policy", MODEL, {"replicas": 2}), server("policy-replica")).servers)
    assert len({names["policy"], f"{names['policy']}-replica", names["policy-replica"]}) == 3


def test_slices_references_and_the_head_keep_the_name_of_the_server() -> None:
    planned = plan(odd_stack())
    services = {service.title: service for service in planned.services}
    assert list(services) == ["head", "policy/model", LONG, "my agent"]
    agent = services["my agent"]
    assert agent.config_path == "my agent"
    view = yaml.safe_load(agent.slice_text)
    fields = view["my agent"]["responses_api_agents"]["simple_agent"]
    assert fields["model_server"] == {"type": "responses_api_models", "name": "policy/model"}
    peer = view[LONG]["resources_servers"]["example_multi_step"]
    assert peer["host"] == services[LONG].name
    head = yaml.safe_load(services["head"].slice_text)
    assert head["my agent"]["responses_api_agents"]["simple_agent"]["host"] == agent.name
    assert set(head) >= {"policy/model", LONG, "my agent"}


def test_the_rendered_file_says_which_server_a_service_is() -> None:
    planned = plan(odd_stack())
    text = render_stack(planned)
    document = yaml.safe_load(text)
    labels = [service["labels"].get("gymctl.server") for service in document["services"].values()]
    assert labels == [None, "policy/model", LONG, "my agent"]
    assert "# my agent: responses_api_agents/simple_agent, reachable at http://my-agent-" in text


def test_a_swarm_takes_the_names_too() -> None:
    rendering = render_swarm(plan(odd_stack(), "a-stack-of-some-length"), arguments=(), images={})
    assert len(rendering.services) == 4
    assert all(len(f"a-stack-of-some-length_{name}") <= 63 for name in rendering.services)


def test_the_state_of_a_stack_knows_the_server_and_its_service() -> None:
    service = plan(odd_stack()).services[1]
    address = server_address(service, service.address)
    assert (address.name, address.service_name) == ("policy/model", service.name)
    assert address.address == f"http://{service.name}:8000"


@pytest.mark.parametrize("name", ["head", "node", "ray-head"])
def test_a_server_may_have_the_name_of_a_service_of_gymctl(name: str) -> None:
    first, second = plan(config(server(name))).services
    assert first.name == first.title == "head"
    assert second.name not in ("head", "node", "ray-head")
    assert second.title == second.config_path == name


def test_a_long_stack_name_changes_no_name_outside_of_a_swarm() -> None:
    name = "example_session_state_mgmt_resources_server"
    servers = config(server(name)).servers
    assert service_names(servers) == {name: name}
    assert service_names(servers, "a-stack-of-more-than-20-characters")[name] != name
