"""The build context of an image: the part of gymctl that servers need, the bundled servers, a user's own server."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from gymctl import assets
from gymctl.engines.build.copying import OnNote, copy_tree
from gymctl.engines.build.package_lock import CONTEXT_FILES
from gymctl.errors import InputError

# What a server or the collector job imports; never the CLI, the engines or the renderer.
PACKAGE_PARTS = ("__init__.py", "errors.py", "assets.py", "lazy.py", "py.typed", "config", "server", "rollouts")


def stage(target: Path, folder: Path | None, requirements: Sequence[str], on_note: OnNote) -> None:
    """Fill the empty folder ``target`` with the build context of one image.

    ``folder`` is a user's ``<kind>/<implementation>`` folder, put among the bundled servers (in place of one of the
    same name); what is left out of it is named to ``on_note``.

    Raises:
        InputError: ``folder`` is not a folder, or a file in it cannot be read.
    """
    _stage_package(target / "gymctl")
    services = target / "services"
    copy_tree(assets.folder("services"), services)
    if folder is not None:
        place = services / folder.resolve().parent.name / folder.resolve().name
        shutil.rmtree(place, ignore_errors=True)
        copy_server(folder, place, on_note)
    dockerfiles = assets.folder("dockerfiles")
    for name in ("entrypoint.sh", *CONTEXT_FILES):
        shutil.copyfile(dockerfiles / name, target / name)
    (target / "requirements.txt").write_text("".join(f"{line}\n" for line in requirements), encoding="utf-8")


def copy_server(folder: Path, place: Path, on_note: OnNote) -> None:
    """Copy what belongs into an image of a server's folder; what is left out is named to ``on_note``.

    Raises:
        InputError: ``folder`` is not a folder, or a file in it cannot be read.
    """
    if not folder.is_dir():
        raise InputError(f"the server directory {folder} does not exist")
    copy_tree(folder, place, on_note)


def _stage_package(target: Path) -> None:
    target.mkdir()
    for part in PACKAGE_PARTS:
        source = assets.package() / part
        if source.is_dir():
            copy_tree(source, target / part)
        elif source.is_file():
            shutil.copyfile(source, target / part)
