"""libyaml's dumper for plain data: without anchors, and with few steps for texts that repeat."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import yaml

_DumperBase: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class PlainDumper(_DumperBase):  # type: ignore[misc]
    """Writes a value that occurs twice in full each time, and looks up once what a text without quotes would be."""

    def ignore_aliases(self, data: Any) -> bool:
        """True: a value that occurs twice is written twice."""
        return True

    def represent_data(self, data: Any) -> yaml.Node:
        """The node of a value; no anchors have to be looked up for it."""
        representer = self.yaml_representers.get(type(data))
        if representer is None:
            node: yaml.Node = super().represent_data(data)
        else:
            node = representer(self, data)
        return node

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        """The tag that a reader gives to a value; ``implicit`` says of a scalar whether it is without quotes."""
        if kind is not yaml.ScalarNode:
            tag: str = super().resolve(kind, value, implicit)
        elif implicit[0]:
            own_class: Any = type(self)  # a class of PyYAML has no types
            tag = _plain_tag(own_class, value)
        else:
            tag = self.DEFAULT_SCALAR_TAG
        return tag


@lru_cache(maxsize=10_000)
def _plain_tag(dumper: Any, text: str) -> str:
    """The tag of a text without quotes, by the rules of a dumper."""
    for tag, pattern in dumper.yaml_implicit_resolvers.get(text[:1], ()):
        if pattern.match(text):
            return str(tag)
    return str(dumper.DEFAULT_SCALAR_TAG)
