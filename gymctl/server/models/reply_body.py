"""The body of an endpoint's reply, decompressed."""

from __future__ import annotations

import zlib

MOST_BYTES = 256 << 20
"""Bytes that a body may have, compressed or not: more is a fault of the endpoint, and could fill the memory."""

_COMPRESSIONS = ("gzip", "x-gzip", "deflate")
_NOT_ACCEPTED = ("br", "zstd", "compress")
_ZLIB_OR_GZIP = zlib.MAX_WBITS | 32
_DEFLATE = 8


class UnreadableBodyError(ValueError):
    """The body of a reply cannot be used; the message explains why."""


def decompressed(body: bytes, encoding: str, most: int = MOST_BYTES) -> bytes:
    """A body without its compression; one with a name that does not compress (``utf-8``) is returned as it is.

    Raises:
        UnreadableBodyError: it has more than ``most`` bytes, or its compression is not one that was accepted, or is
            broken.
    """
    if not encoding:
        return body
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
        raise too_long(most)
    if not decompressor.eof:
        raise UnreadableBodyError("the compressed answer is incomplete")
    return text


def too_long(most: int) -> UnreadableBodyError:
    """The error of a body with more than ``most`` bytes."""
    return UnreadableBodyError(f"the answer has more than {most >> 20} MB")
