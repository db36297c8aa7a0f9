"""What gymctl writes is not led elsewhere by a link, nor put where another user reads it."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest

from gymctl.engines import atomic_files, own_folder, secret_files
from gymctl.errors import EngineError
from gymctl.server.run.ready_file import touch


def test_a_planted_link_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    thesis = tmp_path / "thesis"
    thesis.write_text("precious")
    name = uuid.uuid4()
    monkeypatch.setattr(uuid, "uuid4", lambda: name)
    (tmp_path / f".compose.yaml.{name.hex}").symlink_to(thesis)
    with pytest.raises(EngineError, match=r"compose\.yaml cannot be written: File exists"):
        atomic_files.write_atomically(tmp_path / "compose.yaml", "x")
    assert thesis.read_text() == "precious"
    assert not (tmp_path / "compose.yaml").exists()


def test_a_link_in_the_files_place_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis").write_text("precious")
    (tmp_path / "compose.yaml").symlink_to("thesis")
    atomic_files.write_atomically(tmp_path / "compose.yaml", "x", mode=0o640)
    assert (tmp_path / "thesis").read_text() == "precious"
    assert not (tmp_path / "compose.yaml").is_symlink()
    assert (tmp_path / "compose.yaml").stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["compose.yaml", "thesis"]


@pytest.mark.parametrize("folders", [[".gymctl"], [".gymctl", ".gymctl/secrets"]])
def test_a_folder_of_another_user_gets_no_secret(
    folders: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in folders:
        (tmp_path / folder).mkdir(mode=0o777)
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    with pytest.raises(EngineError, match="belongs to another user"):
        secret_files.write_secrets(tmp_path, {"KEY": "sk-planted"})
    assert not list(tmp_path.rglob("KEY"))


def test_a_link_to_a_folder_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make files for another user")
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 4242, 4242)
    (tmp_path / ".gymctl").symlink_to("theirs")
    with pytest.raises(EngineError, match=r"belongs to another user \(uid 4242\)"):
        secret_files.write_secrets(tmp_path, {"KEY": "sk-planted"})


def test_a_folder_that_changes_hands_between_the_look_and_the_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (own_folder, secret_files):
        monkeypatch.setattr(module, "make_own", lambda folder: folder.mkdir(exist_ok=True))
    own_folder.state_folder(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    with pytest.raises(EngineError, match="belongs to another user"):
        secret_files.write_secrets(tmp_path, {"KEY": "sk-planted"})
    assert not list(tmp_path.rglob("KEY"))


def test_own_folders_are_closed_to_others(tmp_path: Path) -> None:
    (tmp_path / ".gymctl").mkdir(mode=0o755)
    assert secret_files.write_secrets(tmp_path, {"KEY": "sk-planted"}) == ("KEY",)
    for folder in (".gymctl", ".gymctl/secrets"):
        assert (tmp_path / folder).stat().st_mode & 0o777 == 0o700


def test_the_ready_file_is_no_way_to_another_one(tmp_path: Path) -> None:
    (tmp_path / "gymctl-ready").symlink_to(tmp_path / "made")
    with pytest.raises(OSError, match="symbolic link"):
        touch(tmp_path / "gymctl-ready")
    assert not (tmp_path / "made").exists()
    touch(tmp_path / "other")
    os.utime(tmp_path / "other", (1, 1))
    touch(tmp_path / "other")
    assert (tmp_path / "other").stat().st_mtime > 1
