"""A running container as an audit sees it: what `docker inspect` says breaks the same rules as a file."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest

from gymctl.engines.docker.inspection import container_of, inspect_stack
from gymctl.stack.audit.evaluation import evaluate

pytestmark = pytest.mark.unit

SLICE = """\
env: {resources_servers: {mine: {entrypoint: app.py}}}
"""
CONTAINER: dict[str, Any] = {
    "Id": "1",
    "Name": "/demo-env-1",
    "HostConfig": {
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "20m"}},
        "NetworkMode": "demo_env-alone",
        "PortBindings": {},
        "RestartPolicy": {"Name": "unless-stopped"},
        "CapAdd": None,
        "CapDrop": ["ALL"],
        "ExtraHosts": [],
        "IpcMode": "private",
        "OomScoreAdj": 0,
        "PidMode": "",
        "Privileged": False,
        "ReadonlyRootfs": True,
        "SecurityOpt": ["no-new-privileges:true"],
        "Tmpfs": {"/tmp": "size=64m"},
        "UTSMode": "",
        "UsernsMode": "",
        "Memory": 1073741824,
        "NanoCpus": 4000000000,
        "CgroupParent": "",
        "Devices": None,
        "OomKillDisable": False,
        "PidsLimit": 512,
        "Ulimits": [{"Name": "nofile", "Hard": 20000, "Soft": 20000}],
        "Init": True,
    },
    "Mounts": [],
    "Config": {
        "User": "gym",
        "Env": ["NEMO_GYM_CONFIG_PATH=env", f"NEMO_GYM_CONFIG_DICT={SLICE}", "HOME=/tmp"],
        "Cmd": ["python", "app.py"],
        "Healthcheck": {"Test": ["CMD-SHELL", "true"]},
        "Image": "gymctl-server:0.1.0",
        "Labels": {
            "com.docker.compose.project": "demo",
            "com.docker.compose.service": "env",
            "gymctl.kind": "resources_servers",
            "gymctl.stack": "demo",
        },
    },
    "NetworkSettings": {"Networks": {"demo_env-alone": {}}},
}
NETWORK = {
    "Name": "demo_env-alone",
    "Driver": "bridge",
    "Internal": True,
    "Options": {"com.docker.network.bridge.inhibit_ipv4": "true"},
    "Labels": {"com.docker.compose.project": "demo"},
}
DEFAULT_FINDINGS = {"tokens-between-servers", "unlocked-packages"}
BIND = {"Type": "bind", "Source": "/data", "Destination": "/data", "RW": False, "Propagation": "rprivate"}

# rule, section, what `docker inspect` shows there
BREAKS: list[tuple[str, str, dict[str, Any]]] = [
    ("privileged", "HostConfig", {"Privileged": True}),
    ("engine-socket", "", {"Mounts": [{**BIND, "Source": "/var/run/docker.sock"}]}),
    ("sensitive-folder", "", {"Mounts": [{**BIND, "Source": "/etc"}]}),
    ("writable-mount", "", {"Mounts": [{**BIND, "RW": True}]}),
    ("shared-mount", "", {"Mounts": [{**BIND, "Propagation": "rshared"}]}),
    ("environment-secret", "", {"Mounts": [{**BIND, "Destination": "/run/secrets/KEY"}]}),
    ("host-network", "HostConfig", {"NetworkMode": "host"}),
    ("default-bridge", "HostConfig", {"NetworkMode": "bridge"}),
    ("root-user", "Config", {"User": ""}),
    ("root-user", "Config", {"User": "0:0"}),
    ("added-capabilities", "HostConfig", {"CapAdd": ["SYS_ADMIN"]}),
    ("kept-capabilities", "HostConfig", {"CapDrop": None}),
    ("seccomp-off", "HostConfig", {"SecurityOpt": ["seccomp=unconfined"]}),
    ("new-privileges", "HostConfig", {"SecurityOpt": None}),
    ("apparmor-off", "HostConfig", {"SecurityOpt": ["apparmor=unconfined"]}),
    ("apparmor-off", "", {"AppArmorProfile": "unconfined"}),
    ("selinux-off", "HostConfig", {"SecurityOpt": ["label=disable"]}),
    ("host-pid", "HostConfig", {"PidMode": "host"}),
    ("host-ipc", "HostConfig", {"IpcMode": "host"}),
    ("host-uts", "HostConfig", {"UTSMode": "host"}),
    ("host-user-namespace", "HostConfig", {"UsernsMode": "host"}),
    ("cgroup-parent", "HostConfig", {"CgroupParent": "/mine"}),
    ("writable-root", "HostConfig", {"ReadonlyRootfs": False}),
    ("devices", "HostConfig", {"Devices": [{"PathOnHost": "/dev/fuse"}]}),
    ("sysctls", "HostConfig", {"Sysctls": {"net.ipv4.ip_forward": "1"}}),
    ("memory", "HostConfig", {"Memory": 0}),
    ("cpus", "HostConfig", {"NanoCpus": 0}),
    ("processes", "HostConfig", {"PidsLimit": None}),
    ("processes", "HostConfig", {"PidsLimit": -1}),
    ("open-files", "HostConfig", {"Ulimits": None}),
    ("log-size", "HostConfig", {"LogConfig": {"Type": "json-file", "Config": {}}}),
    ("no-logs", "HostConfig", {"LogConfig": {"Type": "none", "Config": {}}}),
    ("oom-killer", "HostConfig", {"OomKillDisable": True}),
    ("oom-killer", "HostConfig", {"OomScoreAdj": -1000}),
    ("memory-files", "HostConfig", {"Tmpfs": {"/tmp": ""}}),
    ("restart-always", "HostConfig", {"RestartPolicy": {"Name": "always"}}),
    ("init", "HostConfig", {"Init": None}),
    ("healthcheck", "Config", {"Healthcheck": None}),
    ("host-name", "HostConfig", {"ExtraHosts": ["host.docker.internal:host-gateway"]}),
    ("every-interface", "HostConfig", {"PortBindings": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]}}),
    ("published-without-token", "HostConfig", {"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}}),
    ("published-server", "HostConfig", {"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}}),
    ("secret-in-environment", "Config", {"Env": ["API_KEY=sk-0123456789"]}),
    ("secret-in-command", "Config", {"Cmd": ["serve", "--api-key=sk-0123456789"]}),
    ("moving-tag", "Config", {"Image": "another:latest"}),
]


class Api:
    """The part of Docker's API that is asked."""

    def __init__(self, container: Mapping[str, Any], network: Mapping[str, Any]):
        self.container = container
        self.network = network

    def containers(self, filters: Mapping[str, str]) -> list[dict[str, str]]:
        assert filters == {"label": "gymctl.stack=demo"}
        return [{"Id": "1"}, {"Id": "2"}]

    def inspect_container(self, identity: str) -> Mapping[str, Any]:
        if identity == "1":
            return self.container
        job = copy.deepcopy(CONTAINER)
        job["Config"]["Labels"] = {"gymctl.stack": "demo", "gymctl.job": ""}
        return job

    def inspect_network(self, name: str) -> Mapping[str, Any]:
        return {**self.network, "Name": name}


def findings(section: str = "", changes: Mapping[str, Any] | None = None, **network: Any) -> set[str]:
    container = copy.deepcopy(CONTAINER)
    place = container[section] if section else container
    place.update(changes or {})
    client: Any = type("Client", (), {"api": Api(container, {**NETWORK, **network})})()
    return {finding.rule.id for finding in evaluate(inspect_stack(client, "demo")).findings}


def test_a_protected_container_has_no_findings_of_its_own() -> None:
    assert findings() == DEFAULT_FINDINGS


@pytest.mark.parametrize(
    ("rule", "section", "changes"), BREAKS, ids=[f"{rule}-{number}" for number, (rule, *_) in enumerate(BREAKS)]
)
def test_what_docker_shows_breaks_a_rule(rule: str, section: str, changes: Mapping[str, Any]) -> None:
    assert rule in findings(section, changes) - DEFAULT_FINDINGS


@pytest.mark.parametrize(
    ("rule", "network"),
    [
        ("environment-egress", {"Internal": False}),
        ("host-address", {"Options": {}}),
        ("external-network", {"Labels": {}}),
        ("plain-overlay", {"Driver": "overlay"}),
    ],
)
def test_what_docker_shows_of_a_network_breaks_a_rule(rule: str, network: Mapping[str, Any]) -> None:
    assert rule in findings(**network)


def test_an_encrypted_overlay_of_a_swarm_is_one_of_the_stack() -> None:
    labels = {"com.docker.stack.namespace": "demo"}
    assert findings(Driver="overlay", Options={"encrypted": ""}, Labels=labels) == DEFAULT_FINDINGS


def test_a_task_of_a_swarm_has_the_name_of_its_service() -> None:
    container = copy.deepcopy(CONTAINER)
    container["Config"]["Labels"] = {"gymctl.kind": "head", "com.docker.swarm.service.name": "demo_head"}
    assert container_of(container, "demo").service == "head"
