"""The version of a policy's weights in the metadata of a response, whose values are texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

WEIGHT_VERSION = "weight_version"
"""Key of the version; in a response of several calls, of the last one's."""
WEIGHT_VERSIONS = "weight_versions"
"""Key of all versions in the order of the calls, joined by commas, where they differ."""
_MOST_CHARACTERS = 512  # of a value of metadata, as OpenAI has it


def weight_version_of(reply: Mapping[str, Any]) -> str:
    """The version that a completion or a Response has in its metadata, as SGLang's do, or at its top; else empty."""
    metadata = reply.get("metadata")
    version = None
    if isinstance(metadata, Mapping):
        version = metadata.get(WEIGHT_VERSION)
    if version is None:
        version = reply.get(WEIGHT_VERSION)
    if isinstance(version, str | int) and not isinstance(version, bool):
        return str(version)[:_MOST_CHARACTERS]
    return ""


def with_weight_version(response: dict[str, Any], version: str) -> dict[str, Any]:
    """The response with the version in its metadata, where there is one."""
    if not version:
        return response
    return {**response, "metadata": {**(response.get("metadata") or {}), WEIGHT_VERSION: version}}


def with_weight_versions(response: dict[str, Any], replies: Iterable[str]) -> dict[str, Any]:
    """The response of a rollout whose calls were answered by these versions; a second key where they differ."""
    versions = list(dict.fromkeys(version for version in replies if version))
    if len(versions) < 2:
        return response
    every = ",".join(versions)[:_MOST_CHARACTERS]
    return {**response, "metadata": {**(response.get("metadata") or {}), WEIGHT_VERSIONS: every}}
