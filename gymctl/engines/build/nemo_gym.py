"""The build context of an image of NeMo Gym: a checkout of it or nothing, one server's own folder or nothing."""

from __future__ import annotations

import shutil
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gymctl import assets
from gymctl.engines.build.context import copy_server
from gymctl.errors import InputError

if TYPE_CHECKING:
    from gymctl.stack import GymBuild

# The packages of a checkout. Next to them are environments of every server, results, caches: gigabytes.
_PACKAGES = (
    "nemo_gym",
    "resources_servers",
    "responses_api_agents",
    "responses_api_models",
    "environment_servers",
    "benchmarks",
    "environments",
)


def stage_gym(target: Path, build: GymBuild, folder: Path | None, on_note: Callable[[str], None]) -> None:
    """Fill the empty folder ``target`` with the build context of one image.

    ``folder`` is a server's own ``<kind>/<implementation>`` folder; it takes the place of NeMo Gym's one of that name.

    Raises:
        InputError: ``folder`` is not a folder, or the version is none that could be on PyPI.
    """
    source = build.source
    if source.checkout is None and not source.version.replace(".", "").isalnum():
        raise InputError(f"--gym-version is {source.version!r}", "expected a version, such as 0.7.0")
    dockerfiles = assets.folder("dockerfiles")
    shutil.copyfile(dockerfiles / "entrypoint.sh", target / "entrypoint.sh")
    for name in ("gymctl_ray.py", "requirements.py", "python_version.py"):
        shutil.copyfile(dockerfiles / "nemo-gym" / name, target / name)
    for name in ("checkout", "folder", "project"):
        (target / name).mkdir()
    constraints = dockerfiles / "nemo-gym" / "constraints" / f"{source.version}.txt"
    if constraints.is_file():
        text = constraints.read_text(encoding="utf-8")
    else:
        text = ""
    if source.checkout is not None:
        text = "".join(f"{line}\n" for line in locked(source.checkout / "uv.lock"))
        if not build.base:
            _stage_checkout(source.checkout, target / "checkout", on_note)
    (target / "constraints.txt").write_text(text, encoding="utf-8")
    if folder is not None:
        copy_server(folder, target / "folder" / folder.parent.name / folder.name, on_note)


def locked(lock: Path) -> Iterator[str]:
    """``name==version`` of every package in a ``uv.lock`` that has one version for all platforms."""
    if not lock.is_file():
        return
    packages = tomllib.loads(lock.read_text(encoding="utf-8")).get("package", [])
    times = Counter(package["name"] for package in packages)
    for package in packages:
        if times[package["name"]] == 1 and "registry" in package.get("source", {}) and "version" in package:
            yield f"{package['name']}=={package['version']}"


def _stage_checkout(root: Path, target: Path, on_note: Callable[[str], None]) -> None:
    shutil.copyfile(root / "pyproject.toml", target.parent / "project" / "pyproject.toml")
    for path in root.iterdir():
        if path.is_file() and not path.name.startswith(".") and path.stat().st_size < 2**20:
            shutil.copyfile(path, target / path.name)
    for name in _PACKAGES:
        if (root / name).is_dir():
            copy_server(root / name, target / name, on_note)
