"""The replicas behind one name: all found by DNS, one chosen for each call, a session kept where its state is.

In a stack a service's name stands for the addresses of all its replicas. A server that keeps sessions writes the
address under which it was called into the session's id (see ``sessions``): whoever carries the cookie knows where the
session lives, also an agent that did not begin it, and when that replica is gone it is known to be gone. A call that
belongs to no session goes to the replica with the fewest calls from here in flight.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from collections.abc import Awaitable, Callable, Mapping

from gymctl.server.sessions import cookie_suffix, place_in

Resolve = Callable[[str], Awaitable[list[str]]]

REFRESH_S = 3.0  # a replica that was added gets its first call within this time
_SOON_S = 0.5  # between two look-ups because an address is not known or does not answer
_DOWN_S = 2.0  # an address that refused a connection gets no new call for this long
_LOOKED_AT = 16  # replicas compared for one call


async def resolve(host: str) -> list[str]:
    """The addresses of a name, as a URL has them; none when it has none now (in Docker: no replica runs).

    Those of IPv4 where there are any: a stack's network has no others, and a machine's two are not two replicas.
    """
    try:
        addresses = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except socket.gaierror:
        return []
    old = [str(address[0]) for family, *_, address in addresses if family == socket.AF_INET]
    return old or [f"[{address[0]}]" for family, *_, address in addresses if family == socket.AF_INET6]


def stands_for_replicas(host: str) -> bool:
    """Whether a host is a service's name: no address, and not this machine."""
    if host == "localhost":
        return False
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return True
    return False


class Replicas:
    """The addresses of the server ``name``, at the host name and port of ``base`` (``http://HOST:PORT``)."""

    def __init__(self, name: str, base: str, resolve: Resolve = resolve) -> None:
        scheme, _, authority = base.partition("://")
        self.host, _, port = authority.rpartition(":")
        self.name = name
        self._scheme = scheme
        self._port = port
        self._resolve = resolve
        self.addresses: tuple[str, ...] = ()
        self._single: str | None = None
        self._busy: dict[str, int] = {}
        self._down: dict[str, float] = {}
        self._turn = 0
        self._looked = self._due = 0.0
        self._looking: asyncio.Task[None] | None = None
        self._suffix = cookie_suffix(name)
        # Whether sessions name the address that was dialled: not when a proxy or a published port is between.
        self._tells_truly: bool | None = None

    def only(self, cookies: Mapping[str, str]) -> str | None:
        """The base URL where there is one replica and the call may go there; None when that takes a look."""
        if self._single is None or time.monotonic() >= self._due:
            return None
        if cookies:
            place = self.place(cookies)
        else:
            place = None
        if place is None or place == self.addresses[0]:
            return self._single
        return None

    def base(self, address: str) -> str:
        """The base URL of one replica."""
        return f"{self._scheme}://{address}:{self._port}"

    async def known(self) -> tuple[str, ...]:
        """The addresses; waits only if there are none, and looks them up again every few seconds in the background."""
        if time.monotonic() >= self._due:
            looking = self._look()
            if not self.addresses:
                await asyncio.shield(looking)
        return self.addresses

    def _look(self) -> asyncio.Task[None]:
        if self._looking is None or self._looking.done():
            self._looked = time.monotonic()
            self._due = self._looked + REFRESH_S
            self._looking = asyncio.create_task(self._update())
        return self._looking

    async def _update(self) -> None:
        addresses = await self._resolve(self.host)
        if addresses:  # a name that does not resolve for a moment keeps its addresses: what answers there counts
            self.addresses = tuple(dict.fromkeys(addresses))
            if len(self.addresses) == 1:
                self._single = self.base(self.addresses[0])
            else:
                self._single = None
            self._busy = {address: self._busy.get(address, 0) for address in self.addresses}
        else:
            self._due = self._looked + _SOON_S

    # -- sessions

    def place(self, cookies: Mapping[str, str]) -> str | None:
        """The address that the session of these cookies lives at; None when there is none, or nothing hangs on it."""
        if self._tells_truly is not False:
            for name, value in cookies.items():
                if name.endswith(self._suffix):
                    place = place_in(value)
                    if self._tells_truly or place in self.addresses:
                        return place
                    return None
        return None

    async def has(self, address: str) -> bool:
        """Whether a replica has this address; one that is not known is looked for."""
        if address not in self.addresses and time.monotonic() >= self._looked + _SOON_S:
            await asyncio.shield(self._look())
        return address in self.addresses

    def began(self, address: str, cookies: Mapping[str, str]) -> None:
        """A call without cookies was answered from ``address``: learn whether its sessions name that address."""
        for name, value in cookies.items():
            if name.endswith(self._suffix):
                place = place_in(value)
                if place is None:
                    self._tells_truly = None
                else:
                    self._tells_truly = place == address

    # -- calls

    def choose(self) -> str:
        """The address for a call to any replica: round robin among those with the fewest calls in flight."""
        count = len(self.addresses)
        if count == 1:
            return self.addresses[0]
        self._turn += 1
        if self._down:
            now = time.monotonic()
        else:
            now = 0.0
        best = ""
        least = 1 << 62
        for step in range(min(count, _LOOKED_AT)):
            address = self.addresses[(self._turn + step) % count]
            busy = self._busy[address]
            if self._down and self._down.get(address, 0.0) > now:
                busy += 1 << 32  # the last to be tried
            if busy < least:
                best = address
                least = busy
        return best

    def begin(self, address: str) -> None:
        """A call to ``address`` begins."""
        self._busy[address] = self._busy.get(address, 0) + 1

    def end(self, address: str) -> None:
        """A call to ``address`` has ended; ``_update`` drops the count of an address that has disappeared."""
        if address in self._busy:
            self._busy[address] = max(0, self._busy[address] - 1)

    def refused(self, address: str) -> None:
        """Nothing listens at ``address``: leave it alone for a while, and see whether it is still there."""
        now = time.monotonic()
        self._down = {place: until for place, until in self._down.items() if until > now}
        self._down[address] = now + _DOWN_S
        if now >= self._looked + _SOON_S:
            self._look()
