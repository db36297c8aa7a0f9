"""A version of a stack can be kept and made the one of the directory again."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from gymctl.engines.atomic_files import write_atomically
from gymctl.engines.own_folder import clear_folder
from gymctl.engines.saved_stack import images_of, keep_as_previous, read_previous, read_stack, restore
from gymctl.engines.secret_files import write_secrets
from gymctl.engines.state import StackState, load_state, save_configuration, save_state

pytestmark = pytest.mark.unit

STATE = StackState(engine="compose", name="demo", head_url="", servers=(), compose_file="compose.yaml")
TEXT = "services:\n  a: {image: 'one:1'}\n  b:\n    image: two:2\n"


def start(directory: Path, *, digest: str, key: str, text: str = TEXT, engine: str = "compose") -> None:
    write_secrets(directory, {"KEY": key})
    save_state(directory, replace(STATE, config_digest=digest, engine=engine))
    save_configuration(directory, digest, {"a": digest})
    write_atomically(directory / "compose.yaml", text)


def test_an_earlier_version_comes_back_with_its_secrets(tmp_path: Path) -> None:
    assert read_stack(tmp_path) is None
    start(tmp_path, digest="first", key="sk-first\n")
    first = read_stack(tmp_path)
    assert first is not None
    assert "sk-first" not in repr(first)
    start(tmp_path, digest="second", key="sk-second", text="services: {}\n")
    restore(tmp_path, first)
    assert read_stack(tmp_path) == first
    assert load_state(tmp_path).config_digest == "first"
    assert (tmp_path / ".gymctl" / "secrets" / "KEY").read_text() == "sk-first\n"


def test_a_version_is_kept_until_the_stack_is_removed(tmp_path: Path) -> None:
    assert read_previous(tmp_path) is None
    for digest in ("first", "second"):
        start(tmp_path, digest=digest, key=f"sk-{digest}")
        version = read_stack(tmp_path)
        assert version is not None
        keep_as_previous(tmp_path, version)
        assert read_previous(tmp_path) == version
    clear_folder(tmp_path)
    assert read_previous(tmp_path) is None
    assert not (tmp_path / ".gymctl").exists()


def test_a_stack_of_another_engine_or_without_its_file_is_not_a_version(tmp_path: Path) -> None:
    start(tmp_path, digest="first", key="k", engine="local")
    assert read_stack(tmp_path) is None
    start(tmp_path, digest="first", key="k")
    (tmp_path / "compose.yaml").unlink()
    assert read_stack(tmp_path) is None


def test_images_of_a_version(tmp_path: Path) -> None:
    start(tmp_path, digest="first", key="k")
    version = read_stack(tmp_path)
    assert version is not None
    assert images_of(version) == {"one:1", "two:2"}
    assert images_of(replace(version, text="services: [")) == images_of(replace(version, text="")) == set()


def test_tokens_and_certificates_come_back_with_their_modes(tmp_path: Path) -> None:
    modes = {"edge-token": 0o600, "edge-certificate.pem": 0o600, "edge-ca.pem": 0o644, "alertmanager.yaml": 0o600}
    start(tmp_path, digest="first", key="k")
    for name, mode in modes.items():
        write_atomically(tmp_path / ".gymctl" / name, f"first {name}\n", mode=mode)
    first = read_stack(tmp_path)
    assert first is not None
    keep_as_previous(tmp_path, first)
    for name, mode in modes.items():
        write_atomically(tmp_path / ".gymctl" / name, "second\n", mode=mode)
    previous = read_previous(tmp_path)
    assert previous is not None
    restore(tmp_path, previous)
    for name, mode in modes.items():
        path = tmp_path / ".gymctl" / name
        assert path.read_text() == f"first {name}\n"
        assert stat.S_IMODE(path.stat().st_mode) == mode


def test_the_token_of_an_edge_comes_back_although_its_file_was_removed(tmp_path: Path) -> None:
    start(tmp_path, digest="first", key="k")
    write_secrets(tmp_path, {"KEY": "k", "GYMCTL_EDGE_TOKEN": "first"})
    first = read_stack(tmp_path)
    assert first is not None
    write_secrets(tmp_path, {"KEY": "k", "GYMCTL_EDGE_TOKEN": "second"})
    write_atomically(tmp_path / ".gymctl" / "edge-token", "second\n")
    restore(tmp_path, first)
    assert (tmp_path / ".gymctl" / "edge-token").read_text() == "first\n"
