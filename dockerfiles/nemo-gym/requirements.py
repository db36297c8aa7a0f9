"""Packages that a NeMo Gym server needs in addition to NeMo Gym: ``requirements.py FOLDER TARGET`` prints uv arguments.

The arguments name files that this script writes to TARGET: the folder's ``requirements.txt`` or ``pyproject.toml``
without the lines about NeMo Gym, which is already installed; the packages of the extras of NeMo Gym that such a line
requests (except ``dev``, which is for tests); and ``overrides.txt``.
"""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

PACKAGE = "nemo-gym"
FOR_TESTS = "dev"
EDITABLE = r"\s*(?:-e\b|--editable\b)"
GYM_LINE = re.compile(
    rf"{EDITABLE}(?:.*nemo[-_]gym\b|[\s=]*\.\./\.\./?\s*(?:\[.*)?(?:#.*)?$)|\s*nemo[-_]gym\b", re.IGNORECASE
)
RELATIVE = re.compile(rf"^({EDITABLE}[\s=]*|-r\s+|-c\s+|\s*|.*\s@\s+)(\.\.?/.*)$")
GYM_ITEM = re.compile(r"""(["'])nemo[-_]gym\b[^"'\n]*\1\s*,?""", re.IGNORECASE)
GYM_SOURCE = re.compile(r"^\s*(?:sources\.)?nemo[-_]gym\s*=.*\n?", re.IGNORECASE | re.MULTILINE)
EXTRAS = re.compile(r"(?:nemo[-_]gym|\.\./\.\.)/?\s*\[([^\]]*)\]", re.IGNORECASE)
EXTRA_MARKER = re.compile(r"""\s*(?:\band\b)?\s*\(?\s*extra\s*==\s*["']([\w.-]+)["']\s*\)?""")


def without_gym(folder: Path) -> tuple[str, str] | None:
    """The name and text of the folder's list of packages; None if it contains only NeMo Gym."""
    listed, project = folder / "requirements.txt", folder / "pyproject.toml"
    if listed.is_file():
        lines = [line for line in listed.read_text(encoding="utf-8").splitlines() if not GYM_LINE.match(line)]
        if any(line.strip() and not line.lstrip().startswith("#") for line in lines):
            absolute = (RELATIVE.sub(lambda match: f"{match[1]}{folder}/{match[2]}", line) for line in lines)
            return listed.name, "\n".join(absolute) + "\n"
    elif project.is_file():
        text = GYM_SOURCE.sub("", GYM_ITEM.sub("", project.read_text(encoding="utf-8")))
        if tomllib.loads(text).get("project", {}).get("dependencies"):
            return project.name, text
    return None


def extras(folder: Path) -> tuple[str, ...]:
    """The extras of NeMo Gym that the folder requests, without the one for tests."""
    for name in ("requirements.txt", "pyproject.toml"):
        if (folder / name).is_file():
            lines = (folder / name).read_text(encoding="utf-8").splitlines()
            groups = [
                match[1] for line in lines if not line.lstrip().startswith("#") for match in EXTRAS.finditer(line)
            ]
            names = (part.strip().lower() for group in groups for part in group.split(","))
            return tuple(dict.fromkeys(name for name in names if name not in ("", FOR_TESTS)))
    return ()


def packages_of(names: Iterable[str]) -> Iterator[str]:
    """The requirements that extras of the installed NeMo Gym add, including extras that refer to other extras."""
    try:
        lines = requires(PACKAGE) or ()
    except PackageNotFoundError:
        return
    pending = list(names)
    done = {FOR_TESTS}
    while pending:
        extra = pending.pop(0)
        if extra in done:
            continue
        done.add(extra)
        for line in lines:
            marker = EXTRA_MARKER.search(line)
            if marker is None or marker[1].lower() != extra:
                continue
            if nested := EXTRAS.search(line):
                pending += [name.strip().lower() for name in nested[1].split(",")]
            else:
                yield EXTRA_MARKER.sub("", line).rstrip(" ;")


def main(folder: Path, target: Path) -> str:
    """Write the files into the folder ``target`` and return the arguments that name them, or nothing.

    Raises:
        SystemExit: there is no such server.
    """
    if not folder.is_dir():
        kind = folder.parent
        known = sorted(path.parent.name for path in kind.glob("*/app.py"))
        sys.exit(f"error: no {kind.name}/{folder.name} in this NeMo Gym; available: {', '.join(known) or 'none'}")
    files = dict([listed] if (listed := without_gym(folder)) else [])
    added = "".join(f"{line}\n" for line in packages_of(extras(folder)))
    if added:
        files["extras.txt"] = added
    if not files:
        return ""
    target.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (target / name).write_text(text, encoding="utf-8")
    arguments = [f"--requirements {target / name}" for name in files]
    if (folder / "overrides.txt").is_file():
        shutil.copyfile(folder / "overrides.txt", target / "overrides.txt")
        arguments.append(f"--override {target / 'overrides.txt'}")
    return " ".join(arguments)


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), Path(sys.argv[2])), end="")
