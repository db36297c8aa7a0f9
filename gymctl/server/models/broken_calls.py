"""Calls of an endpoint that ended without a reply to judge, as failures with the reason in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gymctl.server.calls.client import NOT_HTTP, HopFailed
from gymctl.server.calls.connection_pool import ConnectError
from gymctl.server.calls.http_connection import NotHttpError
from gymctl.server.message import printable_line
from gymctl.server.models.endpoint_client import ProxyError

if TYPE_CHECKING:
    from gymctl.server.models.endpoint_client import EndpointReply


def broken_call(hop: str, place: str, url: str, error: OSError) -> HopFailed:
    """The failure of a call that has no reply.

    Args:
        hop: the server that called.
        place: the path of the call.
        url: the endpoint's address.
        error: what ``EndpointClient.request`` raised.
    """
    text = printable_line(str(error))
    if isinstance(error, ProxyError):
        return HopFailed(hop, place, status=error.status, body=f"the proxy does not connect to {url}: {text}")
    if isinstance(error, ConnectError):
        return HopFailed(hop, place, kind="connect", body=f"cannot connect to {url}: {error.strerror or text}")
    if isinstance(error, NotHttpError):
        return HopFailed(hop, place, kind="connect", body=f"what listens at {url} is {NOT_HTTP}: {text}")
    return HopFailed(hop, place, kind="reset", body=str(error) or type(error).__name__)


def without_answer(reply: EndpointReply) -> str:
    """What is wrong with a reply of status 1xx or 3xx."""
    location = reply.headers.get("location")
    if location:
        return f"the endpoint redirects to {location}; configure its final address"
    return f"the endpoint sends status {reply.status} instead of an answer; check the base URL"
