"""Remove images that rebuilds have replaced: a stack's earlier ones, and old ones that are not in use."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gymctl.stack.labels import BUILD_CONTEXT, DIRECTORY

if TYPE_CHECKING:
    import docker

_UNUSED_S = 7 * 24 * 3600.0


def remove_earlier_images(client: docker.DockerClient, names: Sequence[str], directory: Path) -> tuple[str, ...]:
    """Remove images that ``names`` (from ``build_images``) have replaced; returns the removed ones.

    Of the same repositories, those go that were built for ``directory``, and those of other directories that are a
    week old. One that any container uses, even a stopped one, stays.
    """
    repositories = {name.rpartition(":")[0] for name in names}
    used = {
        text for container in client.api.containers(all=True) for text in (container["Image"], container["ImageID"])
    }
    removed: list[str] = []
    for image in client.api.images(filters={"label": BUILD_CONTEXT}):
        if image["Id"] in used or not _is_replaced(image, directory.resolve()):
            continue
        earlier = (tag for tag in _tags(image, repositories) if tag not in names and tag not in used)
        removed += [tag for tag in earlier if _remove(client, tag)]
    return tuple(removed)


def _tags(image: Mapping[str, Any], repositories: set[str]) -> Iterator[str]:
    """The names that gymctl gave an image; the tags of a plan name the latest one only, and stay."""
    digest = image["Labels"][BUILD_CONTEXT]
    for tag in image.get("RepoTags") or ():
        if tag.rpartition(":")[0] in repositories and tag.rpartition("-")[2] == digest[: len(tag.rpartition("-")[2])]:
            yield tag


def _is_replaced(image: Mapping[str, Any], directory: Path) -> bool:
    is_own = image["Labels"].get(DIRECTORY) == str(directory)
    return is_own or time.time() - float(image["Created"]) > _UNUSED_S


def _remove(client: docker.DockerClient, tag: str) -> bool:
    """Remove a name without force: Docker keeps what a container that was started meanwhile uses."""
    from docker.errors import APIError

    try:
        client.api.remove_image(tag, force=False)
    except APIError:
        return False
    return True
