"""The add-ons' own definitions: plain Compose files in ``compose/`` that a person can read, one service each."""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml

from gymctl import assets
from gymctl.stack.compose.model import ComposeDocument, Service

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def fragment(name: str) -> Service:
    """The service of ``compose/<name>.yaml``; a plan's own words are laid over it.

    Raises:
        FileNotFoundError: the installation lacks it.
        ValueError: it holds more than one service, or a key that gymctl does not write.
    """
    text = (assets.folder("compose") / f"{name}.yaml").read_text(encoding="utf-8")
    document = ComposeDocument.model_validate(_undoubled(yaml.load(text, Loader=_Loader)))  # noqa: S506 - a safe one
    (service,) = document.services.values()
    return service


def _undoubled(value: Any) -> Any:
    """Replace every ``$$`` by ``$``: in a document ``$`` is not escaped until it is written."""
    if isinstance(value, dict):
        return {key: _undoubled(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_undoubled(item) for item in value]
    if isinstance(value, str):
        return value.replace("$$", "$")
    return value
