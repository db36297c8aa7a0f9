"""The body of an endpoint's reply, whole and decompressed."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import aiohttp

MOST_BYTES = 256 << 20
"""Bytes that a body may have, compressed or not: more is a fault of the endpoint, and could fill the memory."""

_COMPRESSIONS = ("gzip", "x-gzip", "deflate")
_NOT_ACCEPTED = ("br", "zstd", "compress")
_ZLIB_OR_GZIP = zlib.MAX_WBITS | 32
_DEFLATE = 8


class UnreadableBodyError(ValueError):
    """The body of a reply cannot be used; the message explains why."""


async def whole_body(reply: aiohttp.ClientResponse, most: int = MOST_BYTES) -> bytes:
    """The body of a reply, of a session that does not decompress by itself.

    Raises:
        UnreadableBodyError: it has more than ``most`` bytes, or its compression is not one that was accepted, or is
            broken.
        aiohttp.ClientError: the connection broke.
    """
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in reply.content.iter_any():
            chunks.append(chunk)
            size += len(chunk)
            if size > most:
                break
    finally:
        if not reply.content.at_eof():
            reply.close()
    if size > most:
        raise _too_large(most)
    return decompressed(b"".join(chunks), reply.headers.get("content-encoding", ""), most)


def decompressed(body: bytes, encoding: str, most: int = MOST_BYTES) -> bytes:
    """A body without its compression; one with a name that does not compress (``utf-8``) is returned as it is.

    Raises:
        UnreadableBodyError: as in ``whole_body``.
    """
    encodings = [name.strip().lower() for name in encoding.split(",")]
    for name in reversed(encodings):
        if name in _NOT_ACCEPTED:
            raise UnreadableBodyError(f"the answer is compressed with {name}, which was not requested")
        if name in _COMPRESSIONS and body:
            body = _inflated(body, most)
    return body


def _inflated(body: bytes, most: int) -> bytes:
    """A body without one layer of gzip or deflate, with or without its header."""
    window = _ZLIB_OR_GZIP
    if body[0] & 0xF != _DEFLATE and body[:2] != b"\x1f\x8b":
        window = -zlib.MAX_WBITS
    decompressor = zlib.decompressobj(window)
    try:
        text = decompressor.decompress(body, most)
    except zlib.error as error:
        raise UnreadableBodyError(f"the answer cannot be decompressed: {error}") from error
    if decompressor.unconsumed_tail:
        raise _too_large(most)
    if not decompressor.eof:
        raise UnreadableBodyError("the compressed answer is incomplete")
    return text


def _too_large(most: int) -> UnreadableBodyError:
    return UnreadableBodyError(f"the answer has more than {most >> 20} MB")
