"""What Docker Compose itself reads from a rendered file. Needs no image and starts nothing."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "stack"))

from plan_strategies import MODEL, RESOURCES, config, recipe, ref, server
from text_strategies import NASTY

from gymctl.stack import (
    ComposeDocument,
    StackOptions,
    StackPlan,
    compose_document,
    plan_stack,
    render_compose,
    render_stack,
)
from gymctl.stack.compose.model import Service

pytestmark = pytest.mark.docker

_ALPHABET = ["$", "{", "}", "${", "\\", "'", '"', "\n", "\n\n", " ", "#", ": ", "- ", "a", "é", "\U0001f600", "\t", "%"]


def made_texts(count: int) -> list[str]:
    chance = random.Random(20)
    return ["".join(chance.choice(_ALPHABET) for _ in range(chance.randint(1, 14))) for _ in range(count)]


def as_docker_reads(directory: Path, text: str) -> dict[str, Any]:
    (directory / "compose.yaml").write_text(text, encoding="utf-8")
    command = ["docker", "compose", "-f", "compose.yaml", "config", "--format", "json"]
    done = subprocess.run(command, cwd=directory, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return dict(json.loads(done.stdout))


def planned(*servers: Any, **more: Any) -> StackPlan:
    return plan_stack(config(*servers, **more), name="roundtrip", options=StackOptions(version="1"))


def undoubled(value: str) -> str:
    """``compose config`` writes a file that Compose can read again, so it doubles each dollar itself."""
    return value.replace("$$", "$")


def test_every_text_reaches_the_container_as_it_is(tmp_path: Path) -> None:
    # Compose's JSON output has no way to write text that is not Unicode; all of ours is.
    texts = [*NASTY, *made_texts(400)]
    values = {f"T{number}": text for number, text in enumerate(texts)}
    document = ComposeDocument(name="roundtrip", services={"a": Service(image="i", environment=values, labels=values)})
    read = as_docker_reads(tmp_path, render_compose(document))["services"]["a"]
    assert {name: undoubled(value) for name, value in read["environment"].items()} == values
    assert {name: undoubled(value) for name, value in read["labels"].items()} == values


def test_a_slice_of_nasty_fields_is_the_same_text(tmp_path: Path) -> None:
    fields = {f"f{number}": text for number, text in enumerate([*NASTY, *made_texts(100)])}
    plan = planned(server("r", RESOURCES, {**fields, "judge": ref(MODEL, "m")}), server("m", MODEL))
    read = as_docker_reads(tmp_path, render_stack(plan))["services"]
    for service in plan.services:
        environment = read[service.name]["environment"]
        assert undoubled(environment["NEMO_GYM_CONFIG_DICT"]) == service.slice_text
        assert environment["NEMO_GYM_CONFIG_PATH"] == service.config_path


def test_docker_reads_the_settings_as_they_are_meant(tmp_path: Path) -> None:
    url, key = "http://localhost:8000/v1", "sk-$ecret-value"
    plan = planned(server("m", MODEL, {"base_url": url, "api_key": key}), secrets={"GYM_URL": url, "GYM_KEY": key})
    text = render_stack(plan)
    assert key not in text
    read = as_docker_reads(tmp_path, text)
    head, model = read["services"]["head"], read["services"]["m"]
    probe = plan_probe(plan)
    assert [undoubled(part) for part in head["healthcheck"]["test"]] == ["CMD-SHELL", probe]
    assert head["ports"] == [
        {"mode": "ingress", "host_ip": "127.0.0.1", "target": 11000, "published": "11000", "protocol": "tcp"}
    ]
    assert [secret["source"] for secret in model["secrets"]] == ["GYM_KEY", "GYM_URL"]
    assert any("host-gateway" in host for host in model["extra_hosts"])
    assert read["secrets"]["GYM_KEY"]["file"] == str(tmp_path / ".gymctl" / "secrets" / "GYM_KEY")


def plan_probe(plan: StackPlan) -> str:
    check = compose_document(plan).services["head"].healthcheck
    assert check is not None
    assert check.test is not None
    return check.test[1]


def test_docker_accepts_a_recipe_of_84_servers(tmp_path: Path) -> None:
    plan = plan_stack(recipe(41), name="large", options=StackOptions(version="1"))
    read = as_docker_reads(tmp_path, render_stack(plan))["services"]
    assert {name: undoubled(item["environment"]["NEMO_GYM_CONFIG_DICT"]) for name, item in read.items()} == {
        service.name: service.slice_text for service in plan.services
    }
