"""What ``docker stack`` itself reads from a rendered stack file. Needs no swarm, no image, and starts nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stack"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from plan_strategies import MODEL, RESOURCES, config, recipe, ref, server
from render_examples import TARGETS, examples, render
from test_compose_roundtrip import made_texts
from test_swarm_keys import NEEDED, PARTS, PLACES, SAMPLES
from text_strategies import NASTY

from gymctl.errors import ConfigError
from gymctl.stack import ComposeDocument, StackOptions, plan_stack
from gymctl.stack.compose.model import Service
from gymctl.stack.compose.yaml import render_document
from gymctl.stack.swarm import render_swarm, translate

pytestmark = pytest.mark.docker


def stack_config(directory: Path, text: str) -> subprocess.CompletedProcess[str]:
    (directory / "stack.yaml").write_text(text, encoding="utf-8")
    command = ["docker", "stack", "config", "-c", "stack.yaml"]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=60, check=False)


def as_docker_reads(directory: Path, text: str) -> dict[str, Any]:
    done = stack_config(directory, text)
    assert done.returncode == 0, done.stderr
    return dict(yaml.load(done.stdout, Loader=yaml.BaseLoader))  # every scalar as text: Docker writes a plain <<


def written_by_docker(texts: dict[str, str]) -> dict[str, str]:
    """Docker reads newlines at the beginning of a text and loses them when it writes YAML; it deploys what it read."""
    return {name: text.lstrip("\n") for name, text in texts.items()}


def expanded(texts: dict[str, str]) -> dict[str, str]:
    """Variables after Swarm expanded its templates in them."""
    return {name: text.replace('{{"{{"}}', "{{") for name, text in texts.items()}


@pytest.mark.parametrize("example", examples(), ids=lambda path: path.name)
def test_docker_takes_every_example(example: Path, tmp_path: Path) -> None:
    read = as_docker_reads(tmp_path, render(example, TARGETS["swarm"]))
    assert set(read["services"]) >= {"head"}
    assert {service["deploy"]["endpoint_mode"] for service in read["services"].values()} == {"dnsrr"}


def test_every_text_reaches_the_container_as_it_is(tmp_path: Path) -> None:
    texts = [*NASTY, *made_texts(400)]
    values = {f"T{number}": text for number, text in enumerate(texts)}
    document = ComposeDocument(name="roundtrip", services={"a": Service(image="i", environment=values, labels=values)})
    read = as_docker_reads(tmp_path, render_document(translate(document).document, ("# x",)))["services"]["a"]
    for where in (expanded(read["environment"]), read["labels"], read["deploy"]["labels"]):
        assert written_by_docker(where) == written_by_docker(values)


def test_a_slice_of_nasty_fields_is_the_same_text(tmp_path: Path) -> None:
    fields = {f"f{number}": text for number, text in enumerate([*NASTY, *made_texts(100)])}
    whole = config(server("r", RESOURCES, {**fields, "judge": ref(MODEL, "m")}), server("m", MODEL))
    plan = plan_stack(whole, name="roundtrip", options=StackOptions(version="1"))
    read = as_docker_reads(tmp_path, render_swarm(plan).text)["services"]
    for service in plan.services:
        assert expanded(read[service.name]["environment"])["NEMO_GYM_CONFIG_DICT"] == service.slice_text


def test_docker_takes_a_recipe_of_84_servers(tmp_path: Path) -> None:
    plan = plan_stack(recipe(41), name="large", options=StackOptions(version="1"))
    assert len(as_docker_reads(tmp_path, render_swarm(plan).text)["services"]) == 85


def test_docker_takes_names_that_yaml_has_for_booleans(tmp_path: Path) -> None:
    names = ["y", "n", "Y", "N", "on", "off", "yes", "no"]
    services = {name: Service(image="i", environment={name: name}) for name in names}
    document = translate(ComposeDocument(services=services)).document
    read = as_docker_reads(tmp_path, render_document(document, ("# x",)))["services"]
    assert {name: read[name]["environment"] for name in names} == {name: {name: name} for name in names}


def test_docker_takes_every_key_that_is_left(tmp_path: Path) -> None:
    """No key of our documents, translated, is one that ``docker stack`` refuses."""
    for part in PARTS:
        for key, sample in SAMPLES[part.__name__].items():
            plain = PLACES[part.__name__]({**NEEDED.get(part.__name__, {}), key: sample})
            plain.setdefault("services", {})["other"] = {"image": "o"}
            _declare(plain)
            try:
                translation = translate(ComposeDocument.model_validate(plain))
            except ConfigError:
                continue
            done = stack_config(tmp_path, render_document(translation.document, ("# x",)))
            assert done.returncode == 0, (part.__name__, key, done.stderr)


def _declare(plain: dict[str, Any]) -> None:
    """Whatever a service of the samples names is there."""
    plain.setdefault("networks", {}).setdefault("n", None)
    plain.setdefault("volumes", {}).setdefault("v", None)
    plain.setdefault("secrets", {}).setdefault("s", {"file": "./s"})
    plain.setdefault("configs", {}).setdefault("c", {"file": "./c"})
