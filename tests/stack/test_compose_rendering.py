from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from omegaconf import OmegaConf
from plan_strategies import MODEL, RESOURCES, config, recipe, server, weather
from pydantic import ValidationError
from text_strategies import NASTY, any_text, as_compose_reads, nested

from gymctl.config import Config
from gymctl.errors import ConfigError
from gymctl.stack import (
    ComposeDocument,
    StackOptions,
    compose_document,
    plan_stack,
    render_compose,
    render_stack,
    to_yaml,
)
from gymctl.stack.compose.model import Service


def rendered(whole: Config, **options: Any) -> str:
    return render_stack(plan_stack(whole, name="demo", options=StackOptions(version="1.2.3", **options)))


def services(text: str) -> dict[str, Any]:
    """The services as Compose reads them."""

    def read(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: read(item) for key, item in value.items()}
        if isinstance(value, list):
            return [read(item) for item in value]
        return as_compose_reads(value) if isinstance(value, str) else value

    return dict(read(yaml.safe_load(text))["services"])


@given(nested)
@settings(max_examples=40, deadline=None)
def test_any_field_comes_out_of_the_rendered_file_as_it_was(value: Any) -> None:
    environment = services(rendered(config(server("r", RESOURCES, {"field": value}))))["r"]["environment"]
    read = OmegaConf.create(environment["NEMO_GYM_CONFIG_DICT"])
    fields = OmegaConf.to_container(read.r.resources_servers.example_multi_step, resolve=True)
    assert isinstance(fields, dict)
    assert fields["field"] == value
    assert type(fields["field"]) is type(value)


@given(any_text)
@example("$\n\n")  # a literal block would take the blank line after it for its own
@settings(max_examples=60, deadline=None)
def test_any_environment_value_comes_out_as_it_was(text: str) -> None:
    document = ComposeDocument(services={"a": Service(image="i", environment={"TEXT": text}, labels={"t": text})})
    service = services(render_compose(document))["a"]
    assert (service["environment"]["TEXT"], service["labels"]["t"]) == (text, text)


def test_the_nasty_ones_too() -> None:
    values = {f"T{number}": text for number, text in enumerate(NASTY)}
    document = ComposeDocument(services={"a": Service(image="i", environment=values)})
    assert services(render_compose(document))["a"]["environment"] == values


def test_rendering_twice_gives_the_same_bytes() -> None:
    assert rendered(recipe(5)) == rendered(recipe(5))


def test_the_file_begins_with_the_mark_and_says_how_to_render_it_again() -> None:
    plan = plan_stack(weather(), name="demo", options=StackOptions(version="1"))
    arguments = ["a b.yaml", "+config_paths=[x.yaml]", "++policy_api_key=sk-12345", "evil\n.yaml"]
    first = render_stack(plan, arguments=arguments).splitlines()[0]
    assert first.startswith("# Rendered by gymctl")
    assert (
        "gymctl render 'a b.yaml' '+config_paths=[x.yaml]' ++policy_api_key=... 'evil .yaml' -o compose.yaml" in first
    )


def test_a_slice_is_a_block_a_person_can_read_and_each_service_says_what_it_is() -> None:
    text = rendered(weather())
    assert "      NEMO_GYM_CONFIG_DICT: |\n        weather_agent:\n          responses_api_agents:\n" in text
    comment = "  # responses_api_agents/simple_agent, reachable at http://weather_agent:8081 on the stack's network"
    assert f"\n\n{comment}\n  weather_agent:\n" in text
    assert "at http://head:11000 on the stack's network; published on 127.0.0.1:11000\n  head:\n" in text
    assert "    ulimits:  # " in text


def test_every_service_is_hardened_and_quick() -> None:
    document = services(rendered(weather(), nofile=4096))
    for service in document.values():
        assert service["init"] is True
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["restart"] == "unless-stopped"
        assert service["ulimits"] == {"nofile": {"soft": 4096, "hard": 4096}}
        assert service["pull_policy"] == "never"
        assert "depends_on" not in service
        check = service["healthcheck"]
        assert (check["start_period"], check["start_interval"], check["interval"]) == ("180s", "250ms", "10s")
        assert "python" not in check["test"][1]
        assert check["test"][0] == "CMD-SHELL"
        assert 'test -n "$(find /tmp/gymctl-ready -mmin -0.5)"' in check["test"][1]
        assert check["test"][1].count("|| { echo ") == 2, "a failing probe says what it saw"
        assert service["logging"] == {"driver": "json-file", "options": {"max-size": "20m", "max-file": "5"}}
    assert [name for name, service in document.items() if "ports" in service] == ["head"]
    assert document["head"]["ports"] == [{"target": 11000, "published": "11000", "host_ip": "127.0.0.1"}]
    assert document["head"]["environment"]["NEMO_GYM_CONFIG_PATH"] == "head_server"
    assert document["weather"]["labels"] == {
        "gymctl.stack": "demo",
        "gymctl.kind": "resources_servers",
        "gymctl.implementation": "example_multi_step",
        "gymctl.port": "8080",
    }


def test_secrets_are_files_and_each_service_mounts_its_own() -> None:
    text = rendered(weather())
    document = yaml.safe_load(text)
    assert document["secrets"] == {name: {"file": f"./.gymctl/secrets/{name}"} for name in weather().secrets}
    mounted = {name: service.get("secrets") for name, service in document["services"].items()}
    assert mounted == {
        "head": None,
        "policy": ["GYM_POLICY_KEY"],
        "weather": None,
        "weather_agent": None,
        "judge": ["GYM_JUDGE_KEY"],
    }
    assert not [value for value in weather().secrets.values() if value in text]


def test_a_model_on_this_machine_is_reached_through_the_gateway() -> None:
    document = services(rendered(config(server("m", MODEL, {"base_url": "http://localhost:8000/v1"}))))
    assert document["m"]["extra_hosts"] == ["host.docker.internal:host-gateway"]
    assert "extra_hosts" not in document["head"]


def test_a_document_that_breaks_a_rule_is_not_rendered() -> None:
    plan = plan_stack(config(server("r", RESOURCES, {})), name="demo", options=StackOptions(version="1"))
    object.__setattr__(plan.services[1], "needs", ("nobody",))
    with pytest.raises(ConfigError, match="GYM006 unknown service 'nobody'"):
        render_stack(plan)


def test_a_server_told_more_than_omegaconf_reads_by_default_can_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {f"k{number}": number for number in range(6_000)}
    read = services(rendered(config(server("big", RESOURCES, {"table": table}), server("small"))))
    assert "OMEGACONF_MAX_YAML_EXPANDED_NODES" not in read["small"]["environment"]
    environment = read["big"]["environment"]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    child = OmegaConf.create(environment["NEMO_GYM_CONFIG_DICT"])
    assert child.big.resources_servers.example_multi_step.table == table


def test_another_folder_for_secrets() -> None:
    plan = plan_stack(weather(), name="demo", options=StackOptions(version="1"))
    assert (
        compose_document(plan, secrets_dir="../s/").plain()["secrets"]["GYM_JUDGE_KEY"]["file"] == "../s/GYM_JUDGE_KEY"
    )


def test_unknown_keys_are_refused_and_extensions_kept() -> None:
    with pytest.raises(ValidationError, match="unknown key 'imgae'"):
        Service.model_validate({"image": "i", "imgae": "j"})
    assert Service.model_validate({"image": "i", "x-note": "n"}).plain() == {"image": "i", "x-note": "n"}


def test_networks_and_volumes_without_settings_stay() -> None:
    document = ComposeDocument.model_validate(
        {
            "services": {"a": {"image": "i", "networks": {"inner": None}, "volumes": ["cache:/cache"]}},
            "networks": {"inner": None},
            "volumes": {"cache": None},
        }
    )
    data = document.plain()
    assert (data["networks"], data["volumes"]) == ({"inner": {}}, {"cache": {}})
    assert data["services"]["a"]["networks"] == {"inner": {}}


def test_to_yaml_quotes_what_another_reader_takes_for_a_number() -> None:
    assert to_yaml({"a": "0o17", "b": "1e3", "c": "word", "d": "10s"}) == 'a: "0o17"\nb: "1e3"\nc: word\nd: 10s\n'


def test_a_recipe_of_84_servers_takes_well_under_half_a_second() -> None:
    whole = recipe(41)
    assert len(whole.servers) == 84
    rendered(whole)
    times = []
    for _ in range(3):
        start = time.process_time()
        rendered(whole)
        times.append(time.process_time() - start)
    assert min(times) < 0.5


@pytest.mark.parametrize(
    ("before", "appears", "healthy", "at_least_s"),
    [("fresh", False, True, 0.0), ("old", False, False, 0.0), ("none", True, True, 0.2), ("none", False, False, 1.0)],
)
def test_a_probe_waits_for_a_server_that_starts_and_not_for_one_that_hangs(
    tmp_path: Path, before: str, appears: bool, healthy: bool, at_least_s: float
) -> None:
    """The probe itself, in a shell, with a file of the test's own; a fourth of its patience where it is to run out."""
    ready = tmp_path / "ready"
    if before != "none":
        ready.touch()
    if before == "old":
        os.utime(ready, (1, 1))
    probe = services(rendered(weather()))["weather"]["healthcheck"]["test"][1]
    probe = probe.replace("/tmp/gymctl-ready", str(ready))
    if before == "none" and not appears:
        probe = probe.replace("-ge 20", "-ge 5")
    if appears:
        probe = f"(sleep 0.3; touch {ready}) & {probe}"
    began = time.monotonic()
    done = subprocess.run(["sh", "-c", probe], check=False, timeout=20)
    assert (done.returncode == 0) == healthy
    assert time.monotonic() - began >= at_least_s
    if before != "none":
        assert time.monotonic() - began < 4.0  # it did not wait: twenty times 0.2 s
