"""Decompressed zstd content as a file."""

from __future__ import annotations

import io
from typing import Any, BinaryIO

_BLOCK = 1 << 17


class ZstdReader(io.RawIOBase):
    """Decompressed zstd frames; a file that ends within a frame is an ``EOFError``, as with gzip."""

    def __init__(self, source: BinaryIO, zstandard: Any) -> None:
        self._source = source
        self._new = zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj
        self._error: type[Exception] = zstandard.ZstdError
        self._frame: Any = None
        self._ready = b""

    def readable(self) -> bool:
        """Whether it can be read: always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Put decompressed bytes into a buffer; 0 at the end.

        Raises:
            EOFError: the file ends within a frame, or is damaged.
        """
        while not self._ready:
            packed = self._rest_of_frame() or self._source.read(_BLOCK)
            if not packed:
                if self._frame is not None:
                    raise EOFError("it ends before the end of its last zstd frame")
                return 0
            self._decompress(packed)
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def _rest_of_frame(self) -> bytes:
        """What was read beyond the end of a frame: the next one."""
        if self._frame is None or not self._frame.eof:
            return b""
        rest = bytes(self._frame.unused_data)
        self._frame = None
        return rest

    def _decompress(self, packed: bytes) -> None:
        if self._frame is None:
            self._frame = self._new()
        try:
            self._ready = self._frame.decompress(packed)
        except self._error as error:
            raise EOFError(str(error)) from error
