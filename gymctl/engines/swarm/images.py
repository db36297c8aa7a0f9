"""Images for every node of a Swarm: through the user's registry, by digest, or loaded into each node's engine.

Either way an image is named by what it was built from. Swarm compares names only: an image that was rebuilt under its
old name would never reach a task.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from gymctl.config.validation import is_registry
from gymctl.engines.build.images import BuildEvent, OnBuild
from gymctl.engines.runner import CommandFailed, run
from gymctl.errors import EngineError, ErrorCode, InputError

if TYPE_CHECKING:
    import docker

_AT_ONCE = 4
_TRANSFER_S = 3600.0
_SCHEMES = ("tcp", "ssh", "unix")


def push_images(
    client: docker.DockerClient, images: Mapping[str, str], registry: str, on_event: OnBuild = lambda _: None
) -> dict[str, str]:
    """Push images (the values; as ``build_images`` gives them) to ``registry`` (``HOST/PREFIX``).

    Returns:
        What each key of ``images`` is now, by digest: ``HOST/PREFIX/name:version@sha256:...``.

    Raises:
        InputError: the registry's name cannot be one.
        EngineError: the registry refuses.
    """
    check_registry(registry)
    return {key: _push(client, image, registry.rstrip("/"), on_event) for key, image in images.items()}


def check_registry(registry: str) -> None:
    """Check that a registry's name is valid for Docker, before anything is built for it.

    Raises:
        InputError: it is not.
    """
    if not is_registry(registry):
        hint = "use HOST/PREFIX in lower case, such as registry.example:5000/gym"
        raise InputError(f"{registry!r} is not a valid registry", hint)


def _push(client: docker.DockerClient, image: str, registry: str, on_event: OnBuild) -> str:
    began = time.monotonic()
    repository, _, version = image.rpartition(":")
    target = f"{registry}/{repository.rpartition('/')[2]}"
    client.api.tag(image, target, version)
    on_event(BuildEvent(image, "step", f"push to {registry}"))
    try:
        run(["docker", "push", "--quiet", f"{target}:{version}"], timeout=_TRANSFER_S)
    except CommandFailed as error:
        host = registry.partition("/")[0]
        last_line = error.output.strip().splitlines()[-1:] or ["there was no output"]
        message = f"{target}:{version} cannot be pushed: {last_line[0]}"
        hint = f"log in (docker login {host}), or check that {host} can be reached"
        raise EngineError(message, hint, ErrorCode.PUSH_FAILED) from error
    digests = client.api.inspect_image(f"{target}:{version}").get("RepoDigests") or ()
    digest = next((item.partition("@")[2] for item in digests if item.startswith(f"{target}@")), "")
    if not digest:
        raise EngineError(f"{registry} returned no digest for {target}:{version}")
    on_event(BuildEvent(image, "done", "pushed", seconds=time.monotonic() - began))
    return f"{target}:{version}@{digest}"


def check_hosts(hosts: Sequence[str]) -> None:
    """See that each is the address of an engine.

    Raises:
        InputError: one is not.
    """
    for host in hosts:
        scheme, separator, rest = host.partition("://")
        if scheme not in _SCHEMES or not separator or not rest:
            raise InputError(
                f"{host!r} is not the address of a Docker engine", "use ssh://USER@HOST, or tcp://HOST:2376"
            )


def load_images(images: Sequence[str], hosts: Sequence[str], on_event: OnBuild = lambda _: None) -> dict[str, int]:
    """Copy images of this engine to the engines at ``hosts``; what one has already is not sent again.

    Returns:
        How many images each host was sent.

    Raises:
        InputError: an address is none.
        EngineError: an engine does not answer, or refuses.
    """
    check_hosts(hosts)
    names = tuple(dict.fromkeys(images))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        missing = dict(zip(hosts, pool.map(lambda host: _missing(host, names), hosts), strict=True))
        if not any(missing.values()):
            return dict.fromkeys(hosts, 0)
        with TemporaryDirectory(prefix="gymctl-images-") as folder:
            send = _sender(Path(folder), on_event)
            for _ in pool.map(lambda host: send(host, missing[host]), hosts):
                pass
    return {host: len(absent) for host, absent in missing.items()}


def _missing(host: str, images: Sequence[str]) -> tuple[str, ...]:
    listed = _on(host, "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", timeout=60)
    return tuple(image for image in images if image not in set(listed.splitlines()))


def _sender(folder: Path, on_event: OnBuild) -> Callable[[str, tuple[str, ...]], None]:
    """A function that loads images into a host from one file for all: they share most of their layers."""
    from threading import Lock

    lock = Lock()
    files = dict[tuple[str, ...], Path]()

    def send(host: str, images: tuple[str, ...]) -> None:
        """Load ``images`` into the engine at ``host``. Hosts that need the same ones share one archive."""
        if not images:
            return
        began = time.monotonic()
        on_event(BuildEvent(host, "step", "load images"))
        with lock:
            if images not in files:
                files[images] = folder / f"{len(files)}.tar"
                run(["docker", "save", "--output", str(files[images]), *images], timeout=_TRANSFER_S)
        _on(host, "load", "--quiet", "--input", str(files[images]), timeout=_TRANSFER_S)
        on_event(BuildEvent(host, "done", f"{', '.join(images)} loaded", seconds=time.monotonic() - began))

    return send


def _on(host: str, *arguments: str, timeout: float) -> str:
    try:
        return run(["docker", "--host", host, *arguments], timeout=timeout).stdout
    except CommandFailed as error:
        last_line = error.output.strip().splitlines()[-1:] or ["there was no output"]
        raise EngineError(f"the engine at {host}: {last_line[0]}", f"see: docker --host {host} info") from error
