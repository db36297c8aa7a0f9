"""Which release of NeMo Gym a folder holds: a checkout, or the packages of an installed wheel."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from gymctl.config.choices import MergeOrder
from gymctl.config.upstream import DEFAULT, release_at

_INSTALLED = re.compile(r"nemo_gym-(?P<version>[0-9][^-]*)\.dist-info")
_NUMBER = re.compile(r"^(MAJOR|MINOR|PATCH) *= *([0-9]+)", re.MULTILINE)


@lru_cache(maxsize=64)
def version_in(root: Path) -> str | None:
    """The version of the NeMo Gym in a folder, from its metadata or its own code; None where it is not known."""
    installed = (_INSTALLED.fullmatch(path.name) for path in root.glob("nemo_gym-*.dist-info"))
    versions = [match["version"] for match in installed if match]
    if versions:
        return versions[0]
    try:
        text = (root / "nemo_gym" / "package_info.py").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    numbers = dict(_NUMBER.findall(text))
    if len(numbers) < 3:
        return None
    return ".".join(numbers[key] for key in ("MAJOR", "MINOR", "PATCH"))


def chosen_version(version: str | None, root: Path | None) -> str | None:
    """The release that a user has chosen: ``version``, else the one in the folder ``root``; None: neither is known."""
    if version or root is None:
        return version
    return version_in(root)


def merge_order_of(version: str | None) -> MergeOrder:
    """How a release merges a file and those that it includes; None: the default release."""
    release = release_at(version) if version else DEFAULT
    if release.includer_wins:
        return MergeOrder.INCLUDES_FIRST
    return MergeOrder.INCLUDES_LAST
