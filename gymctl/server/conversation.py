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
        encoded = exact_json.dumps(others)[1:]
        if others:
            encoded = b"," + encoded
        self._end = b"]" + encoded
        self._beginning = bytearray(b'{"input":[')
        self._has_items = False
        self._kept = ""
        self._length_kept = 0
        self.add(input_items(params.get("input")))

    def add(self, items: Iterable[Mapping[str, Any]]) -> None:
        """Add items to the end of the input."""
        for item in items:
            if self._has_items:
                self._beginning += b","
            self._beginning += exact_json.dumps(item)
            self._has_items = True

    @property
    def body(self) -> bytes:
        """The create params as JSON."""
        return b"".join((self._beginning, self._end))

    @property
    def continues(self) -> str:
        """The name under which the model server keeps the beginning; empty when it keeps none."""
        return self._kept

    @property
    def length_kept(self) -> int:
        """Bytes of ``body`` that the model server has kept."""
        return self._length_kept

    @property
    def rest(self) -> bytes:
        """What follows the bytes that the model server has kept."""
        return b"".join((memoryview(self._beginning)[self._length_kept :], self._end))

    def kept_as(self, name: str) -> None:
        """Remember that the model server keeps ``body``, as it is now, under a name; an empty one: that it does not."""
        self._kept = name
        self._length_kept = len(self._beginning)
