"""Calls of an endpoint that ended without a reply to judge, as failures with the reason in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gymctl.server.calls.client import NOT_HTTP, HopFailed
from gymctl.server.message import printable_line

if TYPE_CHECKING:
    import aiohttp


def broken_call(hop: str, place: str, url: str, error: Exception) -> HopFailed:
    """The failure of a call that has no reply.

    Args:
        hop: the server that called.
        place: the path of the call.
        url: the endpoint's address.
        error: an ``aiohttp.ClientError`` or an ``OSError``.
    """
    import aiohttp

    if isinstance(error, aiohttp.ClientHttpProxyError):
        text = f"the proxy does not connect to {url}: {printable_line(error.message)}"
        return HopFailed(hop, place, status=error.status, body=text)
    if isinstance(error, aiohttp.ClientConnectorError):
        return HopFailed(hop, place, kind="connect", body=str(error))
    if isinstance(error, aiohttp.ClientResponseError):
        text = f"what listens at {url} is {NOT_HTTP}: {printable_line(error.message)}"
        return HopFailed(hop, place, kind="connect", body=text)
    return HopFailed(hop, place, kind="reset", body=str(error) or type(error).__name__)


def without_answer(reply: aiohttp.ClientResponse) -> str:
    """What is wrong with a reply of status 1xx or 3xx."""
    location = reply.headers.get("location")
    if location:
        return f"the endpoint redirects to {location}; configure its final address"
    return f"the endpoint sends status {reply.status} instead of an answer; check the base URL"
