"""Create params whose input grows with a rollout: what one call encoded, the next one does not encode again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gymctl.config import exact_json
from gymctl.server.responses import input_items


class Conversation:
    """Create params with the items of their input, to which a rollout adds what the model and the tools say.

    Items are encoded when they are added; a later change of one has no effect.
    """

    def __init__(self, params: Mapping[str, Any]) -> None:
        """Begin with ``input`` of ``params``.

        Raises:
            RefusedError: it is neither text nor a list of items.
        """
        others = {name: value for name, value in params.items() if name != "input"}
        self._others = exact_json.dumps(others)[1:-1]
        self._items: list[bytes] = []
        self.add(input_items(params.get("input")))

    def add(self, items: Iterable[Mapping[str, Any]]) -> None:
        """Add items to the end of the input."""
        self._items += [exact_json.dumps(item) for item in items]

    @property
    def body(self) -> bytes:
        """The create params as JSON."""
        parts = [b'{"input":[', b",".join(self._items), b"]", b"," if self._others else b"", self._others, b"}"]
        return b"".join(parts)
