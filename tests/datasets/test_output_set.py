"""Files appear together or not at all, and never in the place of what is read."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from data_folder import ROW, DataFolder
from run_files import result, write_run

from gymctl.datasets.output_set import OutputSet
from gymctl.errors import InputError, RunError


def files(folder: Path) -> dict[str, str]:
    """Names and contents, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_all_appear_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with OutputSet() as outputs:
        outputs.create(tmp_path / "a").write(b"new")
        outputs.write(tmp_path / "x/y/b", b"deep")
        assert (tmp_path / "a").read_text() == "old"
        assert not (tmp_path / "x/y/b").exists()
    assert files(tmp_path) == {"a": "new", "x/y/b": "deep"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_none_appears_after_an_error(error: type[BaseException], tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(error), OutputSet() as outputs:
        outputs.create(tmp_path / "a").write(b"new")
        outputs.write(tmp_path / "x/y/b", b"deep")
        raise error
    assert files(tmp_path) == {"a": "old"}
    assert not (tmp_path / "x").exists()


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="cannot write: No space left on device"), OutputSet() as outputs:
        outputs.create(tmp_path / "a").write(b"new")
    assert files(tmp_path) == {}


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    with OutputSet() as outputs:
        outputs.write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"


@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_only_files_are_replaced(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path = Path(os.devnull)
    with pytest.raises(InputError, match="not a regular file"), OutputSet() as outputs:
        outputs.create(path)
    assert path.exists()


@pytest.mark.parametrize(
    "command",
    [
        ["data", "prepare", "stack.yaml", "--mode", "train_preparation", "-o", "."],
        ["data", "split", "train.jsonl", "-o", "."],
        ["data", "mix", "train.jsonl", "-o", "train.jsonl"],
        ["data", "sample", "train.jsonl", "-n", "1", "-o", "link.jsonl"],
        ["data", "sample", "--from-run", "rollouts.jsonl", "-o", "rollouts_materialized_inputs.jsonl"],
        ["export", "rollouts.jsonl", "--to", "trl", "-o", "rollouts.jsonl"],
        ["export", "rollouts.jsonl", "--to", "trl", "-o", "rollouts_failures.jsonl"],
    ],
)
def test_an_input_is_not_overwritten(command: list[str], data_folder: DataFolder) -> None:
    data_folder.rows("train.jsonl", ROW)
    (data_folder.path / "link.jsonl").symlink_to("train.jsonl")
    data_folder.declare({"name": "rows", "type": "train", "jsonl_fpath": "train.jsonl"})
    write_run(data_folder.path, [result(0, 0)])
    before = files(data_folder.path)
    code, _, err = data_folder.gymctl(*command)
    assert code == 2
    assert "this input would be overwritten; choose another output" in err
    assert files(data_folder.path) == before
