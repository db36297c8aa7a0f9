"""GET requests to a stack's own servers, without a proxy."""

from __future__ import annotations

from http.client import HTTPResponse
from typing import cast
from urllib.request import ProxyHandler, build_opener

_DIRECT = build_opener(ProxyHandler({}))


def open_directly(url: str, timeout: float) -> HTTPResponse:
    """The reply to a GET of ``url``, whatever proxy the environment names; ``timeout`` in seconds.

    Raises:
        OSError: nothing answers there, or the status is an error.
    """
    return cast(HTTPResponse, _DIRECT.open(url, timeout=timeout))
