"""What depends on the release of NeMo Gym follows from an option, a checkout or an installed package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from config_files import Folder

from gymctl.config import Config, MergeOrder, load_config, upstream
from gymctl.config.gym_release import version_in
from gymctl.stack import Runtimes

INCLUDED = """\
model:
  responses_api_models:
    scripted_model: {entrypoint: app.py, description: included}
"""
INCLUDER = """\
config_paths: [included.yaml]
model:
  responses_api_models:
    scripted_model: {description: includer}
"""
Make = Callable[[Path, str], Path]


def installed(folder: Path, version: str) -> Path:
    root = folder / f"site-packages-{version}"
    (root / f"nemo_gym-{version}.dist-info").mkdir(parents=True)
    (root / "responses_api_models").mkdir()
    return root


def checkout(folder: Path, version: str) -> Path:
    root = folder / f"Gym-{version}"
    (root / "nemo_gym").mkdir(parents=True)
    (root / "responses_api_models").mkdir()
    numbers = zip(("MAJOR", "MINOR", "PATCH"), version.split("."), strict=True)
    text = "\n".join(f"{name} = {number}" for name, number in numbers)
    (root / "nemo_gym" / "package_info.py").write_text(f"{text}\nVERSION = (MAJOR, MINOR, PATCH)\n")
    (root / "nemo_gym" / "__init__.py").touch()
    (root / "pyproject.toml").touch()
    return root


def loaded(
    folder: Folder, version: str | None = None, root: Path | None = None, order: MergeOrder | None = None
) -> Config:
    folder.write("included.yaml", INCLUDED)
    folder.write("includer.yaml", INCLUDER)
    return load_config(
        ["includer.yaml"], cwd=folder.path, environ={}, merge_order=order, gym_root=root, gym_version=version
    )


@pytest.mark.parametrize("make", [installed, checkout])
@pytest.mark.parametrize("version", ["0.4.0", "0.7.0", "0.10.2"])
def test_the_version_of_a_folder(tmp_path: Path, make: Make, version: str) -> None:
    assert version_in(make(tmp_path, version)) == version


def test_a_folder_without_a_version(tmp_path: Path) -> None:
    assert version_in(tmp_path) is None
    other = tmp_path / "other"
    (other / "nemo_gym").mkdir(parents=True)
    (other / "nemo_gym" / "package_info.py").write_text("MAJOR = 0\n")
    assert version_in(other) is None


@pytest.mark.parametrize(
    ("version", "record"),
    [
        ("0.2.0", "0.4.0"),
        ("0.5.0", "0.5.0"),
        ("0.5.1", "0.5.1"),
        ("0.6.3", "0.6.0"),
        ("0.7.0rc1", "0.7.0"),
        ("1", "0.7.0"),
    ],
)
def test_a_version_that_was_not_read_has_the_facts_of_the_one_before(version: str, record: str) -> None:
    assert upstream.release_at(version).version == record


@pytest.mark.parametrize(("version", "winner"), [("0.4.0", "included"), ("0.5.1", "included"), ("0.6.0", "includer")])
def test_files_are_merged_as_the_release_does_it(folder: Folder, version: str, winner: str) -> None:
    roots = (installed(folder.path, version), checkout(folder.path, version))
    for config in (loaded(folder, version), *(loaded(folder, root=root) for root in roots)):
        assert config.servers["model"].fields["description"] == winner
        noted = any(f"files are merged in the order of NeMo Gym {version}" in note for note in config.notes)
        assert noted is (winner == "included")  # other than the default, which is 0.7's


def test_an_order_that_was_asked_for_is_kept(folder: Folder) -> None:
    config = loaded(folder, "0.7.0", order=MergeOrder.INCLUDES_LAST)
    assert config.servers["model"].fields["description"] == "included"
    assert not any("files are merged in" in note for note in config.notes)


@pytest.mark.parametrize(("version", "image"), [("0.4.0", "python:3.12-slim"), ("0.7.0", "python:3.13-slim")])
def test_the_python_of_images_is_one_that_the_release_accepts(folder: Folder, version: str, image: str) -> None:
    folder.write("model.yaml", INCLUDED)
    config = folder.load("model.yaml", "+runtime=nemo-gym")
    assert Runtimes(config, version=version).source.base_image == image
    for root in (installed(folder.path, version), checkout(folder.path, version)):
        source = Runtimes(config, root=root).source
        assert (source.version, source.base_image) == (version, image)
