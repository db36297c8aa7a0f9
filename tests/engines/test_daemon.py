"""An engine that cannot be used: one line that says where it was sought and what to do."""

from pathlib import Path

import pytest

from gymctl.engines.compose.engine import ComposeEngine
from gymctl.engines.docker.daemon import connect
from gymctl.engines.docker.requirements import check_commands
from gymctl.errors import EngineError, InputError


@pytest.mark.enable_socket
def test_no_socket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    with pytest.raises(EngineError, match=r"no Docker engine at unix://.*/docker\.sock.*--engine local"):
        connect()


def test_nothing_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    with pytest.raises(
        EngineError, match=r"no response from a Docker engine at tcp://127\.0\.0\.1:9: Connection refused"
    ):
        connect()


def test_the_way_without_docker_is_shown_only_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    with pytest.raises(EngineError) as refused:
        connect()
    assert refused.value.hint == "start it, or correct DOCKER_HOST, or run without Docker: gymctl up --engine local"
    with pytest.raises(EngineError) as refused:
        connect("")
    assert refused.value.hint == "start it, or correct DOCKER_HOST"


def test_address_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "nonsense//x")
    with pytest.raises(EngineError, match="no response from a Docker engine at nonsense//x"):
        connect()


def test_no_docker_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match=r"the docker command does not work.*--engine local"):
        check_commands()


def test_no_compose_plugin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text(
        '#!/bin/sh\n[ "$1" = --version ] || { echo "docker: \'$1\' is not a docker command." >&2; exit 1; }\n'
    )
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        EngineError, match="the Compose plugin does not work: docker: 'compose' is not a docker command"
    ):
        check_commands()


def test_someone_elses_file_is_refused_before_anything_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {}\n")
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    with pytest.raises(InputError, match="was not written by gymctl"):
        ComposeEngine(tmp_path).prepare(None)  # type: ignore[arg-type]  # the plan is not looked at
    assert (tmp_path / "compose.yaml").read_text() == "services: {}\n"
