"""Images are named by what they are built from, so that no two stacks share one by accident.

``gymctl-server:0.1.0-3f9a1c2b7d4e``: the digest of the build context, the Dockerfile, its arguments and the base image
follows the version. An image of that name need not be built again (asking the builder, which would find everything in
its cache, costs a second), and another checkout, base image or server folder has another name.

A newer base image counts when it is on this machine under its name; one that only a registry has is used when the
image is built for another reason, or was removed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from gymctl.engines.runner import CommandFailed, run
from gymctl.stack.labels import BUILD_CONTEXT, DIRECTORY

_DIGITS = 12
_LONGEST_TAG = 128
_BASE = re.compile(r"^ARG BASE_IMAGE=(\S+)", re.MULTILINE)


def context_digest(
    context: Path,
    dockerfile: Path,
    base: str | None,
    arguments: Sequence[str],
    folders: Iterable[Path] = (),
) -> str:
    """The SHA-256 of all that goes into an image: its files and their modes, the Dockerfile, the base, arguments.

    ``folders`` are further build contexts, such as one of wheels: large files with a version in their names, of which
    name, size and time count.
    """
    digest = hashlib.sha256()
    for path in sorted(context.rglob("*")):
        digest.update(f"{path.relative_to(context)} {path.stat().st_mode:o}\n".encode())
        if path.is_file():
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    for path in sorted(entry for folder in folders for entry in folder.iterdir()):
        digest.update(f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}\n".encode())
    text = dockerfile.read_text(encoding="utf-8")
    name = base or "".join(_BASE.findall(text)[:1])
    digest.update("\0".join([text, name, _inspected(name, "{{.Id}}"), *arguments]).encode())
    return digest.hexdigest()


def name_by_content(tag: str, digest: str) -> str:
    """``tag`` with the beginning of ``digest`` behind its version."""
    repository, _, version = tag.rpartition(":")
    return f"{repository}:{version[: _LONGEST_TAG - _DIGITS - 1]}-{digest[:_DIGITS]}"


def is_built(tag: str, digest: str) -> bool:
    """Whether the image ``tag`` was built from what ``digest`` identifies."""
    return _inspected(tag, f'{{{{index .Config.Labels "{BUILD_CONTEXT}"}}}}') == digest


def created_at(image: str) -> float | None:
    """When an image was built, in seconds since 1970; None if the engine has no such image."""
    text = _inspected(image, "{{.Created}}")
    if not text:
        return None
    return datetime.fromisoformat(f"{text[:19]}+00:00").timestamp()


def labels(digest: str, directory: Path) -> Mapping[str, str]:
    """The labels of an image: what it was built from, and for which directory's stack."""
    return {BUILD_CONTEXT: digest, DIRECTORY: str(directory)}


def _inspected(image: str, template: str) -> str:
    """A fact about an image of this engine; empty when it has no such image."""
    if not image:
        return ""
    try:
        return run(["docker", "image", "inspect", "--format", template, image], timeout=30).stdout.strip()
    except CommandFailed:
        return ""
