"""Addresses of images, sound and files in a conversation, which the model's endpoint fetches: only public ones pass.

A row comes from anywhere, and an endpoint may stand in the network of the stack: nothing in a conversation may have it
read a file, or ask another server, the machine's own services or the metadata service of a cloud. The endpoint resolves
names itself, and may be sent elsewhere by what it asks; vLLM has options against both (docs/models.md).
"""

from __future__ import annotations

import asyncio
import socket
import unicodedata
from collections.abc import Collection, Iterator
from contextlib import suppress
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from cachetools import LRUCache

from gymctl.config import exact_json
from gymctl.server.calls.public_addresses import Address, embedded, is_public, literal
from gymctl.server.message import RefusedError, printable_line
from gymctl.server.models.growing_requests import GrowingRequest

_FIELDS = ("image_url", "audio_url", "video_url", "file_url")
_CONVERSATIONS = ("input", "messages")
# One of them is in every name of a field, which may be written in escapes.
_NAME_MARK = b"_url"
_ESCAPE_MARK = b"\\u"
_LONGEST_MARK = len(_NAME_MARK)
_PRIVATE_ZONES = ("localhost", "local", "internal", "lan", "home.arpa", "intranet", "corp")
_LOOK_UP_S = 5.0
_SHOWN = 200
_CURE = "send the content as a data: URL, or add the host to media_hosts of the model server"

Place = tuple[str | int, ...]

KEPT_BYTES = 64 << 20
"""Bytes of requests that a server keeps; the least recently continued ones are forgotten."""
_SHORT = 4096  # bytes of a request that is searched faster than it is compared with an earlier one


class MediaChecks:
    """Checks of the requests of sessions: of a request that has grown since the last one, only what is new is searched.

    Args:
        hosts: names of hosts of private networks that contents may be fetched from.
        kept_bytes: of the requests of all sessions.
    """

    def __init__(self, hosts: Collection[str], kept_bytes: int = KEPT_BYTES) -> None:
        self._hosts = hosts
        self._without: LRUCache[tuple[str, ...], bytes] = LRUCache(kept_bytes, getsizeof=len)
        """The last request of each conversation, where it had no address."""

    async def check(self, conversation: tuple[str, ...], body: bytes, growing: GrowingRequest | None = None) -> None:
        """Refuse a request with an address that is not a public one; as ``check_media``.

        Args:
            conversation: its session, and the path that the request goes to.
            body: the request as it is sent.
            growing: the request that ``body`` has the input of, in the same place.

        Raises:
            RefusedError: there is one.
        """
        if len(body) < _SHORT:
            await check_media(body, self._hosts)
            return
        if growing is None:
            request = body
            searched = _common_beginning(self._without.get(conversation, b""), body)
        else:
            request = growing.body
            conversation = (*conversation, "growing")
            searched = self._searched(conversation, growing)
        if _may_name_a_field(body, max(0, searched - _LONGEST_MARK)):
            await check_media(body, self._hosts)
            return
        with suppress(ValueError):  # larger than all that is kept
            self._without[conversation] = request

    def _searched(self, conversation: tuple[str, ...], growing: GrowingRequest) -> int:
        """The number of bytes with which a request begins like the last one of its conversation."""
        if growing.known is None or self._without.get(conversation) is not growing.known.obj:
            return 0
        return len(growing.known)


def _may_name_a_field(body: bytes, start: int = 0) -> bool:
    """Whether a body may name a field for an address, from byte ``start`` on."""
    return body.find(_NAME_MARK, start) >= 0 or body.find(_ESCAPE_MARK, start) >= 0


def _common_beginning(one: bytes, other: bytes) -> int:
    """The number of bytes with which both begin."""
    low = 0
    high = min(len(one), len(other))
    view = memoryview(other)  # its slices are not copies
    while low < high:
        middle = (low + high + 1) // 2
        if one.startswith(view[low:middle], low):
            low = middle
        else:
            high = middle - 1
    return low


async def check_media(body: bytes, hosts: Collection[str] = ()) -> None:
    """Refuse a request with an address that is not one of the public Internet's.

    Args:
        body: the request of either API, as it is sent.
        hosts: names of further hosts that contents may be fetched from.

    Raises:
        RefusedError: an address is a path, has another scheme than http, https or data, or leads to a host that is not
            public; with its place.
    """
    if not _may_name_a_field(body):
        return
    try:
        request, _ = exact_json.loads_repaired(body)
    except ValueError as error:
        raise RefusedError((), f"JSON decode error: {error}", "json_invalid") from error
    if not isinstance(request, dict):
        return
    looked_up: dict[str, str] = {}
    for place, url in _addresses(request):
        host, problem = host_of(url)
        if host and host not in hosts and not problem:
            if host not in looked_up:
                looked_up[host] = host_problem(host) or await _resolved_problem(host)
            problem = looked_up[host]
        if problem:
            raise RefusedError(place, f"{printable_line(url[:_SHOWN])!r}: {problem}; {_CURE}")


def host_of(url: str) -> tuple[str, str]:
    """The host that a URL is fetched from, empty for ``data:``, and what is wrong with the URL."""
    if url[:5].lower() == "data:":
        return "", ""
    if not url.isprintable() or " " in url or "\\" in url:
        return "", "not a URL"
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        return "", "not a URL"
    if parts.scheme not in ("http", "https"):
        return "", "only http, https and data URLs are passed on"
    if not host or "@" in parts.netloc or "%" in host:
        return "", "not the URL of a public host"
    # as libraries read it: full-width letters, and the full stops of other scripts
    plain = unicodedata.normalize("NFKC", host).replace("\u3002", ".").replace("\uff61", ".")
    return plain.lower().rstrip("."), ""


def host_problem(host: str) -> str:
    """What is wrong with a host as it is written; empty when nothing is."""
    address = literal(host)
    if address is not None:
        return _address_problem(address)
    if "." not in host or any(host == zone or host.endswith(f".{zone}") for zone in _PRIVATE_ZONES):
        return f"{host!r} is the name of a host of the stack or of a private network"
    return ""


async def _resolved_problem(host: str) -> str:
    """What is wrong with the addresses of a name; empty also when it has none here: the endpoint may know it."""
    try:
        async with asyncio.timeout(_LOOK_UP_S):
            entries = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError):
        return ""
    problems = (_address_problem(ip_address(str(entry[4][0]).partition("%")[0])) for entry in entries)
    return next(filter(None, problems), "")


def _address_problem(address: Address) -> str:
    if is_public(embedded(address)):
        return ""
    return f"{address} is not a public Internet address"


def _addresses(request: dict[str, Any]) -> Iterator[tuple[Place, str]]:
    """The addresses in the conversation of a request, with their places."""
    todo: list[tuple[Place, Any]] = [((name,), request.get(name)) for name in _CONVERSATIONS]
    while todo:
        place, value = todo.pop()
        if isinstance(value, list):
            todo += [((*place, index), item) for index, item in enumerate(value) if isinstance(item, dict | list)]
        if not isinstance(value, dict):
            continue
        for name, item in value.items():
            url = item.get("url") if isinstance(item, dict) else item
            if name in _FIELDS and isinstance(url, str):
                yield (*place, name), url
            elif isinstance(item, dict | list):
                todo.append(((*place, name), item))
