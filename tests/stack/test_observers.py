"""Prometheus and Alertmanager as services of a stack with ``observe``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gymctl.config import Config, load_config
from gymctl.errors import ConfigError
from gymctl.stack import StackOptions, StackPlan, plan_stack, render_stack
from gymctl.stack.audit.compose_file import stack_of_text
from gymctl.stack.audit.evaluation import evaluate
from gymctl.stack.swarm import render_swarm

pytestmark = pytest.mark.unit

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart"
PROMETHEUS = "gymctl-prometheus"
ALERTMANAGER = "gymctl-alertmanager"
TOKEN = "token-of-the-metrics"
HOOK = "https://alerts.test/hook?key=hook-secret"


def config(tmp_path: Path, observe: Any) -> Config:
    (tmp_path / "observe.yaml").write_text(yaml.safe_dump({"observe": observe}))
    return load_config([str(QUICKSTART), "observe.yaml"], cwd=tmp_path, environ={"HOOK": HOOK})


def plan(tmp_path: Path, observe: Any) -> StackPlan:
    return plan_stack(config(tmp_path, observe), name="demo", options=StackOptions(version="1"))


def document(tmp_path: Path, observe: Any) -> dict[str, Any]:
    whole: dict[str, Any] = yaml.safe_load(render_stack(plan(tmp_path, observe)))
    return whole


def prometheus_yaml(services: dict[str, Any]) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(services[PROMETHEUS]["environment"]["GYMCTL_PROMETHEUS"])
    return read


@pytest.mark.parametrize("observe", [False, None, {"services": False}])
def test_a_stack_without_them_has_neither_services_nor_images(tmp_path: Path, observe: Any) -> None:
    planned = plan(tmp_path, observe)
    assert not {PROMETHEUS, ALERTMANAGER} & {service.name for service in planned.services}
    assert not any(image.dockerfile for image in planned.images)


def test_prometheus_scrapes_every_server_and_calls_the_alertmanager(tmp_path: Path) -> None:
    services = document(tmp_path, True)["services"]
    read = prometheus_yaml(services)
    (scrape,) = read["scrape_configs"]
    jobs = {group["labels"]["job"]: group["targets"] for group in scrape["static_configs"]}
    servers = {target.split(":")[0] for target in jobs["gymctl"]}
    assert servers == set(services) - {PROMETHEUS, ALERTMANAGER}
    assert jobs["gymctl-collector"] == ["gymctl-collector:9464"]
    (manager,) = read["alerting"]["alertmanagers"]
    assert manager["static_configs"] == [{"targets": [f"{ALERTMANAGER}:9093"]}]
    assert read["rule_files"] == ["alerts.yaml"]
    assert "GymctlServerDown" in services[PROMETHEUS]["environment"]["GYMCTL_ALERTS"]


def test_prometheus_shares_a_network_with_every_service(tmp_path: Path) -> None:
    services = document(tmp_path, True)["services"]
    reach = set(services[PROMETHEUS]["networks"])
    assert all(reach & set(service["networks"]) for service in services.values())


def test_neither_has_a_way_out_unless_it_needs_one(tmp_path: Path) -> None:
    whole = document(tmp_path, True)
    for name in (PROMETHEUS, ALERTMANAGER):
        networks = whole["services"][name]["networks"]
        assert all(whole["networks"][network].get("internal") for network in networks)
    whole = document(tmp_path, {"webhook": HOOK, "port": 9090})
    assert "stack-egress" in whole["services"][PROMETHEUS]["networks"]
    assert "stack-egress" in whole["services"][ALERTMANAGER]["networks"]
    assert [name for name, item in whole["services"].items() if "stack-egress" in item["networks"]] == [
        "head",
        PROMETHEUS,
        ALERTMANAGER,
    ]


def test_prometheus_answers_other_containers_only_with_a_port(tmp_path: Path) -> None:
    service = document(tmp_path, True)["services"][PROMETHEUS]
    assert "--web.listen-address=127.0.0.1:9090" in service["command"]
    assert "ports" not in service
    service = document(tmp_path, {"port": 19090})["services"][PROMETHEUS]
    assert "--web.listen-address=0.0.0.0:9090" in service["command"]
    assert service["ports"] == [{"target": 9090, "published": "19090", "host_ip": "127.0.0.1"}]


@pytest.mark.parametrize("observe", [True, {"webhook": HOOK}])
def test_they_are_hardened_like_the_rest(tmp_path: Path, observe: Any) -> None:
    whole = document(tmp_path, observe)
    text = render_stack(plan(tmp_path, observe))
    for name in (PROMETHEUS, ALERTMANAGER):
        service = whole["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert set(service["deploy"]["resources"]["limits"]) == {"memory", "pids"}
        assert service["logging"]["options"]["max-size"]
    findings = evaluate(stack_of_text(text, "compose.yaml", tmp_path)).findings
    evidence = [(finding.rule.id, item.subject) for finding in findings for item in finding.evidence]
    blamed = {rule for rule, where in evidence if where in (PROMETHEUS, ALERTMANAGER)}
    assert blamed <= {"cpus"}  # as of every other service


def test_a_webhook_is_in_no_rendered_file(tmp_path: Path) -> None:
    planned = plan(tmp_path, {"webhook": "${oc.env:HOOK}"})
    assert "hook-secret" not in render_stack(planned)
    read = yaml.safe_load(planned.secrets["gymctl-alertmanager"])
    assert read["receivers"][0]["webhook_configs"] == [{"url": HOOK}]


def test_a_webhook_on_this_machine_is_dialled_through_the_gateway(tmp_path: Path) -> None:
    planned = plan(tmp_path, {"webhook": "http://127.0.0.1:9/hook"})
    service = next(item for item in planned.services if item.name == ALERTMANAGER)
    assert service.extra_hosts == ("host.docker.internal:host-gateway",)
    assert "http://host.docker.internal:9/hook" in planned.secrets["gymctl-alertmanager"]


def test_the_alertmanager_can_have_a_configuration_of_the_users(tmp_path: Path) -> None:
    own = {"route": {"receiver": "mail"}, "receivers": [{"name": "mail"}]}
    assert yaml.safe_load(plan(tmp_path, {"alertmanager": own}).secrets["gymctl-alertmanager"]) == own


def test_servers_get_of_the_block_only_what_they_need(tmp_path: Path) -> None:
    planned = plan(tmp_path, {"webhook": HOOK, "token": TOKEN})
    assert TOKEN not in render_stack(planned)
    (name,) = (name for name, value in planned.secrets.items() if value == TOKEN)
    for service in planned.services:
        if service.slice_text:
            assert yaml.safe_load(service.slice_text)["observe"] == {"token": f"${{oc.env:{name}}}"}
            assert name in service.secrets
    prometheus = next(item for item in planned.services if item.name == PROMETHEUS)
    assert prometheus.secrets == (name,)
    assert f"credentials_file: /run/secrets/{name}" in dict(prometheus.environment)["GYMCTL_PROMETHEUS"]


def test_images_of_the_users_are_fetched_and_none_is_built(tmp_path: Path) -> None:
    images = {"prometheus_image": "prom/prometheus:v3.0.0", "alertmanager_image": "prom/alertmanager:v0.28.0"}
    planned = plan(tmp_path, images)
    services = yaml.safe_load(render_stack(planned))["services"]
    assert services[PROMETHEUS]["image"] == "prom/prometheus:v3.0.0"
    assert {services[name]["pull_policy"] for name in (PROMETHEUS, ALERTMANAGER)} == {"missing"}
    assert not any(image.dockerfile for image in planned.images)


def test_a_stack_file_for_a_swarm_has_both(tmp_path: Path) -> None:
    translated = render_swarm(plan(tmp_path, {"webhook": HOOK}))
    services = yaml.safe_load(translated.text)["services"]
    assert {PROMETHEUS, ALERTMANAGER} <= set(services)
    assert services[ALERTMANAGER]["deploy"]["update_config"]["order"] == "stop-first"
    assert {mount["source"] for mount in services[PROMETHEUS]["volumes"] if mount["type"] == "volume"} == {"prometheus"}
    assert "hook-secret" not in translated.text


@pytest.mark.parametrize(
    ("observe", "message"),
    [
        ("yes please", "observe is 'yes please'"),
        ({"retentoin": "3d"}, "unknown key 'observe.retentoin'"),
        ({"retention": "3 days"}, "it must be a time such as 12h, 15d or 4w"),
        ({"port": 0}, "observe.port is 0"),
        ({"token": "short"}, "observe.token is not valid"),
        ({"webhook": "alerts.test"}, "webhook is not a URL"),
        ({"webhook": HOOK, "alertmanager": {"route": {}}}, "webhook has no effect"),
        ({"services": False, "port": 9090}, "has no effect with services: false"),
    ],
)
def test_a_wrong_block_is_an_error_with_its_place(tmp_path: Path, observe: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=r"observe\.yaml:") as caught:
        config(tmp_path, observe)
    assert message in str(caught.value)
