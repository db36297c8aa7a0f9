"""Conversations that grow from call to call: what an earlier call converted is not read again.

The input of a call usually begins with the bytes of the session's call before. Their chat messages are kept as JSON up
to the last item that ends a turn: only what follows is parsed, converted and encoded.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
from cachetools import LRUCache

from gymctl.config import exact_json
from gymctl.server.chat.messages import convert_items
from gymctl.server.chat.style import Style

KEPT_BYTES = 64 << 20
"""Bytes of conversations that a server keeps; the least recently continued ones are forgotten."""

_raw_items = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(frozen=True)
class ChatMessages:
    """Chat messages as JSON, a list."""

    json: bytes
    last: Mapping[str, Any]
    """The last one if an assistant's may be the last; otherwise it may be empty."""


@dataclass(frozen=True)
class _Beginning:
    """The beginning of an input, up to the end of a turn, and its messages."""

    source: bytes | memoryview = b"["
    """JSON of the list as it came, without what follows the last item."""
    count: int = 0
    messages: bytes = b""
    """The messages, separated by commas."""

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return len(self.source) + len(self.messages)


class GrowingConversations:
    """The conversations of a server's sessions, as far as they were converted."""

    def __init__(self, style: Style, kept_bytes: int = KEPT_BYTES) -> None:
        self._style = style
        self._beginnings: LRUCache[str, _Beginning] = LRUCache(kept_bytes, getsizeof=lambda beginning: beginning.size)

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return int(self._beginnings.currsize)

    def convert(self, session: str, items: bytes) -> ChatMessages:
        """The chat messages of an input.

        Args:
            session: the session whose earlier call may have had the beginning.
            items: the input as JSON: a list of items.

        Raises:
            RefusedError: an item cannot be converted; with its place.
            ValueError: it is not JSON, or not a list.
        """
        known = self._beginnings.get(session)
        if known is None or not items.startswith(known.source):
            known = _Beginning()
        texts = [bytes(item) for item in _raw_items.decode(_rest(items, known))]
        new = convert_items([exact_json.loads(text) for text in texts], self._style, first=known.count)
        encoded = [exact_json.dumps(message) for message in new.messages]
        closed = _joined(known.messages, encoded[: new.closed_messages])
        end = _end(items, known, texts, new.closed_items)
        if end is not None:
            with suppress(ValueError):  # larger than all that is kept
                self._beginnings[session] = _Beginning(memoryview(items)[:end], known.count + new.closed_items, closed)
        return ChatMessages(
            json=_list_of(closed, encoded[new.closed_messages :]),
            last=new.messages[-1] if new.messages else {},
        )


def _rest(items: bytes, known: _Beginning) -> bytes:
    """What follows a beginning, as a list."""
    if known.count == 0:
        return items
    rest = items[len(known.source) :].lstrip()
    if rest.startswith(b","):
        return b"[" + rest[1:]
    return b"[" + rest


def _end(items: bytes, known: _Beginning, texts: list[bytes], closed: int) -> int | None:
    """Where the last closed item ends in ``items``; None without such an item, or blanks hide it."""
    count = len(texts)
    between = count
    if known.count == 0:
        between = count - 1  # no comma before the first
    lengths = [len(text) for text in texts]
    if closed == 0 or len(known.source) + sum(lengths) + between + 1 != len(items):
        return None
    commas = closed - (count - between)
    return len(known.source) + sum(lengths[:closed]) + commas


def _joined(beginning: bytes, messages: list[bytes]) -> bytes:
    if beginning:
        return b",".join([beginning, *messages])
    return b",".join(messages)


def _list_of(beginning: bytes, messages: list[bytes]) -> bytes:
    """A list that begins with messages that are separated by commas already; long ones are copied once."""
    if not messages:
        return b"".join((b"[", beginning, b"]"))
    parts = [b"[", beginning]
    for message in messages:
        parts += (b",", message)
    if not beginning:
        del parts[2]
    return b"".join((*parts, b"]"))
