"""What each server runs on: gymctl's own kit, or NeMo Gym as it is; and where that NeMo Gym comes from.

A server's ``runtime``, or the stack's, decides. Without one it is where the entrypoint was found: a bundled server is
ours, a folder whose code imports NeMo Gym runs on NeMo Gym.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

from gymctl.config import Config, ServerInstance, ServerKind, upstream
from gymctl.config.gym_release import version_in
from gymctl.errors import Problem
from gymctl.stack.file_writers import writes_files

_GYM_PACKAGES = frozenset({"nemo_gym", *ServerKind})
_RAY = re.compile(r"^\s*(?:from|import)\s+ray\b", re.MULTILINE)
_OTHER_SERVER = re.compile(rf"^\s*(?:from|import)\s+(?:{'|'.join(ServerKind)})\.(\w+)", re.MULTILINE)
_RUNNER = r"gymctl\.server\.(?:checks\.runner|work)"
_WORK = re.compile(rf"^\s*(?:from\s+{_RUNNER}\s+import|import\s+{_RUNNER}\b|import\s+ray\b)", re.M)
_IMPORT = re.compile(r"^\s*(?:from|import)\s+(\w+)", re.MULTILINE)


class Runtime(StrEnum):
    """The code that runs a server; the values are those of ``runtime:``."""

    GYMCTL = "gymctl"
    NEMO_GYM = "nemo-gym"


@dataclass(frozen=True)
class GymSource:
    """Where NeMo Gym comes from: a checkout, or PyPI in some version. ``root`` has servers, checkout or not."""

    version: str = upstream.DEFAULT.version
    root: Path | None = None

    @property
    def base_image(self) -> str:
        """The base image with a Python that this release accepts."""
        return f"python:{upstream.release_at(self.version).python}-slim"

    @property
    def least_python(self) -> str:
        """The oldest Python that its wheel accepts."""
        python = upstream.release_at(self.version).python
        return upstream.LEAST_PATCHES.get(python, python)

    @property
    def checkout(self) -> Path | None:
        """The root, when NeMo Gym itself is in it."""
        if self.root is not None and is_checkout(self.root):
            return self.root
        return None


def is_checkout(root: Path) -> bool:
    """Whether NeMo Gym can be installed from this folder (site-packages with an installed wheel is none)."""
    return (root / "pyproject.toml").is_file() and (root / "nemo_gym" / "__init__.py").is_file()


class Runtimes:
    """The runtime of every server of a configuration, the folder each takes its files from, and NeMo Gym's source."""

    def __init__(self, config: Config, *, version: str | None = None, root: Path | None = None) -> None:
        """``version`` and ``root`` are the user's options; otherwise a root found around a server is used."""
        self._config = config
        self._root = root.resolve() if root else None
        self._bundled: dict[Path, bool] = {}
        self._of = {server.name: self._decide(server) for server in config.started.values()}
        if self._root is None and version is None:
            self._root = next((checkout for server in self.nemo_gym if (checkout := _checkout_of(server.folder))), None)
        self.source = GymSource(version or self._known_version() or upstream.DEFAULT.version, self._root)

    def _known_version(self) -> str | None:
        """The release in the root, or in the folder that a server of NeMo Gym was found in."""
        folders = (server.folder.parent.parent for server in self.nemo_gym if server.folder)
        roots = [self._root] if self._root else list(dict.fromkeys(folders))
        return next((version for root in roots if (version := version_in(root))), None)

    @property
    def nemo_gym(self) -> tuple[ServerInstance, ...]:
        """The servers that run on NeMo Gym."""
        servers = self._config.started.values()
        return tuple(server for server in servers if self._of[server.name] is Runtime.NEMO_GYM)

    def of(self, name: str) -> Runtime:
        """The runtime of a server."""
        return self._of[name]

    def folder(self, server: ServerInstance) -> Path | None:
        """Where a server's files are on this machine; None when NeMo Gym brings them, or when there are none."""
        place = Path(server.kind.value, server.implementation)
        if self._of[server.name] is Runtime.NEMO_GYM:
            if not self._is_bundled(server):
                return server.folder
            if self._root and (self._root / place / server.entrypoint).is_file():
                return self._root / place
            return None
        if server.folder and not self._is_bundled(server) and imports_nemo_gym(server.folder, server.entrypoint):
            ours = self._config.bundled / place
            if (ours / server.entrypoint).is_file():
                return ours
            return None
        return server.folder

    def _is_bundled(self, server: ServerInstance) -> bool:
        folder = server.folder
        if folder is None:
            return False
        if folder not in self._bundled:  # many servers may have the same code, and resolving a path is slow
            self._bundled[folder] = folder.resolve().is_relative_to(self._config.bundled.resolve())
        return self._bundled[folder]

    def uses_ray(self, server: ServerInstance) -> bool:
        """Whether a server of NeMo Gym is known to call Ray; an unknown server is assumed to."""
        folder = self._code_of(server)
        if folder is None:
            release = upstream.release_of(self.source.version)
            return release is None or server.implementation in release.ray_users
        return imports_ray(folder)

    def writes_files(self, server: ServerInstance) -> bool:
        """Whether a server of NeMo Gym, an agent or a resources server, writes files; not known for other releases."""
        if server.kind not in (ServerKind.AGENT, ServerKind.RESOURCES):
            return False
        folder = self._code_of(server)
        if folder is None:
            return server.implementation in upstream.release_at(self.source.version).file_writers
        return writes_files(folder, server.entrypoint)

    def _code_of(self, server: ServerInstance) -> Path | None:
        """The folder on this machine with the code of a server of NeMo Gym; None where only the package has it."""
        folder = self.folder(server)
        if folder is None and self.source.checkout is not None:
            return self.source.checkout / server.kind.value / server.implementation
        return folder

    def problems(self) -> Iterator[Problem]:
        """Servers that their runtime does not have, or cannot run in a container."""
        for server in self._config.started.values():
            if problem := self._problem(server, f"{server.kind.value}/{server.implementation}"):
                text, hint = problem
                yield Problem(str(server.location or ""), f"{server.name}: {text}", hint)

    def _problem(self, server: ServerInstance, title: str) -> tuple[str, str] | None:
        checkout = self.source.checkout
        missing = self.folder(server) is None
        if self._of[server.name] is Runtime.GYMCTL:
            if server.folder is not None and missing:
                return f"{title} is written for NeMo Gym; gymctl has no implementation of it", "remove `runtime`"
        elif server.implementation in upstream.NOT_IN_CONTAINERS:
            hint = f"start it on a machine with GPUs and set ++{server.name}.at=http://HOST:PORT"
            if server.implementation == upstream.SELF_SERVING_MODEL:
                hint += ", or have gymctl start vLLM: +vllm.model=ORGANISATION/NAME"
            return f"{title} starts vLLM through Ray directly on a machine, which does not work in a container", hint
        elif checkout and missing and not (checkout / title / server.entrypoint).is_file():
            return f"no {title}/{server.entrypoint} in {checkout}", "check its name there"
        return None

    def _decide(self, server: ServerInstance) -> Runtime:
        if server.runtime is not None:
            return Runtime(server.runtime)
        if server.folder is None or self._is_bundled(server):
            return Runtime.GYMCTL
        if imports_nemo_gym(server.folder, server.entrypoint):
            return Runtime.NEMO_GYM
        return Runtime.GYMCTL


def _checkout_of(folder: Path | None) -> Path | None:
    root = folder.resolve().parent.parent if folder else None
    if root is not None and is_checkout(root):
        return root
    return None


@lru_cache(maxsize=256)
def imports_nemo_gym(folder: Path, entrypoint: str) -> bool:
    """Whether a server's code is written for NeMo Gym: its entrypoint or a module next to it imports it."""
    modules = [folder / entrypoint, *sorted(folder.glob("*.py"))]
    for path in modules:
        imported = _imported(path)
        if "gymctl" in imported:
            return False
        if imported & _GYM_PACKAGES:
            return True
    return False


@lru_cache(maxsize=256)
def imports_ray(folder: Path) -> bool:
    """Whether any module of a server, its tests aside, imports Ray, or another server that is known to use it."""
    for path in folder.rglob("*.py"):
        inside = path.relative_to(folder).parts
        if "tests" in inside or any(part.startswith(".") or part == "venv" for part in inside):
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        if _RAY.search(text) or set(_OTHER_SERVER.findall(text)) & upstream.RAY_USERS:
            return True
    return False


@lru_cache(maxsize=256)
def uses_work(folder: Path) -> bool:
    """Whether a server of gymctl's kit runs checks outside its event loop, which a Ray cluster can run."""
    return any(_WORK.search(path.read_text(encoding="utf-8", errors="replace")) for path in folder.glob("*.py"))


def _imported(path: Path) -> frozenset[str]:
    """The top-level packages that a module imports anywhere."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    try:
        nodes = list(ast.walk(ast.parse(text)))
    except (SyntaxError, ValueError):
        return frozenset(_IMPORT.findall(text))
    plain = (alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names)
    members = (node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level)
    return frozenset(name.partition(".")[0] for name in (*plain, *members))
