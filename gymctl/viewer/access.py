"""Who may use the page: callers with the token, from a page of this server, under a name that is this server's."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gymctl.config.vocabulary import LOOPBACK_HOSTS

TOKEN_PARAMETER = "token"  # noqa: S105 - the name of a parameter
_CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _CONTENT_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


@dataclass(frozen=True)
class Access:
    """What a request must have. An empty ``token`` admits everyone who reaches the port."""

    host: str
    """The address that the server listens on."""
    token: str
    allowed_hosts: tuple[str, ...] = ()
    """More names by which browsers may reach it."""

    def is_known_host(self, header: str) -> bool:
        """Whether a ``Host`` header names this server: guards against DNS rebinding, which needs a name.

        An IP address is always one of this server's: the connection was made to it. The port is not compared, since
        an SSH tunnel may have another.
        """
        name = _host_name(header)
        if not name:
            return False
        names = {*LOOPBACK_HOSTS, self.host.lower(), *map(str.lower, self.allowed_hosts)}
        if self.host not in LOOPBACK_HOSTS:
            own = socket.gethostname().lower()
            names |= {own, socket.getfqdn().lower()}
        return name in names or _is_address(name)

    def admits(self, token: str | None) -> bool:
        """Whether a token is the right one."""
        return not self.token or hmac.compare_digest((token or "").encode(), self.token.encode())


class AccessMiddleware:
    """Refuses requests that ``Access`` does not admit, and adds the security headers to every response.

    The token comes as ``?token=`` (it then becomes a cookie, and the address is loaded without it), as that cookie, or
    as ``Authorization: Bearer``.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            """Send a message; the start of a response gets the security headers."""
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        answer = self._answer(scope) or self._app
        await answer(scope, receive, send_with_headers)

    def _answer(self, scope: Scope) -> Response | None:
        """The response to a request that is not passed on; None for one that is."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if scope["method"] not in ("GET", "HEAD"):
            return _text(405, "this page is read-only")
        if not self._access.is_known_host(host):
            return _text(421, f"unknown host {host[:200]!r}; start gymctl view with --allow-host NAME to use this name")
        if _is_foreign(headers, host):
            return _text(403, "requests from other origins are refused")
        cookie = f"gymctl_view_{_port(scope)}"
        parameters = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        token = dict(parameters).get(TOKEN_PARAMETER)
        if token is not None and scope["path"] == "/":
            return self._signed_in(token, parameters, cookie)
        if not self._access.admits(_token_of(headers, cookie)):
            return _text(401, "open the address that gymctl view printed: it has the token")
        return None

    def _signed_in(self, token: str, parameters: Iterable[tuple[str, str]], cookie: str) -> Response:
        if not self._access.admits(token):
            return _text(401, "the token is wrong; open the address that gymctl view printed")
        rest = urlencode([(name, value) for name, value in parameters if name != TOKEN_PARAMETER])
        response = RedirectResponse(f"/?{rest}" if rest else "/", status_code=303)
        response.headers["cache-control"] = "no-store"
        response.set_cookie(cookie, token, httponly=True, samesite="lax", path="/")
        return response


def _token_of(headers: Mapping[str, str], cookie: str) -> str | None:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return None
    if cookie in cookies:
        return cookies[cookie].value
    return None


def _is_foreign(headers: Mapping[str, str], host: str) -> bool:
    """Whether a page of another origin made the request; following a link from one is allowed."""
    origin = headers.get("origin")
    if origin is not None:
        return urlsplit(origin).netloc.lower() != host.lower()
    site = headers.get("sec-fetch-site", "none")
    return site not in ("none", "same-origin") and headers.get("sec-fetch-mode") != "navigate"


def _host_name(header: str) -> str:
    try:
        return (urlsplit(f"//{header}").hostname or "").rstrip(".").lower()
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _port(scope: Scope) -> int:
    """The port of the server: cookies of one host are shared by all its ports, so their names are not."""
    server: Any = scope.get("server") or ("", 0)
    return int(server[1] or 0)


def _text(status: int, message: str) -> Response:
    return PlainTextResponse(f"{message}\n", status_code=status, headers={"cache-control": "no-store"})
