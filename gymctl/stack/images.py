"""Which image each server runs in. Bundled servers without packages of their own, and the head, share one.

Servers of NeMo Gym share a base, on which each has its own packages and files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gymctl.config import Config, ServerInstance
from gymctl.stack.runtime import GymSource, Runtime, Runtimes

# The line with which a server of a NeMo Gym checkout requires the checkout itself.
_CHECKOUT = re.compile(
    r"^(?:-e\b|--editable\b)(?:.*nemo[-_]gym\b|[\s=]*\.\./\.\./?(?:\[.*)?\s*$)|^nemo[-_]gym\b.*@\s*\.\./", re.IGNORECASE
)
_COMMENT = re.compile(r"(?:^|\s)#.*$")


@dataclass(frozen=True)
class GymBuild:
    """What an image of NeMo Gym is made of: the base itself, or ``server`` (``<kind>/<name>``) on the tag ``base``."""

    source: GymSource
    base: str = ""
    server: str = ""


@dataclass(frozen=True)
class ImagePlan:
    """An image to build: ``folder`` is a user's own server folder to copy in, None for the bundled ones.

    With ``gym`` it is one of NeMo Gym, which finds a server's requirements itself; with ``test_requirements`` it is to
    run a server's tests, which need these packages too. ``dockerfile`` is an add-on's: that name's hand-written
    Dockerfile, with the folder of the same name for its build context.
    """

    tag: str
    folder: Path | None = None
    requirements: tuple[str, ...] = ()
    gym: GymBuild | None = None
    test_requirements: tuple[str, ...] = ()
    dockerfile: str = ""


class ImageChoice:
    """Chooses images and keeps the list of those to build, each once."""

    def __init__(self, config: Config, runtimes: Runtimes, *, stack: str, prefix: str, version: str) -> None:
        self._bundled = config.bundled.resolve()
        self._runtimes = runtimes
        self._stack = stack
        self._prefix = prefix
        self._version = version
        self._images: dict[str, ImagePlan] = {}

    @property
    def images(self) -> tuple[ImagePlan, ...]:
        """Those chosen so far, in order."""
        return tuple(self._images.values())

    def shared(self) -> str:
        """The tag of the image that bundled servers and the head share."""
        return self._add(ImagePlan(self._tag(f"{self._prefix}-server")))

    def addon(self, name: str) -> str:
        """The tag of an add-on's image, which is built from ``dockerfiles/<name>.Dockerfile``."""
        return self._add(ImagePlan(self._tag(f"{self._prefix}-{name}"), dockerfile=name))

    def ray(self, users: Sequence[ServerInstance], added: tuple[str, ...]) -> str:
        """The tag of the image that Ray's nodes and those of its users that are bundled share."""
        folders = [own_folder for user in users if (own_folder := self._runtimes.folder(user))]
        packages = sorted({line for folder in folders for line in read_requirements(folder)} | set(added))
        return self._add(ImagePlan(self._tag(f"{self._prefix}-ray"), None, tuple(packages)))

    def of(self, server: ServerInstance, added: tuple[str, ...] = ()) -> str:
        """The tag of one server's image; one of gymctl's kit must have been found.

        ``added`` are packages on top of its own: Ray, for a user's server that uses it.
        """
        own_folder = self._runtimes.folder(server)
        if self._runtimes.of(server.name) is Runtime.NEMO_GYM:
            return self._of_nemo_gym(server, own_folder.resolve() if own_folder else None)
        assert own_folder is not None  # noqa: S101 - the plan refuses servers without a folder first
        folder = own_folder.resolve()
        requirements = read_requirements(folder)
        if folder.is_relative_to(self._bundled):
            if not requirements:
                return self.shared()
            return self._add(ImagePlan(self._tag(f"{self._prefix}-server-{server.implementation}"), None, requirements))
        return self._add_named(self._stack, server, ImagePlan("", folder, (*requirements, *added)))

    def is_bundled(self, server: ServerInstance) -> bool:
        """Whether a server of the kit is one of those that gymctl brings."""
        folder = self._runtimes.folder(server)
        return folder is not None and folder.resolve().is_relative_to(self._bundled)

    def nemo_gym(self) -> str:
        """The tag of the base that servers of NeMo Gym share; its Ray and its command line are in it."""
        source = self._runtimes.source
        if source.checkout:
            return self._add(ImagePlan(self._tag(f"{self._stack}-nemo-gym"), gym=GymBuild(source)))
        tag = self._tag(f"{self._prefix}-nemo-gym", f"{source.version}-{self._version}")
        return self._add(ImagePlan(tag, gym=GymBuild(source)))

    def _of_nemo_gym(self, server: ServerInstance, folder: Path | None) -> str:
        base = self.nemo_gym()
        checkout = self._runtimes.source.checkout
        if folder is not None and checkout is not None and folder.is_relative_to(checkout):
            has_packages = (folder / "pyproject.toml").is_file() or bool(read_requirements(folder))
            if not has_packages and not self._runtimes.writes_files(server):
                return base
            folder = None  # it is in the base already; its packages are not
        build = GymBuild(self._runtimes.source, base, f"{server.kind.value}/{server.implementation}")
        if folder is None and checkout is None:
            version = f"{self._runtimes.source.version}-{self._version}"
            return self._add_named(f"{self._prefix}-nemo-gym", server, ImagePlan("", gym=build), version)
        return self._add_named(self._stack, server, ImagePlan("", folder, gym=build))

    def _add_named(self, prefix: str, server: ServerInstance, plan: ImagePlan, version: str = "") -> str:
        """Add the plan under a tag of its own: two kinds may each have a folder of one name."""
        for name in (server.implementation, f"{server.kind.value}-{server.implementation}"):
            named = replace(plan, tag=self._tag(f"{prefix}-{name}", version))
            if self._images.get(named.tag, named) == named:
                break
        return self._add(named)

    def _tag(self, repository: str, version: str = "") -> str:
        version = re.sub(r"[^A-Za-z0-9_.-]+", "-", version or self._version).strip(".-")[:128] or "latest"
        *registry, name = repository.lower().split("/")
        name = re.sub(r"-*[._]+-+|-+[._]+-*|[^a-z0-9._-]+", "-", name)
        name = re.sub(r"\.{2,}|_{3,}|\._|_\.", "-", name).strip("._-") or "server"
        return f"{'/'.join([*registry, name])}:{version}"

    def _add(self, plan: ImagePlan) -> str:
        self._images.setdefault(plan.tag, plan)
        return plan.tag


def read_requirements(folder: Path) -> tuple[str, ...]:
    """The packages that a server folder requires, without comments and without NeMo Gym's own checkout."""
    path = folder / "requirements.txt"
    if not path.is_file():
        return ()
    lines = (_COMMENT.sub("", line).strip() for line in path.read_text(encoding="utf-8").splitlines())
    return tuple(line for line in lines if line and not _CHECKOUT.search(line))
