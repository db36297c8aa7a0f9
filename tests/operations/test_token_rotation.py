"""New tokens for a running stack: whatever of a step callers and servers have seen, and wherever it is interrupted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import pairwise, product
from pathlib import Path

import pytest

from gymctl.config import Config, load_config
from gymctl.config.blocks.hop_tokens import HopTokens
from gymctl.engines.own_folder import PREVIOUS_FOLDER
from gymctl.engines.secret_files import write_secrets
from gymctl.engines.server_address import ServerAddress
from gymctl.engines.state import StackState, save_state
from gymctl.errors import EngineError, InputError
from gymctl.operations import token_rotation
from gymctl.operations.hop_tokens import stack_tokens, stored_tokens
from gymctl.operations.token_rotation import rotate_tokens, server_token
from gymctl.stack.hop_tokens import Tokens, local_token_files

STACK = """\
tokens: true
policy_model: {responses_api_models: {scripted_model: {entrypoint: app.py}}}
weather: {resources_servers: {example_single_tool_call: {entrypoint: app.py, domain: agent}}}
my_agent: {responses_api_agents: {simple_agent: {entrypoint: app.py,
  resources_server: {type: resources_servers, name: weather},
  model_server: {type: responses_api_models, name: policy_model}}}}
"""
Files = dict[str, HopTokens]
OWN = {"head_server": "head", "policy_model": "policy_model", "weather": "weather", "my_agent": "my_agent"}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with the files of a running stack, and with those that a rollback would restore."""
    save(tmp_path, "local")
    config = configuration(tmp_path)
    texts = local_token_files(config, stack_tokens(config, tmp_path))
    for place in (tmp_path, tmp_path / ".gymctl" / PREVIOUS_FOLDER):
        place.mkdir(exist_ok=True)
        write_secrets(place, {**texts, "GYM_KEY": "a key"})
    return tmp_path


def save(directory: Path, engine: str) -> None:
    servers = (ServerAddress("head", "head", "head", "http://127.0.0.1:1"),)
    save_state(directory, StackState(engine=engine, name="demo", head_url="http://127.0.0.1:1", servers=servers))


def configuration(directory: Path) -> Config:
    (directory / "stack.yaml").write_text(STACK)
    return load_config(["stack.yaml"], cwd=directory, environ={})


def files(directory: Path) -> Files:
    folder = directory / ".gymctl" / "secrets"
    return {path.name: HopTokens.parse(path.read_text()) for path in folder.glob("gymctl-tokens*")}


def all_calls_succeed(callers: Files, servers: Files) -> bool:
    """Whether calls succeed with the files of callers, and of servers, of two moments."""
    accepted = {name: servers[f"gymctl-tokens-{service}"].accepts for name, service in OWN.items()}
    return all(
        tokens[0] in accepted[name] for caller in callers.values() for name, tokens in caller.calls.items() if tokens
    )


class Interrupted(BaseException):
    pass


def states_of_a_change(directory: Path, monkeypatch: pytest.MonkeyPatch, steps: int = 3) -> list[Files]:
    """The files before and after each step of a change that ends after ``steps``."""
    write = token_rotation._write
    states = [files(directory)]

    def observed(place: Path, tokens: Tokens) -> None:
        if len(states) > steps:
            raise Interrupted
        write(place, tokens)
        states.append(files(place))

    monkeypatch.setattr(token_rotation, "_write", observed)
    try:
        rotate_tokens(directory, wait=0)
    except Interrupted:
        pass
    finally:
        monkeypatch.setattr(token_rotation, "_write", write)
    return states


def test_calls_succeed_however_much_of_a_step_was_seen(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states = states_of_a_change(directory, monkeypatch)
    assert len(states) == 4
    for before, after in pairwise(states):
        for callers, servers in product((before, after), repeat=2):
            assert all_calls_succeed(callers, servers)
    assert not all_calls_succeed(states[0], states[3])


@pytest.mark.parametrize("steps", [0, 1, 2])
@pytest.mark.parametrize("again", [0, 1, 2])
def test_an_interrupted_change_can_be_repeated(
    directory: Path, monkeypatch: pytest.MonkeyPatch, steps: int, again: int
) -> None:
    states = states_of_a_change(directory, monkeypatch, steps)
    states += states_of_a_change(directory, monkeypatch, again)
    states += states_of_a_change(directory, monkeypatch)
    for before, after in pairwise(states):
        for callers, servers in product((before, after), repeat=2):
            assert all_calls_succeed(callers, servers)
    assert all(len(file.accepts) <= 1 for file in states[-1].values())
    assert set(stored_tokens(directory)) == set(OWN)


def test_files_keep_their_place_and_other_secrets_their_value(directory: Path) -> None:
    folder = directory / ".gymctl" / "secrets"
    before = {path.name: (path.stat().st_ino, path.stat().st_mode) for path in folder.iterdir()}
    old = files(directory)
    assert rotate_tokens(directory, wait=0) == 4
    assert {path.name: (path.stat().st_ino, path.stat().st_mode) for path in folder.iterdir()} == before
    assert (folder / "GYM_KEY").read_text() == "a key"
    assert all(files(directory)[name] != tokens for name, tokens in old.items())
    assert files(directory / ".gymctl" / PREVIOUS_FOLDER) == files(directory)


def test_the_next_start_has_the_new_tokens(directory: Path) -> None:
    rotate_tokens(directory, wait=0)
    config = configuration(directory)
    inodes = {path: path.stat().st_ino for path in (directory / ".gymctl" / "secrets").iterdir()}
    texts = local_token_files(config, stack_tokens(config, directory))
    assert write_secrets(directory, {**texts, "GYM_KEY": "a key"}) == ()
    (directory / "stack.yaml").write_text(STACK)
    assert {path: path.stat().st_ino for path in inodes} == inodes


def test_a_token_is_shown_by_the_name_of_its_server(directory: Path) -> None:
    assert server_token("weather", directory) == stored_tokens(directory)["weather"][0]
    assert server_token("head", directory) == stored_tokens(directory)["head_server"][0]
    with pytest.raises(InputError, match="no server 'wether'") as caught:
        server_token("wether", directory)
    assert caught.value.hint == "did you mean 'weather'?"


@pytest.mark.parametrize("call", [rotate_tokens, lambda place: server_token("head", place)])
def test_without_tokens_there_is_nothing_to_replace(tmp_path: Path, call: Callable[[Path], object]) -> None:
    save(tmp_path, "local")
    with pytest.raises(InputError, match="demo have no tokens"):
        call(tmp_path)


def test_a_server_that_calls_no_other_keeps_its_file_while_callers_change(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a Swarm a file that changes is a server that is replaced."""
    _, both, switched, _ = states_of_a_change(directory, monkeypatch)
    changed = {name for name in both if both[name] != switched[name]}
    assert changed == {"gymctl-tokens", "gymctl-tokens-my_agent"}


def test_one_change_at_a_time(directory: Path) -> None:
    first = threading.Thread(target=rotate_tokens, args=(directory,), kwargs={"wait": 1.0})
    first.start()
    time.sleep(0.3)
    with pytest.raises(EngineError, match="gymctl secrets rotate"):
        rotate_tokens(directory, wait=0)
    first.join()


def test_a_damaged_file_is_named(directory: Path) -> None:
    path = directory / ".gymctl" / "secrets" / "gymctl-tokens-weather"
    path.write_text("half")
    with pytest.raises(EngineError, match="gymctl-tokens-weather cannot be read"):
        rotate_tokens(directory, wait=0)
