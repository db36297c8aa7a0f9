"""A new environment runs, and its own test passes, without a line of it changed."""

from __future__ import annotations

import asyncio
import runpy
from pathlib import Path

import pytest

from gymctl.config import load_config
from gymctl.engines.local.addresses import plan_addresses
from gymctl.engines.local.servers import build_stack, running
from gymctl.environments.scaffold import create_environment
from gymctl.errors import InputError

POLICY = "responses_api_models/scripted_model/configs/scripted_model.yaml"


def test_a_new_environment_is_solved_by_the_scripted_policy(tmp_path: Path) -> None:
    create_environment("number_game", tmp_path)
    folder = tmp_path / "resources_servers/number_game"
    config = load_config([POLICY, str(folder / "configs/number_game.yaml")], cwd=tmp_path, environ={})
    assert config.notes == ()

    async def rewards() -> list[float]:
        async with running(build_stack(config, plan_addresses(config)), listen=False) as stack:
            rows = (folder / "data/example.jsonl").read_bytes().splitlines()
            replies = [await stack.client.post("number_game_simple_agent", "/run", row) for row in rows]
            return [reply.json()["reward"] for reply in replies]

    assert asyncio.run(rewards()) == [1.0, 1.0, 1.0]


def test_its_own_tests_pass(tmp_path: Path) -> None:
    create_environment("dice", tmp_path)
    tests = runpy.run_path(str(tmp_path / "resources_servers/dice/tests/test_app.py"))
    run = [function for name, function in tests.items() if name.startswith("test_")]
    for function in run:
        function()
    assert len(run) == 3


@pytest.mark.parametrize("name", ["Upper", "1st", "with-dash", "../up", ""])
def test_a_name_that_is_no_modules_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError):
        create_environment(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_exists_is_not_overwritten(tmp_path: Path) -> None:
    create_environment("dice", tmp_path)
    with pytest.raises(InputError, match="already exists"):
        create_environment("dice", tmp_path)
