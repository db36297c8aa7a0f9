"""A server's own container settings in the rendered file."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml
from plan_strategies import MODEL, RESOURCES, config, server

from gymctl.config.blocks.container_settings import ContainerSettings
from gymctl.config.blocks.log_shipping import LogsKeys
from gymctl.errors import ConfigError
from gymctl.stack import StackOptions, plan_stack, render_stack
from gymctl.stack.container import start_seconds
from gymctl.stack.swarm import render_swarm

SETTINGS = ContainerSettings.model_validate(
    {
        "start_period": "10m",
        "volumes": ["/srv/rows:/rows:ro", "cache:/data"],
        "environment": {"SEARCH_URL": "http://localhost:5000", "LEVEL": "$debug"},
        "networks": ["shared"],
        "logging": {"driver": "local", "options": {"max-size": "50m"}},
    }
)


def document(options: StackOptions | None = None, settings: ContainerSettings = SETTINGS) -> dict[str, Any]:
    mine = replace(server("mine", RESOURCES), container=settings)
    plan = plan_stack(config(mine, server("other", MODEL)), name="demo", options=options or StackOptions("1"))
    rendered: dict[str, Any] = yaml.safe_load(render_stack(plan))
    return rendered


def test_a_server_gets_what_its_settings_say_and_others_do_not() -> None:
    whole = document()
    mine, other = whole["services"]["mine"], whole["services"]["other"]
    assert mine["healthcheck"]["start_period"] == "600s"
    assert mine["volumes"] == [
        {"type": "bind", "source": "/srv/rows", "target": "/rows", "read_only": True},
        {"type": "volume", "source": "cache", "target": "/data"},
    ]
    assert mine["environment"]["LEVEL"] == "$$debug"
    assert mine["environment"]["SEARCH_URL"] == "http://host.docker.internal:5000"
    assert mine["extra_hosts"] == ["host.docker.internal:host-gateway"]
    assert mine["networks"] == {"mine-alone": {}, "stack-egress": {}, "shared": {}}
    assert mine["logging"] == {"driver": "local", "options": {"max-size": "50m"}}
    assert whole["networks"] == {
        "mine-alone": {"internal": True, "driver_opts": {"com.docker.network.bridge.inhibit_ipv4": "true"}},
        "other-alone": {"internal": True, "driver_opts": {"com.docker.network.bridge.inhibit_ipv4": "true"}},
        "stack-egress": {},
        "shared": {"external": True},
    }
    assert whole["volumes"] == {"cache": {}}
    assert not {"volumes", "extra_hosts"} & other.keys()
    assert other["networks"] == {"other-alone": {}}
    assert other["healthcheck"]["start_period"] == "180s"


def test_a_daemon_with_another_log_driver_keeps_it() -> None:
    services = document(StackOptions("1", bounded_logs=False))["services"]
    assert "logging" not in services["other"]
    assert services["mine"]["logging"]["driver"] == "local", "it was asked for"


@pytest.mark.parametrize(("seconds", "mine", "other"), [(60.0, "600s", "180s"), (300.0, "600s", "300s")])
def test_health_checks_give_at_least_the_timeout(seconds: float, mine: str, other: str) -> None:
    services = document(StackOptions("1", start_seconds=seconds))["services"]
    assert services["mine"]["healthcheck"]["start_period"] == mine
    assert services["other"]["healthcheck"]["start_period"] == other


def test_the_stacks_log_driver_is_that_of_every_service_without_its_own() -> None:
    logs = LogsKeys.model_validate({"driver": "syslog", "options": {"syslog-address": "udp://logs:514"}})
    whole = replace(config(replace(server("mine", RESOURCES), container=SETTINGS), server("other", MODEL)), logs=logs)
    expected = {
        "driver": "syslog",
        "options": {"syslog-address": "udp://logs:514", "tag": "{{.Name}}", "mode": "non-blocking"},
    }
    for bounded in (True, False):
        plan = plan_stack(whole, name="demo", options=StackOptions("1", bounded_logs=bounded))
        for text in (render_stack(plan), render_swarm(plan).text):
            services = yaml.safe_load(text)["services"]
            assert services["mine"]["logging"]["driver"] == "local"
            assert all(service["logging"] == expected for name, service in services.items() if name != "mine")
            assert len(services) == 3


def test_a_secret_in_a_variable_is_refused() -> None:
    mine = replace(server("mine", RESOURCES), container=ContainerSettings(environment={"KEY": "sk-not-to-be-seen"}))
    with pytest.raises(ConfigError, match=r"mine.environment.KEY holds a secret"):
        plan_stack(config(mine, secrets={"GYM_KEY": "sk-not-to-be-seen"}), name="demo", options=StackOptions("1"))


def test_the_settings_reach_a_swarm() -> None:
    mine = replace(server("mine", RESOURCES), container=SETTINGS)
    rendering = render_swarm(plan_stack(config(mine), name="demo", options=StackOptions("1")))
    service = yaml.safe_load(rendering.text)["services"]["mine"]
    assert service["logging"]["driver"] == "local"
    assert set(service["networks"]) == {"mine-alone", "stack-egress", "shared"}
    assert {"/rows", "/data"} <= {mount["target"] for mount in service["volumes"]}
    assert yaml.safe_load(rendering.text)["networks"]["mine-alone"]["attachable"] is True


def test_start_periods_are_counted_in_seconds() -> None:
    plan = plan_stack(config(server("a", MODEL)), name="demo", options=StackOptions("1"))
    assert [start_seconds(replace(plan.services[0], start_period=text)) for text in ("90s", "45m", "1h")] == [
        90.0,
        2700.0,
        3600.0,
    ]
