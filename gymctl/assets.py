"""Where the bundled files are: next to the package in a checkout, inside it in an installed wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_BUNDLED = _PACKAGE / "_bundled"


def package() -> Path:
    """The folder of the ``gymctl`` package itself."""
    return _PACKAGE


def folder(name: str) -> Path:
    """The bundled folder ``services``, ``templates``, ``compose``, ``dockerfiles`` or ``examples``.

    Raises:
        FileNotFoundError: when the installation lacks it.
    """
    place = (_BUNDLED if _BUNDLED.is_dir() else _PACKAGE.parent) / name
    if not place.is_dir():
        raise FileNotFoundError(f"bundled directory {name!r} is missing from this installation of gymctl: {place}")
    return place


def example(text: str) -> Path | None:
    """The bundled file or folder that ``examples/...`` names, wherever gymctl is installed; None when there is none."""
    parts = Path(text).parts
    if parts[:1] != ("examples",) or ".." in parts:
        return None
    place = folder("examples").joinpath(*parts[1:])
    if place.exists():
        return place
    return None


def viewer_files() -> Path:
    """The files of the web page, which reports on disk use too."""
    return _PACKAGE / "viewer" / "static"
