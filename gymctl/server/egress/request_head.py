"""The head of a request to a forward proxy: a tunnel (``CONNECT host:port``) or a call (``GET http://host/path``)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gymctl.config.egress_hosts import plain_host

_LINE = re.compile(rb"(?P<method>[A-Z]{1,20}) (?P<target>[\x21-\x7e]+) HTTP/1\.[01]")
_HEADER = re.compile(rb"(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(?P<value>[^\0\r\n]*)")
_AUTHORITY = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>[^\[\]:@/?#]+))(?::(?P<port>[0-9]{1,5}))?")
_HTTP = "http://"
_PATH_BEGINS = re.compile(r"[/?#]")
# Of one connection only, so not passed on; the host is written from the address that is checked
_DROPPED = frozenset(
    {b"connection", b"host", b"keep-alive", b"proxy-authorization", b"proxy-connection", b"te", b"upgrade"}
)


class WrongRequest(ValueError):  # noqa: N818 - a fact about a client
    """A request that a forward proxy cannot serve; the text says why."""


@dataclass(frozen=True)
class RequestHead:
    """What a client asks a proxy for."""

    method: str
    host: str
    """As ``plain_host`` writes it."""
    port: int
    path: str
    """With its query; empty: a tunnel."""
    headers: tuple[bytes, ...]
    """Lines ``Name: value`` of a call that are passed on, without a line end."""

    @property
    def authority(self) -> str:
        """``host:port``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL of a call; of a tunnel ``https://host:port``, which is what tunnels are used for."""
        if self.path:
            return f"{_HTTP}{self.authority}{self.path}"
        return f"https://{self.authority}"

    def to_host(self) -> bytes:
        """The head of a call as its host gets it. The connection ends with the reply."""
        return self._head(self.path)

    def to_proxy(self, authorization: str) -> bytes:
        """The head as another proxy gets it, which wants ``authorization`` where that is not empty."""
        added = [b"Proxy-Authorization: " + authorization.encode()] if authorization else []
        if self.path:
            return self._head(self.url, added)
        lines = [f"CONNECT {self.authority} HTTP/1.1".encode(), f"Host: {self.authority}".encode(), *added]
        return b"\r\n".join([*lines, b"", b""])

    def _head(self, target: str, added: list[bytes] | None = None) -> bytes:
        host = self.authority.removesuffix(":80")
        own = [f"{self.method} {target} HTTP/1.1".encode(), f"Host: {host}".encode(), b"Connection: close"]
        return b"\r\n".join([*own, *(added or ()), *self.headers, b"", b""])


def parse_head(data: bytes) -> RequestHead:
    """The head of a request, with the empty line at its end.

    Raises:
        WrongRequest: it is not one for a proxy.
    """
    line, *headers = data.removesuffix(b"\r\n\r\n").split(b"\r\n")
    match = _LINE.fullmatch(line)
    if match is None:
        raise WrongRequest("this is not a request of HTTP/1.1")
    method = match["method"].decode()
    target = match["target"].decode()
    if method == "CONNECT":
        host, port = _address(target, None)
        return RequestHead(method, host, port, path="", headers=())
    if not target.lower().startswith(_HTTP):
        raise WrongRequest("this is a proxy: it takes CONNECT requests, and http:// URLs")
    rest = target[len(_HTTP) :].partition("#")[0]
    begin = _PATH_BEGINS.search(rest)
    authority = rest[: begin.start()] if begin else rest
    path = rest[begin.start() :] if begin else "/"
    host, port = _address(authority, 80)
    return RequestHead(
        method, host, port, path=path if path.startswith("/") else f"/{path}", headers=_passed_on(headers)
    )


def _address(authority: str, default: int | None) -> tuple[str, int]:
    match = _AUTHORITY.fullmatch(authority)
    port = default
    if match is not None and match["port"]:
        port = int(match["port"])
    if match is None or port is None or not 1 <= port <= 65535:
        raise WrongRequest(f"{authority} is not a host and a port")
    return plain_host(match["ipv6"] or match["name"]), port


def _passed_on(lines: list[bytes]) -> tuple[bytes, ...]:
    """The headers that are not about the connection to the proxy."""
    headers: list[tuple[bytes, bytes]] = []
    for line in lines:
        match = _HEADER.fullmatch(line)
        if match is None:
            raise WrongRequest("a header is not one of HTTP/1.1")
        headers.append((match["name"].lower(), match["value"]))
    named = {
        name.strip().lower()
        for key, value in headers
        if key in (b"connection", b"proxy-connection")
        for name in value.split(b",")
    }
    left_out = _DROPPED | (named - {b"content-length", b"transfer-encoding"})
    return tuple(line for line, (name, _) in zip(lines, headers, strict=True) if name not in left_out)
