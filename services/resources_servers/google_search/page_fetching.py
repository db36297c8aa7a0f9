"""Fetch a page that a model asked for: from public addresses only, within limits of time, size and redirects."""

from __future__ import annotations

import asyncio
import socket
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from gymctl.server.calls.public_addresses import AddressRefused, Network, check, ip_address, literal

# What we can unpack piece by piece: nothing that comes in may grow without a bound.
_HEADERS = {
    "accept": "text/html, application/xhtml+xml, text/plain;q=0.9, text/*;q=0.5, */*;q=0.1",
    "accept-encoding": "gzip, deflate",
    "user-agent": "Mozilla/5.0 (compatible; gymctl)",
}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_LONGEST_URL = 4096
_CHUNK = 65_536


class PageError(Exception):
    """A page could not be fetched; the message is for the model that requested it."""


@dataclass(frozen=True)
class PageLimits:
    """Of one page: ``seconds`` from asking to the last byte, ``size`` in bytes (unpacked), ``redirects`` followed."""

    seconds: float
    size: int
    redirects: int


@dataclass(frozen=True)
class FetchedPage:
    """A decompressed body as bytes, with its declared media type (lower case) and charset, or ``""``."""

    body: bytes
    media_type: str
    charset: str


class CheckedResolver(AbstractResolver):
    """Looks a name up once and gives only addresses that may be connected to: the check is on what will be used."""

    def __init__(self, allowed: Sequence[Network], inner: AbstractResolver | None = None) -> None:
        self._allowed = allowed
        self._inner = inner or aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The permitted addresses of ``host``.

        Raises:
            AddressRefused: it has addresses, and none is permitted.
            OSError: it has none.
        """
        permitted: list[ResolveResult] = []
        refused = ""
        for address in await self._inner.resolve(host, port, family):
            try:
                check(ip_address(address["host"].partition("%")[0]), self._allowed)
                permitted.append(address)
            except AddressRefused:
                refused = address["host"]
        if refused and not permitted:
            raise AddressRefused(f"{host} resolves to {refused}, which is not a public Internet address")
        return permitted

    async def close(self) -> None:
        """Release what the inner resolver holds."""
        await self._inner.close()


def open_session(
    allowed: Sequence[Network], connections: int, resolver: AbstractResolver | None = None
) -> aiohttp.ClientSession:
    """A session whose every connection is checked where it is made, whatever led there (name, number, redirect)."""

    def checked_socket(addr_info: tuple[int, int, int, str, tuple[object, ...]]) -> socket.socket:
        """A socket for one address; an address that is not allowed is refused."""
        family, kind, protocol, _, target = addr_info
        check(ip_address(str(target[0]).partition("%")[0]), allowed)
        return socket.socket(family, kind, protocol)

    connector = aiohttp.TCPConnector(
        limit=connections,
        resolver=CheckedResolver(allowed, resolver),
        socket_factory=checked_socket,  # type: ignore[arg-type]
        use_dns_cache=False,  # what a name led to a moment ago says nothing about where it leads now
        force_close=True,
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        headers=_HEADERS,
        auto_decompress=False,
        read_bufsize=_CHUNK,
    )


async def fetch(
    session: aiohttp.ClientSession, url: str, limits: PageLimits, allowed: Sequence[Network]
) -> FetchedPage:
    """The page at ``url``, after redirects.

    Raises:
        PageError: it cannot be fetched within the limits, or its address is not permitted.
    """
    try:
        async with asyncio.timeout(limits.seconds):
            return await _follow(session, _parse(url), limits, allowed)
    except TimeoutError as error:
        raise PageError(f"the page did not arrive within {limits.seconds:g} s") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise PageError(_reason(error)) from error


def _parse(url: str) -> URL:
    if len(url) > _LONGEST_URL:
        raise PageError(f"the URL is longer than {_LONGEST_URL} characters")
    try:
        parsed = URL(url.strip())
        port = parsed.port
    except (ValueError, TypeError) as error:
        raise PageError(f"{url[:200]!r} is not a valid URL") from error
    if parsed.scheme not in ("http", "https") or not parsed.raw_host or not port:
        raise PageError(f"{url[:200]!r} is not an http:// or https:// URL")
    return parsed


def _checked(url: URL, allowed: Sequence[Network]) -> URL:
    """The URL with a host that is a number in its plain form, checked; a name is checked when it is looked up."""
    address = literal(url.raw_host or "")
    if address is None:
        return url
    check(address, allowed)
    return url.with_host(str(address))


async def _follow(
    session: aiohttp.ClientSession, url: URL, limits: PageLimits, allowed: Sequence[Network]
) -> FetchedPage:
    for _ in range(limits.redirects + 1):
        response = await session.get(_checked(url, allowed), allow_redirects=False)
        try:
            if response.status not in _REDIRECTS:
                return await _read(response, limits.size)
            location = response.headers.get("location", "")
        finally:
            response.close()
        if not location:
            raise PageError(f"the page answered {response.status} without a Location header")
        url = _parse(str(url.join(URL(location))))
    raise PageError(f"the page was redirected more than {limits.redirects} times")


async def _read(response: aiohttp.ClientResponse, most: int) -> FetchedPage:
    if response.status >= 400:
        raise PageError(f"the page answered {response.status} {response.reason or ''}".rstrip())
    if "content-type" in response.headers:
        media_type = response.content_type
    else:
        media_type = ""
    return FetchedPage(await read_body(response, most), media_type, response.charset or "")


async def read_body(response: aiohttp.ClientResponse, most: int) -> bytes:
    """The body, unpacked, of at most ``most`` bytes; reading stops where it is clear that there are more.

    Raises:
        PageError: it is larger, or packed in a way that cannot be read.
    """
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in _WINDOWS:
        raise PageError(f"the page uses the unsupported content encoding {encoding[:40]!r}")
    if (response.content_length or 0) > most:
        raise PageError(_too_large(most))
    body = bytearray()
    unpacker = _Unpacker(_WINDOWS[encoding])
    try:
        async for chunk in response.content.iter_chunked(_CHUNK):
            body += unpacker.unpack(chunk, most + 1 - len(body))
            if len(body) > most:
                raise PageError(_too_large(most))
            if unpacker.ended:  # what follows belongs to nothing, and would be kept
                break
    except zlib.error as error:
        raise PageError(f"the page declares content encoding {encoding}, but is not encoded that way") from error
    if not unpacker.ended and _WINDOWS[encoding]:
        raise PageError("the page was cut off")
    return bytes(body)


def _too_large(most: int) -> str:
    return f"the page is larger than {most:,} bytes"


# zlib's window argument for each encoding; None where there is nothing to unpack
_WINDOWS = {"": None, "identity": None, "gzip": 31, "x-gzip": 31, "deflate": zlib.MAX_WBITS}


class _Unpacker:
    """Decompresses piece by piece, never more than requested: a few bytes may expand to gigabytes."""

    def __init__(self, window: int | None) -> None:
        self._window = window
        self._inner = None

    @property
    def ended(self) -> bool:
        """Whether the compressed body is complete."""
        return self._inner is not None and self._inner.eof

    def unpack(self, data: bytes, most: int) -> bytes:
        """At most ``most`` bytes; fewer mean that all of ``data`` was used."""
        if self._window is None:
            return data[:most]
        if self._inner is None:
            # Some servers mean bare deflate by `deflate`, not zlib's format, which the standard says: byte one tells.
            bare = self._window == zlib.MAX_WBITS and data[0] & 15 != 8
            self._inner = zlib.decompressobj(-self._window if bare else self._window)
        return self._inner.decompress(data, most)


def _reason(error: Exception) -> str:
    """What the network or a server's answer had against it, in a line."""
    cause = getattr(error, "os_error", error)
    if isinstance(cause, AddressRefused):
        return f"{cause}; only public pages can be opened"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"the host {error.host!r} was not found"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"the host {error.host!r} cannot be reached: {error.os_error.strerror or error.os_error}"
    text = " ".join(str(error).split()) or type(error).__name__
    return f"the page cannot be read: {text[:200]}"
