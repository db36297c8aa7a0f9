"""The whole way from a plan to the text of a stack file."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import yaml
from hypothesis import example, given, settings
from plan_strategies import MODEL, RESOURCES, config, recipe, server, weather
from text_strategies import NASTY, any_text, as_compose_reads

from gymctl.config import Placement, Placements, ResourceLimits
from gymctl.config.blocks.placement import Reservation
from gymctl.stack import ComposeDocument, StackOptions, plan_stack
from gymctl.stack.compose.model import Service
from gymctl.stack.compose.yaml import render_document
from gymctl.stack.swarm import SwarmRendering, render_swarm, translate


def rendered(whole: Any, **options: Any) -> SwarmRendering:
    return render_swarm(plan_stack(whole, name="demo", options=StackOptions(version="1", **options)))


def test_a_stack_file_has_neither_name_nor_version() -> None:
    rendering = rendered(weather())
    document = yaml.safe_load(rendering.text)
    assert rendering.name == "demo"
    assert {"name", "version"}.isdisjoint(document)
    assert list(document["services"]) == ["head", "policy", "weather", "weather_agent", "judge"]
    assert rendering.text.startswith(
        "# Rendered by gymctl. Manual changes will be overwritten. Regenerate with: gymctl render"
    )
    assert rendering.text == rendered(weather()).text


def test_no_secret_is_in_it_and_a_new_value_has_a_new_name() -> None:
    plan = plan_stack(weather(), name="demo", options=StackOptions(version="1"))
    changed = replace(plan, secrets={**plan.secrets, "GYM_JUDGE_KEY": "sk-another"})
    before, after = render_swarm(plan), render_swarm(changed)
    for value in (*plan.secrets.values(), "sk-another"):
        assert value not in before.text + repr(before) + after.text + repr(after)
    old, new = (yaml.safe_load(one.text)["secrets"] for one in (before, after))
    assert old["GYM_POLICY_KEY"] == new["GYM_POLICY_KEY"]
    assert old["GYM_JUDGE_KEY"]["name"] != new["GYM_JUDGE_KEY"]["name"]


def test_the_head_is_published_only_when_asked() -> None:
    assert "ports" not in yaml.safe_load(rendered(weather()).text)["services"]["head"]
    opened = yaml.safe_load(rendered(weather(), publish_host="0.0.0.0").text)
    assert opened["services"]["head"]["ports"] == [{"target": 11000, "published": 11000, "mode": "host"}]


def as_swarm_hands_on(text: str) -> str:
    """A variable after Docker's interpolation and Swarm's expansion of Go templates, which refuses other braces."""
    read = as_compose_reads(text)
    literal, *actions = re.split(r'\{\{"\{\{"\}\}', read)
    assert not any("{{" in part for part in (literal, *actions)), f"a template that Swarm would expand: {read!r}"
    return "{{".join((literal, *actions))


@given(any_text)
@example("{{ question }} {{{a}}} {{{{")
@example("$\n\n")
@settings(max_examples=30, deadline=None)
def test_any_environment_value_comes_out_as_it_was(text: str) -> None:
    document = ComposeDocument(services={"a": Service(image="i", environment={"TEXT": text}, labels={"t": text})})
    service = yaml.safe_load(render_document(translate(document).document, ("# x",)))["services"]["a"]
    assert as_swarm_hands_on(service["environment"]["TEXT"]) == text
    assert as_compose_reads(service["labels"]["t"]) == as_compose_reads(service["deploy"]["labels"]["t"]) == text


def test_the_nasty_ones_too() -> None:
    values = {f"T{number}": text for number, text in enumerate(NASTY)}
    document = ComposeDocument(services={"a": Service(image="i", environment=values)})
    read = yaml.safe_load(render_document(translate(document).document, ("# x",)))["services"]["a"]["environment"]
    assert {name: as_swarm_hands_on(text) for name, text in read.items()} == values


def test_names_that_yaml_takes_for_booleans_are_quoted() -> None:
    names = ["y", "n", "Y", "N", "on", "off", "yes", "no"]
    services = {name: Service(image="i", environment={name: name}) for name in names}
    text = render_document(translate(ComposeDocument(services=services)).document, ("# x",))
    for name in names:
        assert re.search(rf"""^  ["']{name}["']:$""", text, re.MULTILINE)
        assert re.search(rf"""["']{name}["']: ["']{name}["']$""", text, re.MULTILINE)


def test_placement_and_limits_of_the_configuration() -> None:
    placement = Placement(
        role="worker",
        host="!n1",
        labels={"pool": "cpu", "disk": "!hdd"},
        gpu=False,
        spread=("zone", "rack"),
        max_replicas_per_node=2,
    )
    limits = ResourceLimits(cpus=1.5, memory="2gb", pids=50, gpus=2, reserve=Reservation(memory="1gb"))
    placed = replace(server("env", RESOURCES, {"domain": "math"}), placement=placement, limits=limits)
    whole = replace(config(placed, server("policy", MODEL)), placements=Placements(head=Placement(gpu="A100")))
    services = yaml.safe_load(rendered(whole).text)["services"]
    assert services["env"]["deploy"]["placement"] == {
        "constraints": [
            "node.role==worker",
            "node.hostname!=n1",
            "node.labels.pool==cpu",
            "node.labels.disk!=hdd",
            "node.labels.gymctl.gpu!=true",
        ],
        "preferences": [{"spread": "node.labels.zone"}, {"spread": "node.labels.rack"}],
        "max_replicas_per_node": 2,
    }
    assert services["env"]["deploy"]["resources"] == {
        "limits": {"cpus": "1.5", "memory": "2gb", "pids": 50},
        "reservations": {
            "memory": "1gb",
            "generic_resources": [{"discrete_resource_spec": {"kind": "NVIDIA-GPU", "value": 2}}],
        },
    }
    assert services["head"]["deploy"]["placement"] == {"constraints": ["node.labels.gymctl.gpu-kind==A100"]}
    assert "placement" not in services["policy"]["deploy"]


def test_a_recipe_of_84_servers_is_rendered() -> None:
    rendering = rendered(recipe(41))
    assert len(yaml.safe_load(rendering.text)["services"]) == 85
