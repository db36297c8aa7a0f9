from __future__ import annotations

import hashlib
from typing import Any

import pytest
from plan_strategies import recipe

from gymctl import assets
from gymctl.stack import ComposeDocument, StackOptions, check_document, compose_document, plan_stack
from gymctl.stack.compose.schema import SCHEMA_FILE


def service(**keys: Any) -> dict[str, Any]:
    return {"services": {"a": {"image": "i", **keys}}}


def devices(**keys: Any) -> dict[str, Any]:
    return service(
        deploy={"resources": {"reservations": {"devices": [{"driver": "nvidia", "capabilities": ["gpu"], **keys}]}}}
    )


def pair(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    return {"services": {"a": {"image": "i", **first}, "b": {"image": "i", **second}}}


def port(**keys: Any) -> dict[str, Any]:
    return {"ports": [{"target": 80, "published": "8080", **keys}]}


HEALTHY = {"test": ["CMD", "true"]}
WAIT = {"condition": "service_healthy"}

BROKEN = [
    ({"services": {"a b": {"image": "i"}}}, "GYM001"),
    (service(networks={"innr": None}) | {"networks": {"inner": None}}, "GYM002"),
    (service(volumes=["cache:/c"]), "GYM003"),
    (service(volumes=[{"type": "volume", "source": "cache", "target": "/c"}]), "GYM003"),
    (service(secrets=["KEY"]), "GYM004"),
    (service(secrets=[{"source": "KEY", "mode": 256}]), "GYM004"),
    (service(configs=["conf"]), "GYM005"),
    (service(depends_on={"b": {"condition": "service_started"}}), "GYM006"),
    (pair({"depends_on": {"b": {}}}, {"depends_on": {"a": {}}}), "GYM007"),
    (service(depends_on={"a": {}}), "GYM007"),
    (service(stop_grace_period="two"), "GYM008"),
    (service(healthcheck={**HEALTHY, "interval": "10"}), "GYM008"),
    (service(deploy={"restart_policy": {"delay": "soon"}}), "GYM008"),
    (service(**port(target=70000)), "GYM009"),
    (service(**port(published="0")), "GYM009"),
    (pair(port(), port()), "GYM010"),
    (pair(port(host_ip="127.0.0.1"), port(host_ip="0.0.0.0")), "GYM010"),
    (service(environment={"BIG": "x" * 131_068}), "GYM011"),
    (devices(count=1, device_ids=["0"]), "GYM012"),
    (service(environment={"A$B": "x"}), "GYM013"),
    (pair({"depends_on": {"b": WAIT}}, {}), "GYM014"),
    (pair({"depends_on": {"b": WAIT}}, {"healthcheck": {**HEALTHY, "disable": True}}), "GYM014"),
    (service(shm_size="big"), "GYM015"),
    (service(deploy={"resources": {"limits": {"memory": "16 gigs"}}}), "GYM015"),
    (service(healthcheck={**HEALTHY, "start_interval": "1s"}), "GYM016"),
    (service(environment={"NUL": "a\0b"}), "GYM017"),
]
SOUND = [
    service(networks={"inner": None, "default": None}) | {"networks": {"inner": {"driver": "bridge"}}},
    service(volumes=["cache:/c", "./here:/h:ro", "/abs:/a", {"type": "tmpfs", "target": "/dev/shm"}])
    | {"volumes": {"cache": None}},
    service(secrets=["KEY"]) | {"secrets": {"KEY": {"file": "./KEY"}}},
    pair({"depends_on": {"b": WAIT}}, {"healthcheck": HEALTHY}),
    pair(port(), port(protocol="udp")),
    pair(port(host_ip="127.0.0.1"), port(host_ip="127.0.0.2")),
    service(environment={"BIG": "x" * 131_067}),
    devices(count="all"),
    devices(device_ids=["0", "1"]),
    service(shm_size="16gb", stop_grace_period="1m30s", healthcheck={**HEALTHY, "interval": "1.5s"}),
    service(command=["echo", "$(x) ${y}"]),
]


@pytest.mark.parametrize(("data", "code"), BROKEN)
def test_each_rule_finds_what_it_is_for(data: dict[str, Any], code: str) -> None:
    problems = check_document(ComposeDocument.model_validate(data))
    assert [problem.message.split()[0] for problem in problems] == [code]
    assert problems[0].where
    assert len(str(problems[0])) < 500


@pytest.mark.parametrize("data", SOUND)
def test_nothing_is_said_about_a_sound_document(data: dict[str, Any]) -> None:
    assert check_document(ComposeDocument.model_validate(data)) == []


def test_what_we_render_keeps_every_rule() -> None:
    plan = plan_stack(recipe(3), name="demo", options=StackOptions(version="1"))
    assert check_document(compose_document(plan)) == []


def test_a_near_name_is_proposed() -> None:
    data = service(secrets=["POLICY_KEYS"]) | {"secrets": {"POLICY_KEY": {"file": "./k"}}}
    assert "did you mean 'POLICY_KEY'?" in str(check_document(ComposeDocument.model_validate(data))[0])


def test_the_vendored_schema_is_the_one_of_its_source() -> None:
    content = (assets.folder("compose") / "schema" / SCHEMA_FILE).read_bytes()
    expected = "0c3df943a2fbf4e543fb32de7974c96467efd70a8eda903c7250f6a4f094904f"
    assert hashlib.sha256(content).hexdigest() == expected
