"""Formats of single values: GPUs, ports, names of images and registries."""

from __future__ import annotations

import re
from typing import Any

_HOST_PART = r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"{_HOST_PART}(\.{_HOST_PART})*")
_GPU_ID = re.compile(r"[0-9]+(?::[0-9]+)?|(?:GPU|MIG)-[A-Za-z0-9/-]+")


def is_gpu_id(value: Any) -> bool:
    """Whether NVIDIA's runtime takes it: a number, ``GPU:MIG`` numbers, or a ``GPU-...`` or ``MIG-...`` UUID."""
    return not isinstance(value, bool) and _GPU_ID.fullmatch(str(value)) is not None


def is_host_name(value: Any) -> bool:
    """Whether it is a name such as ``gym.example.com``, without a scheme or a port."""
    return isinstance(value, str) and len(value) < 254 and _HOST_NAME.fullmatch(value) is not None


def is_port(value: Any) -> bool:
    """Whether it is a number that a port can have: 1 to 65535."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536


_PART = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"  # of a path
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"  # of a host name
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:]+\])(?::(?P<port>[0-9]+))?"
_TAG = r"\w[\w.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[+._-][A-Za-z][A-Za-z0-9]*)*:[0-9A-Fa-f]{32,}"
_IMAGE = re.compile(rf"(?:{_HOST}/)?{_PART}(?:/{_PART})*(?::{_TAG})?(?:@{_DIGEST})?", re.ASCII)
_REGISTRY = re.compile(rf"{_HOST}(?:/{_PART})*/?", re.ASCII)


def is_image(value: Any) -> bool:
    """Whether it is text like ``vllm/vllm-openai:v0.8`` or ``registry.example:5000/mine@sha256:...``."""
    return isinstance(value, str) and _fits(_IMAGE, value)


def is_registry(text: str) -> bool:
    """Whether it is a ``HOST[:PORT][/PATH]`` that images can be pushed to; all of it in lower case."""
    return text == text.lower() and _fits(_REGISTRY, text)


def _fits(pattern: re.Pattern[str], text: str) -> bool:
    match = pattern.fullmatch(text)
    return match is not None and (match["port"] is None or is_port(int(match["port"])))
