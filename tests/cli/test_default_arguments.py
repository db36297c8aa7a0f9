"""``up`` and ``plan`` without a configuration, and commands for a stack in a directory below its own."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import pytest
import yaml
from cli_stack import EXAMPLE, Gymctl
from free_ports import free_port

from gymctl.engines.stack_directory import stack_directory
from gymctl.engines.state import StackState, find_state, save_state
from gymctl.errors import InputError
from gymctl.operations.default_arguments import DefaultArguments, default_arguments, kept_version

STATE = StackState(engine="compose", name="mine", head_url="http://127.0.0.1:11000", servers=())
OPTIONS = {"--name", "--engine", "--registry"}


@pytest.fixture
def below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory two levels below ``tmp_path``, which is where the command is run."""
    folder = tmp_path / "data" / "rows"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def test_the_arguments_of_the_stack_above_are_repeated(tmp_path: Path, below: Path) -> None:
    (tmp_path / "stack.yaml").touch()
    state = replace(STATE, arguments=("a.yaml", "+x=1", "--name", "mine"), engine_options=("--registry=r.example/gym",))
    save_state(tmp_path, state)
    expected = DefaultArguments((*state.arguments, "--registry=r.example/gym"), tmp_path)
    assert default_arguments((), OPTIONS) == expected
    assert default_arguments(("+x=2", "~y"), OPTIONS) == expected
    assert default_arguments((), {"--name"}) == DefaultArguments(state.arguments, tmp_path)
    assert "a.yaml +x=1 --name mine --registry=r.example/gym" in expected.note
    assert f"(in {tmp_path})" in expected.note


def test_the_nearest_stack_file_is_used_where_no_stack_runs(tmp_path: Path, below: Path) -> None:
    assert default_arguments((), OPTIONS) is None
    (tmp_path / "stack.yaml").touch()
    assert default_arguments((), OPTIONS) == DefaultArguments(("stack.yaml",), tmp_path)
    (below / "stack.yaml").touch()
    assert default_arguments((), OPTIONS) == DefaultArguments(("stack.yaml",), below)


@pytest.mark.parametrize(
    "arguments", [("a.yaml",), ("+x=1", "folder"), ("+config_paths=[a.yaml]",), ("config_paths=a",)]
)
def test_a_configuration_that_is_named_is_used_alone(tmp_path: Path, below: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "stack.yaml").touch()
    assert default_arguments(arguments, OPTIONS) is None


def test_paths_in_the_environment_file_come_first(below: Path) -> None:
    (below / "stack.yaml").touch()
    (below / "env.yaml").write_text("config_paths: [a.yaml]\n")
    assert default_arguments((), OPTIONS) is None
    (below / "env.yaml").write_text("policy_model_name: mine\n")
    assert default_arguments((), OPTIONS) == DefaultArguments(("stack.yaml",), below)


@pytest.mark.parametrize("argument", ["+policy_api_key=****", "+policy_base_url=http://me:****@model.example/v1"])
def test_a_secret_of_the_command_line_has_to_be_repeated(below: Path, argument: str) -> None:
    save_state(below, replace(STATE, arguments=("a.yaml", argument)))
    with pytest.raises(InputError, match=rf"{re.escape(argument)}, whose value is not stored"):
        default_arguments((), OPTIONS)


def test_an_override_of_a_key_with_a_like_name_names_no_configuration(tmp_path: Path, below: Path) -> None:
    (tmp_path / "stack.yaml").touch()
    expected = DefaultArguments(("stack.yaml",), tmp_path)
    assert default_arguments(("+my_config_paths=[a.yaml]", "+config_paths.b=1"), OPTIONS) == expected


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
@pytest.mark.parametrize("path", [".gymctl", ".gymctl/stack.json"])
def test_a_stack_of_another_user_is_passed_over(tmp_path: Path, below: Path, path: str) -> None:
    save_state(tmp_path, replace(STATE, arguments=("a.yaml",)))
    assert stack_directory() == tmp_path
    os.chown(tmp_path / path, 12345, 12345)
    assert stack_directory() == below
    assert default_arguments((), OPTIONS) is None


@pytest.mark.processes
def test_commands_below_the_directory_of_a_stack(gymctl: Gymctl, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "stack.yaml").write_bytes((EXAMPLE / "stack.yaml").read_bytes())
    below = folder / "rows"
    below.mkdir()
    (below / "rows.jsonl").write_bytes((EXAMPLE / "rows.jsonl").read_bytes())
    monkeypatch.chdir(below)
    try:
        started = gymctl("up", "--engine", "local", f"+head_server.port={free_port()}")
        monkeypatch.chdir(below)  # the command was run in this process
        assert started.code == 0, started.err
        assert "using: stack.yaml" in started.err
        first = find_state(folder)
        assert first is not None
        assert all(server["ok"] for server in json.loads(gymctl("status", "--json").out))
        collected = gymctl("collect", "--input", "rows.jsonl", "--output", "out.jsonl")
        assert collected.code == 0, collected.err
        assert len((below / "out.jsonl").read_bytes().splitlines()) == 10
        again = gymctl("up")
        monkeypatch.chdir(below)
        assert again.code == 0, again.err
        second = find_state(folder)
        assert second is not None
        assert second == replace(first, servers=second.servers)
    finally:
        stopped = gymctl("down")
    assert stopped.code == 0
    assert find_state(folder) is None
    assert sorted(path.name for path in folder.iterdir()) == ["rows", "stack.yaml"]


@pytest.mark.parametrize(
    ("recorded", "kept"), [("", "0.4.0"), ("0.5.1", "0.5.1"), ("0.7.0", None)], ids=["older", "chosen", "default"]
)
def test_a_stack_keeps_the_release_that_it_was_started_with(
    tmp_path: Path, below: Path, recorded: str, kept: str | None
) -> None:
    save_state(tmp_path, replace(STATE, gym_version=recorded))
    assert kept_version() is None, "the stack of another directory"
    os.chdir(tmp_path)
    assert kept_version() == kept


@pytest.mark.processes
@pytest.mark.enable_socket
def test_a_stack_from_before_the_new_default_is_merged_as_before(folder: Path, gymctl: Gymctl) -> None:
    model = "policy_model: {responses_api_models: {scripted_model: {entrypoint: app.py, latency_ms: 1}}}\n"
    (folder / "base.yaml").write_text(model)
    overlay = "config_paths: [base.yaml]\n" + model.replace("latency_ms: 1", "latency_ms: 2")
    (folder / "stack.yaml").write_text(f"{overlay}head_server: {{port: {free_port()}}}\n")

    def started(*options: str) -> tuple[int, str]:
        done = gymctl("up", "--engine", "local", "stack.yaml", *options)
        assert done.code == 0, done.err
        state = find_state(folder)
        assert state is not None
        with urlopen(f"{state.head_url}/global_config_dict_yaml", timeout=10) as reply:
            whole = yaml.safe_load(json.loads(reply.read()))
        latency: int = whole["policy_model"]["responses_api_models"]["scripted_model"]["latency_ms"]
        return latency, done.err

    try:
        assert started()[0] == 2
        stored = folder / ".gymctl" / "stack.json"
        values = json.loads(stored.read_text())
        assert values.pop("gym_version") == "0.7.0"
        stored.write_text(json.dumps(values))
        latency, notes = started()
        assert latency == 1
        assert "this stack keeps NeMo Gym 0.4.0; --gym-version 0.7.0 changes it to the default" in notes
        assert "files are merged in the order of NeMo Gym 0.4.0: includes-last" in notes
        assert started("--gym-version", "0.7.0")[0] == 2
        assert "keeps" not in started()[1]
    finally:
        gymctl("down")
