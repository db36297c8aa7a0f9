"""GET requests to a stack's own servers, without a proxy."""

from __future__ import annotations

from http.client import HTTPResponse
from typing import cast
from urllib.request import ProxyHandler, Request, build_opener

from gymctl.config.blocks.hop_tokens import TOKEN_HEADER

_DIRECT = build_opener(ProxyHandler({}))


def open_directly(url: str, timeout: float, token: str = "") -> HTTPResponse:
    """The reply to a GET of ``url``, whatever proxy the environment names; ``timeout`` in seconds.

    ``token`` is the server's; empty: it needs none.

    Raises:
        OSError: nothing answers there, or the status is an error.
    """
    request = Request(url, headers={TOKEN_HEADER: token} if token else {})  # noqa: S310 - the stack's own server
    return cast(HTTPResponse, _DIRECT.open(request, timeout=timeout))
