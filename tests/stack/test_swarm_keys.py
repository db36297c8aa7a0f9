"""Every key that a Compose document of ours can hold is kept, translated or reported lost; none goes in silence."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from gymctl.errors import ConfigError
from gymctl.stack.compose import model as compose
from gymctl.stack.compose.model import ComposeDocument, Part, Service
from gymctl.stack.swarm import Translation, translate
from gymctl.stack.swarm.key_coverage import KEPT, TRANSLATED, known_keys

PARTS = [
    part
    for _, part in inspect.getmembers(compose, inspect.isclass)
    if issubclass(part, Part) and part is not Part and part.__module__ == compose.__name__
]

# A value for every key. A new key of the model needs one, and an entry in gymctl/stack/swarm/key_coverage.py.
SAMPLES: dict[str, dict[str, Any]] = {
    "Port": {"target": 80, "published": "8080", "host_ip": "0.0.0.0", "protocol": "udp", "mode": "ingress"},
    "Healthcheck": {
        "test": ["CMD", "true"],
        "start_period": "9s",
        "start_interval": "1s",
        "interval": "8s",
        "timeout": "3s",
        "retries": 7,
        "disable": True,
    },
    "Dependency": {"condition": "service_healthy", "restart": True, "required": False},
    "Limit": {"soft": 10, "hard": 20},
    "Tmpfs": {"size": "2mb", "mode": 0o700},
    "Mount": {"type": "volume", "source": "v", "target": "/v", "read_only": True, "tmpfs": {"size": 5}},
    "Device": {
        "capabilities": ["gpu", "utility"],
        "driver": "other",
        "count": 2,
        "device_ids": ["3"],
        "options": {"a": "b"},
    },
    "DiscreteResource": {"kind": "disk", "value": 3},
    "GenericResource": {"discrete_resource_spec": {"kind": "disk", "value": 3}},
    "Resources": {
        "cpus": "1.5",
        "memory": "1gb",
        "pids": 7,
        "devices": [{"capabilities": ["gpu"], "count": 1}],
        "generic_resources": [{"discrete_resource_spec": {"kind": "disk", "value": 3}}],
    },
    "ResourceBounds": {"limits": {"cpus": "1"}, "reservations": {"cpus": "1"}},
    "Preference": {"spread": "node.labels.zone"},
    "DeployPlacement": {
        "constraints": ["node.role==worker"],
        "preferences": [{"spread": "node.labels.a"}],
        "max_replicas_per_node": 2,
    },
    "UpdatePolicy": {
        "parallelism": 3,
        "delay": "2s",
        "failure_action": "continue",
        "monitor": "7s",
        "max_failure_ratio": 0.5,
        "order": "stop-first",
    },
    "RestartPolicy": {"condition": "on-failure", "delay": "7s", "max_attempts": 3, "window": "1m"},
    "Deploy": {
        "mode": "global",
        "replicas": 3,
        "endpoint_mode": "vip",
        "labels": {"a": "b"},
        "resources": {"limits": {"cpus": "1"}},
        "placement": {"constraints": ["node.role==worker"]},
        "update_config": {"parallelism": 2},
        "rollback_config": {"parallelism": 2},
        "restart_policy": {"condition": "none"},
    },
    "Logging": {"driver": "local", "options": {"max-size": "1m"}},
    "FileMount": {"source": "s", "target": "t", "uid": "1", "gid": "2", "mode": 0o400},
    "NetworkAttachment": {"aliases": ["other"]},
    "Service": {
        "image": "i",
        "pull_policy": "never",
        "profiles": ["extra"],
        "entrypoint": ["run"],
        "command": ["it"],
        "working_dir": "/w",
        "user": "1:1",
        "environment": {"A": "b"},
        "secrets": ["s"],
        "configs": ["c"],
        "ports": [{"target": 80, "published": "80"}],
        "networks": {"n": None},
        "extra_hosts": ["h:1.2.3.4"],
        "depends_on": {"other": {"condition": "service_healthy"}},
        "healthcheck": {"test": ["CMD", "true"]},
        "init": True,
        "restart": "always",
        "stop_grace_period": "5s",
        "stop_signal": "SIGINT",
        "read_only": True,
        "tmpfs": ["/tmp:size=1m,exec"],
        "volumes": ["v:/v"],
        "cap_add": ["NET_ADMIN"],
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "ulimits": {"nofile": {"soft": 1, "hard": 2}},
        "shm_size": "64mb",
        "ipc": "host",
        "cpu_shares": 512,
        "deploy": {"replicas": 2},
        "logging": {"driver": "local"},
        "labels": {"a": "b"},
    },
    "Network": {
        "name": "net",
        "driver": "bridge",
        "attachable": False,
        "internal": True,
        "external": True,
        "driver_opts": {"com.docker.network.bridge.name": "b"},
        "labels": {"a": "b"},
    },
    "Volume": {
        "name": "vol",
        "driver": "local",
        "external": True,
        "driver_opts": {"type": "nfs"},
        "labels": {"a": "b"},
    },
    "StoredFile": {"file": "./f", "content": "text", "name": "called", "external": True, "labels": {"a": "b"}},
    "ComposeDocument": {
        "name": "demo",
        "services": {"it": {"image": "i"}},
        "networks": {"n": None},
        "volumes": {"v": None},
        "secrets": {"s": {"file": "./s"}},
        "configs": {"c": {"file": "./c"}},
    },
}

NEEDED: dict[str, dict[str, Any]] = {  # what a part cannot be without
    "Port": {"target": 1},
    "Limit": {"soft": 1, "hard": 2},
    "Mount": {"type": "tmpfs", "target": "/m"},
    "Device": {"capabilities": ["gpu"]},
    "DiscreteResource": {"kind": "k", "value": 1},
    "GenericResource": {"discrete_resource_spec": {"kind": "k", "value": 1}},
    "Preference": {"spread": "node.labels.x"},
    "FileMount": {"source": "s"},
    "Service": {"image": "j"},
}


def _service(key: str, wrap: Callable[[Any], Any]) -> Callable[[Any], dict[str, Any]]:
    return lambda part: {"services": {"it": {"image": "i", key: wrap(part)}}}


def _deploy(key: str, wrap: Callable[[Any], Any]) -> Callable[[Any], dict[str, Any]]:
    return _service("deploy", lambda part: {key: wrap(part)})


PLACES: dict[str, Callable[[Any], dict[str, Any]]] = {  # a document with the part in it
    "Port": _service("ports", lambda part: [part]),
    "Healthcheck": _service("healthcheck", lambda part: part),
    "Dependency": _service("depends_on", lambda part: {"other": part}),
    "Limit": _service("ulimits", lambda part: {"nofile": part}),
    "Tmpfs": _service("volumes", lambda part: [{"type": "tmpfs", "target": "/t", "tmpfs": part}]),
    "Mount": _service("volumes", lambda part: [part]),
    "Device": _deploy("resources", lambda part: {"reservations": {"devices": [part]}}),
    "DiscreteResource": _deploy(
        "resources", lambda part: {"reservations": {"generic_resources": [{"discrete_resource_spec": part}]}}
    ),
    "GenericResource": _deploy("resources", lambda part: {"reservations": {"generic_resources": [part]}}),
    "Resources": _deploy("resources", lambda part: {_side(part): part}),
    "ResourceBounds": _deploy("resources", lambda part: part),
    "Preference": _deploy("placement", lambda part: {"preferences": [part]}),
    "DeployPlacement": _deploy("placement", lambda part: part),
    "UpdatePolicy": _deploy("update_config", lambda part: part),
    "RestartPolicy": _deploy("restart_policy", lambda part: part),
    "Deploy": _service("deploy", lambda part: part),
    "Logging": _service("logging", lambda part: part),
    "FileMount": _service("secrets", lambda part: [part]),
    "NetworkAttachment": _service("networks", lambda part: {"n": part}),
    "Service": lambda part: {"services": {"it": part}},
    "Network": lambda part: {"networks": {"n": part}},
    "Volume": lambda part: {"volumes": {"v": part}},
    "StoredFile": lambda part: {"configs": {"c": part}},
    "ComposeDocument": lambda part: part,
}


def _side(resources: dict[str, Any]) -> str:
    return "limits" if "pids" in resources else "reservations"


def translated(part: str, values: dict[str, Any]) -> Translation:
    plain = PLACES[part]({**NEEDED.get(part, {}), **values})
    if plain.get("services"):
        plain["services"]["other"] = {"image": "o"}
    return translate(ComposeDocument.model_validate(plain))


def contains(value: Any, key: str, expected: Any) -> bool:
    """Whether ``key: wanted`` (as plain data) stands anywhere in a document."""
    if isinstance(value, dict):
        here = key in value and value[key] == expected
        return here or any(contains(item, key, expected) for item in value.values())
    return isinstance(value, list) and any(contains(item, key, expected) for item in value)


def test_the_translation_answers_for_every_key_of_every_part() -> None:
    for part in PARTS:
        assert known_keys(part) == set(part.model_fields), part.__name__
        assert not set(KEPT.get(part, "").split()) & set(TRANSLATED.get(part, "").split()), part.__name__
        assert set(SAMPLES[part.__name__]) == set(part.model_fields), part.__name__


@pytest.mark.parametrize(
    ("part", "key"),
    [(part, key) for part in PARTS for key in part.model_fields],
    ids=lambda it: it if isinstance(it, str) else it.__name__,
)
def test_a_key_is_kept_translated_or_reported(part: type[Part], key: str) -> None:
    name, sample = part.__name__, SAMPLES[part.__name__][key]
    translation = translated(name, {key: sample})
    plain = translation.document.plain()
    if part is ComposeDocument and key != "name":
        assert set(sample) <= set(plain[key])
    elif key in KEPT.get(part, "").split():
        if part is Service and key == "networks":
            sample = {"n": {}}  # nothing to say is an empty mapping
        assert contains(plain, key, sample)
    elif not contains(plain, key, sample):
        reported = [change.key for change in translation.changes]
        words = (key, *_CONTAINERS.get(name, ()))
        assert any(word in where for where in reported for word in words), f"{name}.{key} went in silence: {reported}"


_CONTAINERS = {  # the key under which changes of a part are reported
    "Port": ("ports",),
    "Dependency": ("depends_on",),
    "Tmpfs": ("volumes",),
    "Device": ("devices",),
    "Network": ("networks",),
    "StoredFile": ("configs",),
}


@pytest.mark.parametrize("extra", ["x-note", "unheard_of"])
def test_a_key_that_nobody_knows_is_an_error(extra: str) -> None:
    service = Service.model_construct(image="i", healthcheck=compose.Healthcheck(**{"x-note": 1}))
    document = ComposeDocument(services={"a": service})
    if extra == "x-note":
        with pytest.raises(ConfigError, match=r"services.a.healthcheck.x-note.*'x-note' is not allowed here"):
            translate(document)
        return

    class Newer(Service):
        unheard_of: str | None = None

    document.services["a"] = Newer(image="i", unheard_of="yes")
    with pytest.raises(ConfigError, match="'unheard_of' cannot be translated to Swarm"):
        translate(document)


def test_extensions_of_a_service_stay() -> None:
    service = Service.model_validate({"image": "i", "x-note": {"a": [1]}})
    assert translate(ComposeDocument(services={"a": service})).document.services["a"].plain()["x-note"] == {"a": [1]}
