"""The add-ons' own definitions: plain Compose files in ``compose/`` that a person can read, one service each."""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml

from gymctl import assets
from gymctl.stack.compose.model import ComposeDocument, Service
from gymctl.stack.compose.yaml import single_dollars

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def fragment(name: str) -> Service:
    """The service of ``compose/<name>.yaml``; a plan's own words are laid over it.

    Raises:
        FileNotFoundError: the installation lacks it.
        ValueError: it holds more than one service, or a key that gymctl does not write.
    """
    # in a document ``$`` is not escaped until it is written
    text = (assets.folder("compose") / f"{name}.yaml").read_text(encoding="utf-8")
    document = ComposeDocument.model_validate(single_dollars(yaml.load(text, Loader=_Loader)))  # noqa: S506 - a safe one
    (service,) = document.services.values()
    return service
