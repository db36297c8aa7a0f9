"""A connection whose request lines and headers have a limit, which uvicorn's parser does not have."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEADER_BYTES = 64 << 10
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-type: application/json\r\n"
    b'content-length: 46\r\n\r\n{"detail":"the headers are larger than 64 kB"}'
)


class BoundedConnection(HttpToolsProtocol):
    """Ends when what comes before a body, or after it (trailers), is larger than any caller of ours makes it."""

    _is_in_body = False
    _parts = 0  # of requests that have come: each beginning, end of headers and end is one
    _bytes = 0  # of a request's line and headers, as far as they have come

    def data_received(self, data: bytes) -> None:
        """Parse what has come; when it was nothing but more of a line or of headers, it counts."""
        parts = self._parts
        super().data_received(data)
        if parts == self._parts and not self._is_in_body:
            self._bytes += len(data)
            if self._bytes > MOST_HEADER_BYTES and not self.transport.is_closing():
                self.transport.write(_TOO_LARGE)
                self.transport.close()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._begin_part(is_body=False)
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header as uvicorn does, without its call; what is thrown here ends the connection with 400."""
        self._bytes += len(name) + len(value)
        if self._bytes > 2 * MOST_HEADER_BYTES:
            raise ValueError("too many headers")
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """What follows is a body, which the application bounds."""
        self._begin_part(is_body=True)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request has ended; another one may follow on the connection."""
        super().on_message_complete()
        self._begin_part(is_body=False)

    def _begin_part(self, *, is_body: bool) -> None:
        self._parts += 1
        self._is_in_body = is_body
        self._bytes = 0
