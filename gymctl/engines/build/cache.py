"""Whether an image is built already: asking the builder, which would find all in its cache, costs a second.

An image carries the digest of what it was built from as a label. A newer base image counts when it is on this machine
under its name; one that only a registry has is taken when the image is built for another reason, or was removed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from gymctl.engines.runner import CommandFailed, run
from gymctl.stack.labels import BUILD_CONTEXT

_DEFAULT_BASE = "python:3.12-slim"


def context_digest(context: Path, dockerfile: Path, base: str | None, arguments: Sequence[str]) -> str:
    """The digest of all that goes into an image: its files and their modes, the Dockerfile, the base, arguments."""
    digest = hashlib.sha256()
    for path in sorted(context.rglob("*")):
        digest.update(f"{path.relative_to(context)} {path.stat().st_mode:o}\n".encode())
        if path.is_file():
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    digest.update(dockerfile.read_bytes())
    name = base or _DEFAULT_BASE
    digest.update("\0".join([name, _inspected(name, "{{.Id}}"), *arguments]).encode())
    return digest.hexdigest()


def is_built(tag: str, digest: str) -> bool:
    """Whether the image of that tag was built from what the digest stands for."""
    return _inspected(tag, f'{{{{index .Config.Labels "{BUILD_CONTEXT}"}}}}') == digest


def _inspected(image: str, template: str) -> str:
    """A fact about an image of this engine; empty when it has no such image."""
    try:
        return run(["docker", "image", "inspect", "--format", template, image], timeout=30).stdout.strip()
    except CommandFailed:
        return ""
