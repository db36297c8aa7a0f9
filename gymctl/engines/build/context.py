"""The build context of an image: the part of gymctl that servers need, the bundled servers, a user's own server."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from gymctl import assets
from gymctl.errors import InputError

# What a server or the collector job imports; never the CLI, the engines or the renderer.
PACKAGE_PARTS = ("__init__.py", "errors.py", "assets.py", "lazy.py", "py.typed", "config", "server", "rollouts")
# Rows come with `collect --input`; a big file of them in a server's data/ would only make its image big.
_BIG_ROWS = 4 * 2**20
_LEFT_OUT = ("__pycache__", "*.pyc", "tests", ".*", "node_modules", "*.egg-info", "venv")

OnNote = Callable[[str], None]


def stage(target: Path, folder: Path | None, requirements: Sequence[str], on_note: OnNote) -> None:
    """Fill the empty folder ``target`` with the build context of one image.

    ``folder`` is a user's ``<kind>/<implementation>`` folder, put among the bundled servers (in place of one of the
    same name); what is left out of it is told to ``on_note``.

    Raises:
        InputError: ``folder`` is no folder.
    """
    _stage_package(target / "gymctl")
    services = target / "services"
    shutil.copytree(assets.folder("services"), services, ignore=_ignore(None))
    if folder is not None:
        place = services / folder.resolve().parent.name / folder.resolve().name
        shutil.rmtree(place, ignore_errors=True)
        copy_server(folder, place, on_note)
    dockerfiles = assets.folder("dockerfiles")
    for name in ("entrypoint.sh", "server.requirements.txt"):
        shutil.copyfile(dockerfiles / name, target / name)
    (target / "requirements.txt").write_text("".join(f"{line}\n" for line in requirements), encoding="utf-8")


def copy_server(folder: Path, place: Path, on_note: OnNote) -> None:
    """Copy what of a server's folder belongs into an image; large rows that are left out are told to ``on_note``.

    Raises:
        InputError: ``folder`` is no folder.
    """
    if not folder.is_dir():
        raise InputError(f"the server folder {folder} does not exist")
    shutil.copytree(folder, place, ignore=_ignore(on_note))


def _stage_package(target: Path) -> None:
    target.mkdir()
    for part in PACKAGE_PARTS:
        source = assets.package() / part
        if source.is_dir():
            shutil.copytree(source, target / part, ignore=_ignore(None))
        elif source.is_file():
            shutil.copyfile(source, target / part)


def _ignore(on_note: OnNote | None) -> Callable[[str, list[str]], set[str]]:
    by_name = shutil.ignore_patterns(*_LEFT_OUT)

    def ignored(parent: str, names: list[str]) -> set[str]:
        left_out = by_name(parent, names)
        for name in sorted(set(names) - left_out):
            path = Path(parent, name)
            if path.suffix == ".jsonl" and Path(parent).name == "data" and path.stat().st_size > _BIG_ROWS:
                left_out.add(name)
                if on_note is not None:
                    on_note(f"left out of the image: {path} ({path.stat().st_size / 2**20:.0f} MiB of rows)")
        return left_out

    return ignored
