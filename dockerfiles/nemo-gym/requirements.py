"""Packages of a NeMo Gym server other than NeMo Gym: ``requirements.py FOLDER TARGET`` prints a file for uv.

The file is the folder's ``requirements.txt`` or ``pyproject.toml`` without what names NeMo Gym, which is installed
already, and from another place than the ``../..`` that the line means.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

GYM_LINE = re.compile(r"\s*(-e\b|--editable\b).*(nemo[-_]gym|\.\./\.\.)|\s*nemo[-_]gym\b", re.IGNORECASE)
GYM_ITEM = re.compile(r"""(["'])nemo[-_]gym\b[^"'\n]*\1\s*,?""", re.IGNORECASE)
GYM_SOURCE = re.compile(r"^\s*nemo[-_]gym\s*=.*\n?", re.IGNORECASE | re.MULTILINE)


def without_gym(folder: Path) -> tuple[str, str] | None:
    """The name and text of the folder's list of packages; None when NeMo Gym is all it asks for."""
    listed, project = folder / "requirements.txt", folder / "pyproject.toml"
    if listed.is_file():
        lines = [line for line in listed.read_text(encoding="utf-8").splitlines() if not GYM_LINE.match(line)]
        if any(line.strip() and not line.lstrip().startswith("#") for line in lines):
            return listed.name, "\n".join(lines) + "\n"
    elif project.is_file():
        text = GYM_SOURCE.sub("", GYM_ITEM.sub("", project.read_text(encoding="utf-8")))
        if tomllib.loads(text).get("project", {}).get("dependencies"):
            return project.name, text
    return None


def main(folder: Path, target: Path) -> str:
    """Write the list into the folder ``target`` and return its path, or nothing.

    Raises:
        SystemExit: there is no such server.
    """
    if not folder.is_dir():
        kind = folder.parent
        known = sorted(path.parent.name for path in kind.glob("*/app.py"))
        sys.exit(f"error: no {kind.name}/{folder.name} in this NeMo Gym; there are: {', '.join(known) or 'none'}")
    requirements = without_gym(folder)
    if requirements is None:
        return ""
    name, text = requirements
    target.mkdir(parents=True, exist_ok=True)
    (target / name).write_text(text, encoding="utf-8")
    return str(target / name)


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), Path(sys.argv[2])), end="")
