"""What containers get to reach the outside: the machine's proxy and certificates, and what never uses them."""

from __future__ import annotations

from plan_strategies import AGENT, MODEL, RESOURCES, config, ref, server

from gymctl.stack import StackOptions, StackPlan, plan_stack, render_stack
from gymctl.stack.egress import CERTIFICATES, Egress, no_proxy, read_egress

PROXY = "http://proxy.test:3128"


def plan(egress: Egress) -> StackPlan:
    whole = config(
        server("policy", MODEL, {"openai_base_url": "https://api.test/v1"}),
        server("judged", RESOURCES, {"judge_model_server": ref(MODEL, "policy"), "search_url": "https://search.test"}),
        server("agent", AGENT, {"resources_server": ref(RESOURCES, "judged"), "model_server": ref(MODEL, "policy")}),
    )
    return plan_stack(whole, name="demo", options=StackOptions(version="1", egress=egress))


def environments(planned: StackPlan) -> dict[str, dict[str, str]]:
    return {service.name: dict(service.environment) for service in planned.services}


def test_nothing_is_given_where_nothing_is_set() -> None:
    planned = plan(read_egress({}, {}))
    assert all(not environment for environment in environments(planned).values())
    assert planned.notes == ()


def test_the_proxy_reaches_servers_that_call_the_outside_and_spares_the_stack() -> None:
    planned = plan(read_egress({"HTTPS_PROXY": PROXY, "no_proxy": "corp.test"}, {}))
    variables = environments(planned)
    assert variables["head"] == variables["agent"] == {}
    assert variables["policy"]["HTTPS_PROXY"] == variables["policy"]["https_proxy"] == PROXY
    exceptions = variables["judged"]["no_proxy"].split(",")
    assert variables["judged"]["NO_PROXY"] == variables["judged"]["no_proxy"]
    assert {"corp.test", "localhost", "127.0.0.1", "host.docker.internal", "head", "policy", "judged"} <= set(
        exceptions
    )
    assert any(PROXY in note for note in planned.notes)


def test_a_proxy_of_this_machine_is_reached_from_containers() -> None:
    planned = plan(read_egress({"http_proxy": "http://localhost:3128"}, {}))
    policy = next(service for service in planned.services if service.name == "policy")
    assert dict(policy.environment)["http_proxy"] == "http://host.docker.internal:3128"
    assert policy.extra_hosts == ("host.docker.internal:host-gateway",)


def test_a_password_in_a_proxys_url_is_a_secret() -> None:
    planned = plan(read_egress({"https_proxy": "http://me:pa55word@proxy.test:3128"}, {}))
    policy = next(service for service in planned.services if service.name == "policy")
    assert policy.secrets == ("HTTPS_PROXY",)
    assert planned.secrets["HTTPS_PROXY"] == "http://me:pa55word@proxy.test:3128"
    assert "pa55word" not in render_stack(planned)
    assert not any("pa55word" in note for note in planned.notes)


def test_dockers_own_proxies_count_where_the_environment_has_none() -> None:
    docker = {"httpsProxy": PROXY, "noProxy": "corp.test"}
    assert read_egress({}, docker).proxies == {"HTTPS_PROXY": PROXY}
    assert read_egress({}, docker).exceptions == "corp.test"
    assert read_egress({"HTTPS_PROXY": "http://mine.test"}, docker).proxies == {"HTTPS_PROXY": "http://mine.test"}


def test_certificates_are_a_file_that_programs_are_pointed_to() -> None:
    planned = plan(Egress(certificates="-----BEGIN CERTIFICATE-----"))
    services = {service.name: service for service in planned.services}
    assert services["policy"].secrets == services["judged"].secrets == (CERTIFICATES,)
    assert dict(services["policy"].environment)["SSL_CERT_FILE"] == f"/run/secrets/{CERTIFICATES}"
    assert services["agent"].secrets == services["head"].secrets == ()
    assert "BEGIN CERTIFICATE" not in render_stack(planned)


def test_exceptions_are_named_once() -> None:
    assert no_proxy("a, b,,", ("b", "c")) == "a,b,c"
