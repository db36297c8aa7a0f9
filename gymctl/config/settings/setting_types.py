"""Types of settings that servers share: addresses of endpoints, API keys, and texts that go into HTTP headers.

``gymctl.server.setting_types`` offers them to a user's own servers.
"""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from gymctl.config.blocks.block import Must, wrong

_CALLS = ("/chat/completions", "/completions", "/responses", "/embeddings", "/models")
_HOST = re.compile(r"[\w.:-]+")
_SCHEME = re.compile(r"https?://", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _endpoint(url: str) -> str:
    if not _SCHEME.match(url):
        if re.match(r"[\w.-]+(:\d+)?(/|$)", url):
            hint = f"did you mean 'http://{url}'?"
        else:
            hint = "add http://"
        raise wrong(f"is {url!r}, which does not start with http:// or https://", hint)
    if not _is_complete(url):
        raise wrong(f"is {url!r}, which is not a URL", "expected a URL like http://HOST:PORT/v1")
    base = re.split("[?#]", url)[0]
    if base != url:
        raise wrong(
            f"is {url!r}, and the server would append its calls after the '?' or '#'",
            f"use {base}; parameters of calls belong in default_query where the server has it",
        )
    path = urlsplit(url).path.rstrip("/")
    call = next((call for call in _CALLS if path.endswith(call)), None)
    if call is not None:
        base = url[: url.index(call)]
        raise wrong(f"is {url!r}, the address of a single endpoint", f"use {base}; the server appends {call}")
    return url


def _is_complete(url: str) -> bool:
    """Whether a URL has a host, a possible port, and no characters that are invisible."""
    if not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return port != 0 and bool(_HOST.fullmatch(parts.hostname or "")) and not parts.netloc.endswith(":")


def _header_text(text: str) -> str:
    if _CONTROL.search(text):
        raise wrong("holds a line break or another control character, which headers cannot contain", "remove it")
    return text


def _api_key(text: str) -> str:
    """A key as it is sent; the messages never show it."""
    key = _header_text(text)
    scheme, blank, _ = key.partition(" ")
    if blank and scheme.lower() in ("bearer", "basic", "api-key"):
        raise wrong(f"begins with {scheme!r}, which the server adds itself", "write only the key")
    if key != key.strip():
        raise wrong("begins or ends with a space, which was probably copied with the key", "remove it")
    if re.search(r"\s", key):
        raise wrong("contains a space, which keys never do", "remove it, or write only the key")
    if not key.isascii():
        raise wrong("contains a non-ASCII character, which was probably copied with the key", "type the key again")
    if len(key) > 1 and key[0] == key[-1] and key[0] in "\"'":
        raise wrong(
            "is in quotation marks twice, and one pair would be sent as part of the key", "remove the inner pair"
        )
    return key


EndpointUrl = Annotated[
    str, AfterValidator(_endpoint), Must("a URL that starts with http:// or https://, such as http://HOST:8000/v1")
]
"""The base URL of an HTTP API, to which the server appends the names of calls such as ``chat/completions``."""

HeaderText = Annotated[str, AfterValidator(_header_text), Must("text without line breaks")]
"""A text that is sent in an HTTP header."""

ApiKey = Annotated[str, AfterValidator(_api_key), Must("text without spaces")]
"""A key that calls of an API are authorised with."""
