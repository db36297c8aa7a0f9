"""Options of ``up`` that belong to one engine are not taken, and ignored, by another."""

import pytest
from typer.testing import CliRunner

from gymctl.cli.main import app
from gymctl.errors import InputError


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--registry", "r.example/gym"], "--engine swarm"),
        (["--host", "ssh://me@n2", "--engine", "local"], "--engine swarm"),
        (["--engine", "local", "--publish", "0.0.0.0"], "head_server.host"),
        (["--engine", "swarm", "--publish", "127.0.0.1"], "every interface"),
        (["--engine", "kubernetes"], "compose, swarm or local"),
    ],
)
def test_an_option_of_another_engine_is_refused(options, hint):
    result = CliRunner().invoke(app, ["up", "examples/quickstart", *options])
    assert isinstance(result.exception, InputError)
    assert hint in str(result.exception)
