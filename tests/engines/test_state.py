"""What a directory remembers of its stack, and how it keeps secrets."""

import json
import os
from pathlib import Path

import pytest

from gymctl.engines.atomic_files import write_atomically
from gymctl.engines.own_folder import clear_folder
from gymctl.engines.secret_files import write_secrets
from gymctl.engines.server_address import ServerAddress
from gymctl.engines.state import StackState, find_state, load_state, save_state
from gymctl.errors import EngineError, InputError

STATE = StackState(
    engine="compose",
    name="demo",
    head_url="http://127.0.0.1:11000",
    servers=(ServerAddress("head", "head", "head", "http://127.0.0.1:11000"),),
    arguments=("a.yaml", "+x=1"),
    compose_file="compose.yaml",
)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_state_comes_back(tmp_path: Path) -> None:
    save_state(tmp_path, STATE)
    assert load_state(tmp_path) == STATE


def test_state_is_for_its_owner_and_not_for_git(tmp_path: Path) -> None:
    save_state(tmp_path, STATE)
    assert mode(tmp_path / ".gymctl") == 0o700
    assert (tmp_path / ".gymctl" / ".gitignore").read_text() == "*\n"


def test_no_stack_says_what_to_do(tmp_path: Path) -> None:
    assert find_state(tmp_path) is None
    with pytest.raises(InputError, match="gymctl up"):
        load_state(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "x"}', '{"servers": [], "arguments": [], "future": 1}'])
def test_broken_state_is_one_error(tmp_path: Path, text: str) -> None:
    save_state(tmp_path, STATE)
    (tmp_path / ".gymctl" / "stack.json").write_text(text)
    with pytest.raises(InputError, match=r"stack\.json cannot be read"):
        load_state(tmp_path)


def test_secrets_are_exact_readable_files_in_a_closed_folder(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_secrets(tmp_path, {"KEY": "line\n\n", "OTHER": 'é$"'})
    finally:
        os.umask(before)
    folder = tmp_path / ".gymctl" / "secrets"
    assert mode(folder) == 0o700
    assert mode(folder / "KEY") == 0o644
    assert (folder / "KEY").read_bytes() == b"line\n\n"
    assert (folder / "OTHER").read_text(encoding="utf-8") == 'é$"'


def test_only_changed_secrets_are_named_and_old_ones_go(tmp_path: Path) -> None:
    assert write_secrets(tmp_path, {"A": "1", "B": "2"}) == ("A", "B")
    assert write_secrets(tmp_path, {"A": "1", "B": "3"}) == ("B",)
    assert write_secrets(tmp_path, {"A": "1"}) == ()
    assert [path.name for path in (tmp_path / ".gymctl" / "secrets").iterdir()] == ["A"]


def test_state_holds_no_secret(tmp_path: Path) -> None:
    write_secrets(tmp_path, {"KEY": "hush"})
    save_state(tmp_path, STATE)
    assert "hush" not in json.dumps(json.loads((tmp_path / ".gymctl" / "stack.json").read_text()))


def test_clearing_leaves_nothing(tmp_path: Path) -> None:
    save_state(tmp_path, STATE)
    write_secrets(tmp_path, {"KEY": "x"})
    clear_folder(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_clearing_keeps_what_is_not_ours(tmp_path: Path) -> None:
    save_state(tmp_path, STATE)
    (tmp_path / ".gymctl" / "notes.txt").write_text("mine")
    clear_folder(tmp_path)
    assert (tmp_path / ".gymctl" / "notes.txt").read_text() == "mine"


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EngineError, match="No space left on device"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["file"]
