"""Which engine is meant, and whether it is one that a stack can use: the rules of the ``docker`` command."""

import hashlib
import json
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gymctl.engines.compose.command import compose_command, override_file
from gymctl.engines.compose.leftovers import check_directory, check_leftovers
from gymctl.engines.docker.containers import PROJECT, Container
from gymctl.engines.docker.endpoint import DockerEndpoint, engine_endpoint
from gymctl.engines.docker.location import check_location, check_sources, unseen_source
from gymctl.engines.docker.requirements import TOOLS, Tool, check_commands, check_engine, parse_version
from gymctl.errors import EngineError, InputError
from gymctl.stack import ServicePlan, StackOptions, StackPlan
from gymctl.stack.compose.model import Mount


@pytest.fixture
def docker_config(tmp_path: Path) -> Path:
    """A folder of Docker's own configuration, with contexts in it."""
    folder = tmp_path / "docker"

    def context(name: str, host: str, *, tls: bool = False) -> None:
        identity = hashlib.sha256(name.encode()).hexdigest()
        meta = folder / "contexts" / "meta" / identity
        meta.mkdir(parents=True)
        described = {"Name": name, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False}}}
        (meta / "meta.json").write_text(json.dumps(described))
        if tls:
            (folder / "contexts" / "tls" / identity / "docker").mkdir(parents=True)

    folder.mkdir()
    context("one", "unix:///run/one.sock")
    context("two", "tcp://two.test:2376", tls=True)
    return folder


def endpoint(folder: Path, **environ: str) -> DockerEndpoint:
    return engine_endpoint({"DOCKER_CONFIG": str(folder), **environ})


def test_the_default_socket(docker_config: Path) -> None:
    engine = endpoint(docker_config)
    assert (engine.address, engine.context) == ("unix:///var/run/docker.sock", "default")
    assert engine.socket == "/var/run/docker.sock"


def test_the_current_context_the_variable_and_the_host_in_their_order(docker_config: Path) -> None:
    (docker_config / "config.json").write_text('{"currentContext": "one"}')
    assert endpoint(docker_config).address == "unix:///run/one.sock"
    two = endpoint(docker_config, DOCKER_CONTEXT="two")
    assert (two.address, two.context, two.socket) == ("tcp://two.test:2376", "two", "")
    assert two.certificates is not None
    assert endpoint(docker_config, DOCKER_CONTEXT="default").address == "unix:///var/run/docker.sock"
    host = endpoint(docker_config, DOCKER_CONTEXT="two", DOCKER_HOST="unix:///run/three.sock")
    assert (host.address, host.context) == ("unix:///run/three.sock", "default")
    assert endpoint(docker_config, DOCKER_HOST="", DOCKER_CONTEXT="").address == "unix:///run/one.sock"


def test_a_host_with_certificates(docker_config: Path, tmp_path: Path) -> None:
    plain = endpoint(docker_config, DOCKER_HOST="tcp://a:2375")
    assert (plain.certificates, plain.tls()) == (None, None)
    engine = endpoint(docker_config, DOCKER_HOST="tcp://a:2376", DOCKER_TLS_VERIFY="1", DOCKER_CERT_PATH=str(tmp_path))
    assert (engine.certificates, engine.verify) == (tmp_path, True)


def test_a_context_that_is_not_there_is_named(docker_config: Path) -> None:
    with pytest.raises(EngineError, match="unknown Docker context 'three'; docker context ls"):
        endpoint(docker_config, DOCKER_CONTEXT="three")


class Engine:
    """The part of a Docker client that the checks ask."""

    def __init__(
        self,
        *,
        name: str = "",
        version: dict[str, Any] | None = None,
        networks: Sequence[dict[str, Any]] = (),
        containers: Sequence[dict[str, Any]] = (),
    ) -> None:
        self.api = self
        self._name = name
        self._version = version or {}
        self._networks = networks
        self._containers = containers

    def info(self) -> dict[str, str]:
        return {"Name": self._name}

    def version(self) -> dict[str, Any]:
        return self._version

    def networks(self, names: list[str]) -> Sequence[dict[str, Any]]:
        return self._networks

    def containers(self, **options: object) -> Sequence[dict[str, Any]]:
        return self._containers


@pytest.mark.parametrize(
    ("address", "name", "is_here"),
    [
        ("unix:///run/docker.sock", "a-machine", True),
        ("tcp://127.0.0.1:2375", socket.gethostname(), True),
        ("tcp://localhost:2375", "docker-desktop", True),
        ("tcp://127.0.0.1:2375", "another", False),
        ("ssh://me@another", "another", False),
    ],
)
def test_an_engine_on_another_machine_is_refused(
    monkeypatch: pytest.MonkeyPatch, address: str, name: str, is_here: bool
) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    if is_here:
        check_location(Engine(name=name))
        return
    with pytest.raises(EngineError, match=rf"the engine at {address} is on another machine \({name}\).*run gymctl on"):
        check_location(Engine(name=name))


@pytest.mark.parametrize(
    ("version", "environ", "message"),
    [
        ({"ApiVersion": "1.44", "Version": "25.0.0"}, {}, ""),
        ({"ApiVersion": "1.51", "Version": "28.0.0"}, {}, ""),
        ({}, {}, ""),
        ({"ApiVersion": "1.43", "Version": "24.0.7"}, {}, "Docker 24.0.7 is used with API 1.43"),
        ({"ApiVersion": "1.45", "Version": "26.1"}, {"DOCKER_API_VERSION": "1.40"}, "unset DOCKER_API_VERSION"),
        (
            {"ApiVersion": "1.41", "Version": "4.9", "Components": [{"Name": "Podman Engine", "Version": "4.9.4"}]},
            {},
            "Podman 4.9.4 is used with API 1.41",
        ),
    ],
)
def test_an_engine_that_is_too_old_is_named(version: dict[str, Any], environ: dict[str, str], message: str) -> None:
    if not message:
        check_engine(Engine(version=version), environ)
        return
    with pytest.raises(EngineError, match=r"Docker Engine 25\.0 or newer") as refused:
        check_engine(Engine(version=version), environ)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ("Docker Compose version v2.17.3", (2, 17, 3)),
        ("Docker Compose version 2.26.1-4", (2, 26, 1)),
        ("github.com/docker/buildx 0.13.1+ds1 0.13.1+ds1-3", (0, 13, 1)),
        ("Docker version 26.1.5+dfsg1, build a72d7cd", (26, 1, 5)),
        ("Docker Compose version v2.30", (2, 30)),
        ("Docker Compose version dev", ()),
    ],
)
def test_versions_are_read(output: str, version: tuple[int, ...]) -> None:
    assert parse_version(output) == version


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_a_tool_that_is_too_old_is_named_before_anything_is_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tool: Tool
) -> None:
    asked = " ".join(tool.command[1:])
    script = f'#!/bin/sh\n[ "$*" = "{asked}" ] && echo "version v0.1.2" && exit 0\necho "version v99.0.0"\n'
    (tmp_path / "docker").write_text(script)
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    least = ".".join(map(str, tool.least))
    with pytest.raises(EngineError, match=f"{tool.name} is too old: this is 0.1.2, and gymctl needs {least} or newer"):
        check_commands()


def service(replicas: int = 1, volumes: tuple[Mount, ...] = ()) -> ServicePlan:
    return ServicePlan(
        name="a",
        kind="head",
        implementation="head",
        image="i:1",
        port=1,
        slice_text="",
        config_path="",
        command=(),
        working_dir="",
        replicas=replicas,
        volumes=volumes,
    )


PLAN = StackPlan("demo", (service(replicas=2),), (), {}, (), StackOptions("1"))


def test_a_network_of_someone_else_is_named_with_its_cure() -> None:
    check_leftovers(Engine(networks=[{"Name": "demo_default", "Labels": {PROJECT: "demo"}}]), PLAN)
    check_leftovers(Engine(networks=[{"Name": "my-demo_default", "Labels": None}]), PLAN)
    with pytest.raises(EngineError, match=r"docker network rm demo_default, or give this stack another name"):
        check_leftovers(Engine(networks=[{"Name": "demo_default", "Labels": None}]), PLAN)


def test_a_container_of_someone_else_is_named_with_its_cure() -> None:
    check_leftovers(Engine(containers=[{"Names": ["/demo-a-2"], "Labels": {PROJECT: "demo"}}]), PLAN)
    with pytest.raises(EngineError, match=r"docker rm -f demo-a-2, or give this stack another name"):
        check_leftovers(Engine(containers=[{"Names": ["/demo-a-2"], "Labels": {}}]), PLAN)


def container(directory: Path | str) -> Container:
    return Container("1", "a", "running", "healthy", "", str(directory))


def test_a_directory_reached_by_a_link_is_the_same(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    check_directory([container(link), container("")], "demo", real)
    (tmp_path / "other").mkdir()
    with pytest.raises(EngineError, match=r"in use by .*/other; run `gymctl down` there, or give"):
        check_directory([container(tmp_path / "other")], "demo", real)
    gone = r"in use by .*/gone, a directory that no longer exists; .*docker compose --project-name demo down"
    with pytest.raises(EngineError, match=gone):
        check_directory([container(tmp_path / "gone")], "demo", real)


def test_a_mounted_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    mounts = (Mount(type="bind", source=str(tmp_path), target="/a"), Mount(type="volume", source="v", target="/b"))
    check_sources([service(volumes=mounts)])
    with pytest.raises(InputError, match=r"a: .*/none, mounted at /a, does not exist; create it"):
        check_sources([service(volumes=(Mount(type="bind", source=str(tmp_path / "none"), target="/a"),))])


def test_compose_reads_an_override_file_and_otherwise_no_variables(tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    plain = compose_command("demo", file, "up")
    assert plain[plain.index("--env-file") + 1] == "/dev/null"
    assert plain.count("--file") == 1
    (tmp_path / "compose.override.yaml").write_text("services: {}")
    (tmp_path / "compose.override.yml").write_text("services: {}")
    assert override_file(tmp_path) == tmp_path / "compose.override.yml", "the one that Compose takes"
    both = compose_command("demo", file, "up")
    assert [both[number + 1] for number, word in enumerate(both) if word == "--file"] == [
        str(file),
        str(tmp_path / "compose.override.yml"),
    ]
    assert "--env-file" not in both


def test_a_path_that_only_this_machine_has_is_named(tmp_path: Path) -> None:
    unseen = unseen_source(f'invalid mount config for type "bind": bind source path does not exist: {tmp_path}')
    assert f"cannot access {tmp_path}, which exists on this machine" in str(unseen)
    missing = tmp_path / "missing"
    assert unseen_source(f'invalid mount config for type "bind": bind source path does not exist: {missing}') is None
    assert unseen_source("no such image") is None
