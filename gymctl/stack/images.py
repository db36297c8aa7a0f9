"""Which image each server runs in. Bundled servers without packages of their own, and the head, share one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from gymctl.config import Config, ServerInstance

# The line by which a server of a NeMo Gym checkout asks for the checkout itself.
_CHECKOUT = re.compile(r"^(?:-e\b|--editable\b).*(?:nemo[-_]gym|\.\./\.\.)|^nemo[-_]gym\b.*@\s*\.\./", re.IGNORECASE)
_COMMENT = re.compile(r"(?:^|\s)#.*$")


@dataclass(frozen=True)
class ImagePlan:
    """An image to build: ``folder`` is a user's own server folder to copy in, None for the bundled ones."""

    tag: str
    folder: Path | None = None
    requirements: tuple[str, ...] = ()


class ImageChoice:
    """Chooses images and keeps the list of those to build, each once."""

    def __init__(self, config: Config, *, stack: str, prefix: str, version: str) -> None:
        self._bundled = config.bundled.resolve()
        self._stack, self._prefix, self._version = stack, prefix, version
        self._images: dict[str, ImagePlan] = {}

    @property
    def images(self) -> tuple[ImagePlan, ...]:
        """Those chosen so far, in order."""
        return tuple(self._images.values())

    def shared(self) -> str:
        """The tag of the image that bundled servers and the head share."""
        return self._add(ImagePlan(self._tag(f"{self._prefix}-server")))

    def of(self, server: ServerInstance) -> str:
        """The tag of one server's image; its folder must have been found."""
        assert server.folder is not None  # noqa: S101 - the plan refuses servers without a folder first
        folder = server.folder.resolve()
        requirements = read_requirements(folder)
        if folder.is_relative_to(self._bundled):
            if not requirements:
                return self.shared()
            return self._add(ImagePlan(self._tag(f"{self._prefix}-server-{server.implementation}"), None, requirements))
        plan = ImagePlan(self._tag(f"{self._stack}-{server.implementation}"), folder, requirements)
        if self._images.get(plan.tag, plan) != plan:  # another folder of that name, of another kind
            tag = self._tag(f"{self._stack}-{server.kind.value}-{server.implementation}")
            plan = ImagePlan(tag, folder, requirements)
        return self._add(plan)

    def _tag(self, repository: str) -> str:
        version = re.sub(r"[^A-Za-z0-9_.-]+", "-", self._version).strip(".-")[:128] or "latest"
        *registry, name = repository.lower().split("/")
        name = re.sub(r"-*[._]+-+|-+[._]+-*|[^a-z0-9._-]+", "-", name)
        name = re.sub(r"\.{2,}|_{3,}|\._|_\.", "-", name).strip("._-") or "server"
        return f"{'/'.join([*registry, name])}:{version}"

    def _add(self, plan: ImagePlan) -> str:
        self._images.setdefault(plan.tag, plan)
        return plan.tag


def read_requirements(folder: Path) -> tuple[str, ...]:
    """The packages a server folder asks for, without comments and without NeMo Gym's own checkout."""
    path = folder / "requirements.txt"
    if not path.is_file():
        return ()
    lines = (_COMMENT.sub("", line).strip() for line in path.read_text(encoding="utf-8").splitlines())
    return tuple(line for line in lines if line and not _CHECKOUT.search(line))
