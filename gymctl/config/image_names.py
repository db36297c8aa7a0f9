"""What Docker takes as the name of an image, and as a place to push images to.

The grammar is that of the distribution project (its package ``reference``).
"""

from __future__ import annotations

import re
from typing import Any

from gymctl.config.keys import is_port

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
    found = pattern.fullmatch(text)
    return found is not None and (found["port"] is None or is_port(int(found["port"])))
