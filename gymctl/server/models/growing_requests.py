"""Requests whose ``input`` grows from call to call: what an earlier call of the session had is not read again.

Reading a request of 1 MB, only to know where its fields end, takes as long as sending it. A request that begins with
the bytes of the session's last one, up to the end of an item, is JSON if what follows is: only that is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import msgspec
from cachetools import LRUCache

KEPT_BYTES = 64 << 20
"""Bytes of requests that a server keeps; the least recently continued ones are forgotten."""
_SHORT = 4096  # bytes of a request that is read faster than it is compared with an earlier one
_BEGIN = b'{"input":['
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@dataclass(frozen=True, slots=True)
class GrowingRequest:
    """A request that begins with its ``input``, a list of items."""

    body: bytes
    known: memoryview | None
    """The part of the session's last request with which it begins; None where it begins like no earlier one."""
    input_end: int
    """Place in the body of the bracket that ends the input."""
    fields: Mapping[str, msgspec.Raw]
    """The fields after the input."""

    @property
    def input(self) -> bytes:
        """The items as JSON, a list."""
        return self.body[len(_BEGIN) - 1 : self.input_end + 1]

    def with_fields(self, fields: Mapping[str, msgspec.Raw]) -> bytes:
        """The request with other fields after its input, as JSON."""
        separator = b"]," if fields else b"]"
        return b"".join((memoryview(self.body)[: self.input_end], separator, msgspec.json.encode(fields)[1:]))


class GrowingRequests:
    """The last requests of a server's sessions, as far as they were read."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._read: LRUCache[str, memoryview] = LRUCache(kept_bytes, getsizeof=len)
        """By session, the last request up to the end of an item; it keeps the whole request in memory."""

    def read(self, session: str, body: bytes, kept: memoryview | None = None) -> GrowingRequest | None:
        """The parts of a request; None where it is short, not JSON, or laid out in another way.

        Args:
            session: the session whose last request may have had the beginning.
            body: the request.
            kept: the part of an earlier body that it was put together from, where that is known (``Call.kept``).
        """
        if len(body) < _SHORT or not body.startswith(_BEGIN):
            return None
        known = self._read.get(session)
        request = None
        if known is not None and (_is_part_of(kept, known) or body.startswith(known)):
            request = _rest_of(body, known)
        if request is None:
            request = _parts_of(body, None, body)
        if request is not None:
            with suppress(ValueError):  # larger than all that is kept
                self._read[session] = memoryview(body)[: request.input_end]
        return request


def _is_part_of(kept: memoryview | None, known: memoryview) -> bool:
    """Whether the beginning of one body has all of the beginning of another one, because both are the same body."""
    return kept is not None and kept.obj is known.obj and len(known) <= len(kept)


def _rest_of(body: bytes, known: memoryview) -> GrowingRequest | None:
    """The parts of a request that begins with ``known``, the end of an item; an empty text stands for that."""
    return _parts_of(body, known, b"".join((_BEGIN, b'""', memoryview(body)[len(known) :])))


def _parts_of(body: bytes, known: memoryview | None, text: bytes) -> GrowingRequest | None:
    """The parts of a request; ``text`` is the same with a shorter beginning."""
    try:
        items = _decode(text)["input"]
        end = len(_BEGIN) - 1 + memoryview(items).nbytes
        rest = text[end:].lstrip()
        fields = _decode(b"{" + rest.removeprefix(b","))
    except (msgspec.DecodeError, RecursionError):
        return None
    # a second ``input`` would be the one that counts
    if "input" in fields or not text.startswith(items, len(_BEGIN) - 1):
        return None
    return GrowingRequest(body=body, known=known, input_end=len(body) - len(text) + end - 1, fields=fields)
