"""Options of ``up`` that belong to one engine are not taken, and ignored, by another."""

import shutil

import pytest
from typer.testing import CliRunner

from gymctl.cli.main import app
from gymctl.errors import EngineError, InputError


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--registry", "r.example/gym"], "--engine swarm"),
        (["--host", "ssh://me@n2", "--engine", "local"], "--engine swarm"),
        (["--engine", "local", "--publish", "0.0.0.0"], "head_server.host"),
        (["--engine", "swarm", "--publish", "127.0.0.1"], "every interface"),
        (["--engine", "swarm", "--expose", "agents"], "--expose is not available on a Swarm"),
        (["--expose", "agents", "--publish", "0.0.0.0"], "add --expose-to CIDR"),
        (["--expose-to", "10.0.0.0/8"], "--expose-to needs --expose"),
        (["--engine", "local", "--slice", "full"], "--slice is for containers"),
        (["--engine", "local", "--base-image", "mine"], "--base-image is for containers"),
        (["--engine", "local", "--ca-bundle", "mine.pem"], "--ca-bundle is for containers"),
    ],
)
def test_an_option_of_another_engine_is_refused(options: list[str], hint: str) -> None:
    result = CliRunner().invoke(app, ["up", "examples/quickstart", *options])
    assert isinstance(result.exception, InputError)
    assert hint in str(result.exception)


@pytest.mark.parametrize("option", [["--base-image", "mine"], ["--ca-bundle", "mine.pem"]])
def test_tests_without_a_container_take_no_option_of_its_image(option: list[str]) -> None:
    result = CliRunner().invoke(app, ["env", "test", "weather", "--engine", "local", *option])
    assert isinstance(result.exception, InputError)
    assert f"{option[0]} is for containers" in str(result.exception)


def test_a_base_image_of_the_environment_is_for_other_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GYMCTL_BASE_IMAGE", "mine")
    result = CliRunner().invoke(app, ["up", "no-such-file.yaml", "--engine", "local"])
    assert "no-such-file.yaml: no such file" in str(result.exception)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (["a"], "'a': expected SERVER=REPLICAS"),
        (["a=two"], "'a=two': expected SERVER=REPLICAS"),
        (["a=-1"], "'a=-1': expected SERVER=REPLICAS"),
        (["a=2", "a=3"], "a is given twice"),
    ],
)
def test_numbers_of_replicas_that_cannot_be_read(counts: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["scale", *counts])
    assert isinstance(result.exception, InputError)
    assert message in str(result.exception)


@pytest.mark.skipif(shutil.which("docker") is None, reason="needs the docker command")
def test_images_are_not_built_where_no_engine_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    result = CliRunner().invoke(app, ["images", "push", "examples/quickstart", "--registry", "r.example/gym"])
    assert isinstance(result.exception, EngineError)
    assert "no response from a Docker engine at tcp://127.0.0.1:9" in str(result.exception)
