"""How one image is built: Dockerfile, stage, arguments; and the command that builds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from gymctl.engines.build.cache import context_digest
from gymctl.stack.slices.host_gateway import GATEWAY, reroute_address


@dataclass(frozen=True)
class Build:
    """How one image is built: the stage ``target`` of a Dockerfile, with its arguments.

    ``contexts`` are folders that take the place of stages, by their names.
    """

    dockerfile: Path
    base: str | None = None
    target: str = "server"
    arguments: Mapping[str, str] = field(default_factory=dict)
    contexts: Mapping[str, str] = field(default_factory=dict)

    def digest(self, context: Path) -> str:
        """The digest of everything that is built from."""
        arguments = [self.target, *(f"{name}={value}" for name, value in sorted(self.arguments.items()))]
        folders = [Path(folder) for folder in self.contexts.values()]
        return context_digest(context, self.dockerfile, self.base, arguments, folders)


def build_command(
    tags: Sequence[str],
    context: Path,
    build: Build,
    bundle: Path | None,
    labels: Mapping[str, str] = MappingProxyType({}),
    proxies: Sequence[str] = (),
) -> list[str]:
    """The argument list that builds one image under each of ``tags``.

    ``proxies`` are variables that name a proxy: the builder reads their values, which may hold a password, from the
    environment and keeps them out of the image.
    """
    argv = ["docker", "buildx", "build", "--load", "--progress=plain", "--provenance=false"]
    argv += ["--file", str(build.dockerfile), "--target", build.target]
    for tag in tags:
        argv += ["--tag", tag]
    for name, value in {**({"BASE_IMAGE": build.base} if build.base else {}), **build.arguments}.items():
        argv += ["--build-arg", f"{name}={value}"]
    for name in proxies:
        argv += ["--build-arg", name]
    for name, folder in build.contexts.items():
        argv += ["--build-context", f"{name}={folder}"]
    for name, value in labels.items():
        argv += ["--label", f"{name}={value}"]
    if bundle:
        argv += ["--secret", f"id=ca,src={bundle}"]
    return [*argv, str(context)]


def build_proxies(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The variables of ``environ`` that name proxies for a build: not those on this machine, out of its reach."""
    names = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
    proxies = [name for lower in names for name in (lower, lower.upper()) if environ.get(name)]
    return tuple(name for name in proxies if name.lower() == "no_proxy" or not reroute_address(environ[name], GATEWAY))
