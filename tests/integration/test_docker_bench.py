"""docker-bench-security has no warning about the containers of a stack, and the audit agrees where both speak."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import EXAMPLE, Folder
from docker_bench import CHECKS, Inspected, warnings

from gymctl.engines.docker.containers import PROJECT, SERVICE
from gymctl.engines.docker.daemon import connect
from gymctl.engines.docker.inspection import container_of
from gymctl.stack.audit.evaluation import evaluate
from gymctl.stack.audit.subject import AuditedStack

pytestmark = pytest.mark.docker

EXAMPLES = EXAMPLE.parent
APPARMOR = "5.2"
PUBLISHED = "5.9"
"""Printed for each container with a published port, to be looked at by hand."""
MEMORY = "5.11"
WRITABLE = "5.13"
OF_A_MAKER = {"vllm": {MEMORY, WRITABLE}, "vllm-cpu": {MEMORY}}
"""Of vLLM's own containers: weights decide their memory, and the image for GPUs writes into itself."""
UNLABELLED = {"5.5", "5.16", "5.17"}
"""With these settings Docker turns SELinux off, which the audit reports too."""
GOOD: dict[str, Any] = {
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "read_only": True,
    "mem_limit": "1g",
    "cpu_shares": 512,
    "pids_limit": 100,
    "restart_policy": {"Name": "unless-stopped", "MaximumRetryCount": 0},
    "ulimits": [{"Name": "nofile", "Soft": 1000, "Hard": 1000}],
    "network_mode": "none",
}
HEALTHCHECK = {"test": ["CMD", "true"]}
BAD: dict[str, dict[str, Any]] = {
    "5.4": {"cap_add": ["SYS_ADMIN"]},
    "5.5": {"privileged": True},
    "5.6": {"binds": ["/etc:/data"]},
    "5.10": {"network_mode": "host"},
    "5.11": {"mem_limit": 0},
    "5.12": {"cpu_shares": 0},
    "5.13": {"read_only": False},
    "5.16": {"pid_mode": "host"},
    "5.17": {"ipc_mode": "host"},
    "5.18": {"devices": ["/dev/null:/dev/null"]},
    "5.19": {"ulimits": []},
    "5.20": {"binds": ["/var/tmp:/data:ro,shared"]},
    "5.21": {"uts_mode": "host"},
    "5.22": {"security_opt": ["no-new-privileges:true", "seccomp:unconfined"]},
    "5.25": {"cgroup_parent": "/somewhere"},
    "5.26": {"security_opt": ["seccomp=builtin"]},
    "5.29": {"pids_limit": -1},
    "5.30": {"network_mode": "bridge"},
    "5.31": {"userns_mode": "host"},
    "5.32": {"binds": ["/var/run/docker.sock:/docker.sock:ro"]},
}


@pytest.fixture
def folder(tmp_path: Path, free_port: int) -> Iterator[Folder]:
    made = Folder(tmp_path, free_port)
    yield made
    subprocess.run(["docker", "compose", "-p", made.name, "down"], capture_output=True, check=False)
    made.clean()


def inspected(project: str) -> dict[str, Inspected]:
    """One container of each service of a project, started or not."""
    client = connect("")
    containers = client.api.containers(all=True, filters={"label": f"{PROJECT}={project}"})
    return {item["Labels"][SERVICE]: client.api.inspect_container(item["Id"]) for item in containers}


def without_apparmor() -> set[str]:
    """What is a warning on every container, because the kernel has no AppArmor."""
    options = connect("").api.info()["SecurityOptions"]
    return set() if any("apparmor" in option for option in options) else {APPARMOR}


def audited(item: Inspected) -> set[str]:
    """The checks of docker-bench that correspond to the audit's findings about one container."""
    audit = evaluate(AuditedStack(name="s", containers=(container_of(item, "s"),), networks={}))
    return {finding.rule.docker_bench for finding in audit.findings} & set(CHECKS)


def test_a_running_stack_has_no_warning_but_its_published_head(folder: Folder) -> None:
    started = folder.up(EXAMPLE)
    assert started.returncode == 0, started.stderr
    containers = inspected(folder.name)
    expected = {name: set(without_apparmor()) for name in containers}
    expected["head"].add(PUBLISHED)
    assert {name: warnings(item) for name, item in containers.items()} == expected
    for name in containers:
        processes = folder.docker("top", f"{folder.name}-{name}-1", "-eo", "pid,comm")
        assert "sshd" not in processes, "5.7"
    assert all(item["State"]["Health"]["Status"] == "healthy" for item in containers.values())


@pytest.mark.parametrize("example", ["quickstart", "size-comprehensive", "vllm", "vllm-cpu", "ray-own"])
def test_the_containers_of_examples_have_no_warning_but_known_ones(folder: Folder, example: str, image: str) -> None:
    """They are created, not started: each with ``image`` instead of its own, which may be gigabytes."""
    document = yaml.safe_load((EXAMPLES / example / "compose.expected.yaml").read_text())
    document["services"].pop("vllm-prefetch", None)  # it ends by itself
    for service in document["services"].values():
        service.get("depends_on", {}).pop("vllm-prefetch", None)
        service.update(image=image, pull_policy="never", secrets=[])
    document["secrets"] = {}
    document["name"] = folder.name
    (folder.path / "compose.yaml").write_text(yaml.safe_dump(document))
    folder.docker("compose", "--profile", "*", "create")
    containers = inspected(folder.name)
    assert containers.keys() == document["services"].keys()
    for name, item in containers.items():
        found = warnings(item) - without_apparmor()
        kind = item["Config"]["Labels"]["gymctl.kind"]
        expected = set(OF_A_MAKER[example]) if kind == "vllm" else set()
        if document["services"][name].get("ports"):
            expected.add(PUBLISHED)
        assert found == expected, f"{example}: {name}"
        assert audited(item) - {PUBLISHED} == found - {PUBLISHED}, f"{example}: {name}"


@pytest.mark.parametrize("number", sorted(BAD))
def test_the_audit_finds_what_docker_bench_warns_about(number: str, image: str) -> None:
    client = connect("")
    settings = {**GOOD, **BAD[number]}
    made = client.api.create_container(
        image, ["true"], healthcheck=HEALTHCHECK, host_config=client.api.create_host_config(**settings)
    )
    try:
        item = client.api.inspect_container(made["Id"])
    finally:
        client.api.remove_container(made["Id"], v=True)
    found = warnings(item) - without_apparmor()
    assert number in found
    assert audited(item) == found | ({"5.3"} if number in UNLABELLED else set())
