"""Names of images: by what goes into them, whatever the umask and the checkout's modes; what cannot go in is named."""

import os
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gymctl.engines.build import cache
from gymctl.engines.build.cache import context_digest, name_by_content
from gymctl.engines.build.cleanup import remove_earlier_images
from gymctl.engines.build.copying import copy_tree, disk_errors, normalize_modes
from gymctl.errors import EngineError, InputError
from gymctl.stack.labels import BUILD_CONTEXT, DIRECTORY

BASE = "python:3.12-slim"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "resources_servers" / "mine"
    (made / "data").mkdir(parents=True)
    (made / "app.py").write_text("print()")
    (made / "data" / "table.csv").write_text("1")
    return made


class ContextDigest:
    """The digest of a context made of a folder, with a base image of some identity."""

    def __init__(self, scratch: Path) -> None:
        self.identities = {BASE: "sha256:one"}
        """Of each base image, by its name."""
        self._scratch = scratch
        self._dockerfile = scratch / "Dockerfile"
        self._dockerfile.write_text(f"ARG BASE_IMAGE={BASE}\nFROM ${{BASE_IMAGE}}\n")

    def __call__(
        self, source: Path, base: str | None = None, arguments: Sequence[str] = (), folders: Sequence[Path] = ()
    ) -> str:
        target = self._scratch / f"context-{time.monotonic_ns()}"
        copy_tree(source, target)
        normalize_modes(target)
        return context_digest(target, self._dockerfile, base, arguments, folders)


@pytest.fixture
def digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ContextDigest:
    made = ContextDigest(tmp_path)
    monkeypatch.setattr(cache, "_inspected", lambda image, template: made.identities.get(image, ""))
    return made


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o027, 0o077])
def test_an_image_does_not_depend_on_the_umask(folder: Path, digest: ContextDigest, umask: int) -> None:
    before = digest(folder)
    earlier = os.umask(umask)
    try:
        assert digest(folder) == before
    finally:
        os.umask(earlier)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o666])
def test_an_image_does_not_depend_on_the_modes_of_a_checkout(folder: Path, digest: ContextDigest, mode: int) -> None:
    before = digest(folder)
    (folder / "app.py").chmod(mode)
    (folder / "data").chmod(0o2750)
    assert digest(folder) == before


def test_everything_in_a_context_is_readable_to_all(folder: Path, tmp_path: Path) -> None:
    (folder / "app.py").chmod(0o600)
    (folder / "run.sh").write_text("#!/bin/sh")
    (folder / "run.sh").chmod(0o700)
    (folder / "data").chmod(0o700)
    copy_tree(folder, tmp_path / "context")
    normalize_modes(tmp_path / "context")
    modes = {path.name: path.stat().st_mode & 0o7777 for path in (tmp_path / "context").rglob("*")}
    assert modes == {"app.py": 0o644, "run.sh": 0o755, "data": 0o755, "table.csv": 0o644}


def test_whatever_goes_into_an_image_is_in_its_name(folder: Path, digest: ContextDigest, tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    digests = {digest(folder), digest(folder, "mirror/python:3.12"), digest(folder, None, ["server"])}
    digest.identities[BASE] = "sha256:two"
    digests.add(digest(folder))
    (folder / "run.sh").write_text("x")
    digests.add(digest(folder))
    (folder / "run.sh").chmod(0o755)
    digests.add(digest(folder))
    (wheels / "torch-1.whl").write_text("x")
    digests.add(digest(folder, folders=[wheels]))
    assert len(digests) == 7


@given(st.from_regex(r"[a-z0-9_.-]{1,128}", fullmatch=True), st.from_regex(r"[0-9a-f]{64}", fullmatch=True))
def test_a_name_is_a_tag_that_ends_with_the_digest(version: str, digest: str) -> None:
    name = name_by_content(f"registry.test:5000/gym-x:{version}", digest)
    repository, _, tag = name.rpartition(":")
    assert repository == "registry.test:5000/gym-x"
    assert len(tag) <= 128
    assert tag.endswith(f"-{digest[:12]}")


def test_what_an_image_cannot_hold_is_left_out_and_named(folder: Path, tmp_path: Path) -> None:
    (folder / "data" / "train.jsonl").symlink_to("/mnt/datasets-not-mounted/train.jsonl")
    (folder / "data" / "again").symlink_to(folder)
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.open(folder, os.O_RDONLY)
        listening.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
        notes: list[str] = []
        copy_tree(folder, tmp_path / "context", notes.append)
    copied = {str(path.relative_to(tmp_path / "context")) for path in (tmp_path / "context").rglob("*")}
    assert copied == {"app.py", "data", "data/table.csv"}
    assert sorted(notes) == [
        f"left out of the image: {folder}/data/again (a link to a parent directory)",
        f"left out of the image: {folder}/data/train.jsonl (a link to /mnt/datasets-not-mounted/train.jsonl, "
        "which does not exist)",
        f"left out of the image: {folder}/loop (a link to loop, which does not exist)",
        f"left out of the image: {folder}/pipe (not a regular file)",
        f"left out of the image: {folder}/socket (not a regular file)",
    ]


def test_a_name_that_is_not_utf_8_is_left_out(folder: Path, tmp_path: Path) -> None:
    (folder / os.fsdecode(b"caf\xe9.txt")).write_text("x")
    notes: list[str] = []
    copy_tree(folder, tmp_path / "context", notes.append)
    assert len(notes) == 1
    assert r"caf\xe9.txt (its name is not UTF-8)" in notes[0]


def test_links_to_files_and_folders_elsewhere_are_followed(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "shared"
    elsewhere.mkdir()
    (elsewhere / "words.txt").write_text("a")
    (folder / "shared").symlink_to(elsewhere)
    (folder / "words.txt").symlink_to(elsewhere / "words.txt")
    copy_tree(folder, tmp_path / "context")
    assert (tmp_path / "context" / "shared" / "words.txt").read_text() == "a"
    assert not (tmp_path / "context" / "words.txt").is_symlink()


@pytest.mark.parametrize("name", ["app.py", "data"])
def test_what_cannot_be_read_is_named(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    refused = folder / name
    real_open, real_list = Path.open, Path.iterdir

    def opened(path: Path, *arguments: Any, **options: Any) -> Any:
        if path == refused:
            raise PermissionError(13, "Permission denied")
        return real_open(path, *arguments, **options)

    def listed(path: Path) -> Iterator[Path]:
        if path == refused:
            raise PermissionError(13, "Permission denied")
        return real_list(path)

    monkeypatch.setattr(Path, "open", opened)
    monkeypatch.setattr(Path, "iterdir", listed)
    with pytest.raises(InputError) as caught:
        copy_tree(folder, tmp_path / "context")
    assert caught.value.message == f"{refused} cannot be read: Permission denied"


def test_a_full_disk_is_named_with_its_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/var/small")
    sentence = "context in /var/small: the disk is full; free some space, or set TMPDIR"
    with pytest.raises(EngineError, match=sentence), disk_errors():
        raise OSError(28, "No space left on device")


class Engine:
    """The part of a Docker client that a cleanup asks."""

    def __init__(self, images: Sequence[dict[str, Any]], used: Sequence[str] = ()) -> None:
        self.api = self
        self.listed = images
        self.used = used
        self.removed: list[str] = []

    def containers(self, **options: bool) -> list[dict[str, str]]:
        assert options == {"all": True}
        return [{"Image": name, "ImageID": f"id of {name}"} for name in self.used]

    def images(self, filters: dict[str, str]) -> Sequence[dict[str, Any]]:
        assert filters == {"label": BUILD_CONTEXT}
        return self.listed

    def remove_image(self, name: str, *, force: bool) -> None:
        assert not force
        self.removed.append(name)


def built(name: str, directory: Path, age_s: float = 0.0) -> dict[str, Any]:
    digest = name.rpartition("-")[2]
    return {
        "Id": f"id of {name}",
        "RepoTags": [name, f"{name.partition(':')[0]}:latest"],
        "Created": int(time.time() - age_s),
        "Labels": {BUILD_CONTEXT: digest, DIRECTORY: str(directory)},
    }


def test_earlier_images_of_a_directory_go_and_others_stay(tmp_path: Path) -> None:
    week = 8 * 24 * 3600
    mine, other = tmp_path / "mine", tmp_path / "other"
    images = [
        built("gymctl-server:1-aaaaaaaaaaaa", mine),
        built("gymctl-server:1-bbbbbbbbbbbb", mine),
        built("gymctl-server:1-cccccccccccc", mine),
        built("gymctl-server:1-dddddddddddd", other),
        built("gymctl-server:1-eeeeeeeeeeee", other, week),
        built("gymctl-ray:1-ffffffffffff", mine),
    ]
    engine = Engine(images, used=["gymctl-server:1-bbbbbbbbbbbb"])
    removed = remove_earlier_images(engine, ["gymctl-server:1-cccccccccccc"], mine)
    assert removed == ("gymctl-server:1-aaaaaaaaaaaa", "gymctl-server:1-eeeeeeeeeeee")
    assert tuple(engine.removed) == removed
