"""Calls to servers over HTTP: pooled connections, a deadline for every call, and replicas of one name."""

from __future__ import annotations

import errno
import logging
from collections.abc import Collection, Mapping

from gymctl.server.calls.client import SESSION_LOST, HopFailed
from gymctl.server.calls.delivery import Delivery, UnreachableError, remaining_time
from gymctl.server.calls.replicas import Replicas, Resolve, resolve, stands_for_replicas
from gymctl.server.hop_tokens import TokenFile
from gymctl.server.message import Call, Reply
from gymctl.server.settings import DEFAULT_PATIENCE_S

_CONNECT_S = 30.0
_CONNECT_TO_REPLICA_S = 4.0  # a vanished machine does not even refuse a connection; another replica is there
_TOO_LATE_S = 0.05
_NOBODY_THERE = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ECONNRESET)


class HttpTransport:
    """Calls over HTTP with pooled connections.

    Args:
        urls: base URL by server name. A host that is a name (and not localhost) means all its addresses.
        limit: connections at most; further calls wait in line (a pool of about 1,024 beats 16,384 sockets in time
            and in memory).
        slow: names of servers whose answers take seconds: the models. They have connections of their own, so that
            quick calls do not queue behind them.
        slow_limit: connections at most to those; ``limit`` when None.
        resolve: how the addresses of a name are found.
        patience_s: seconds that a call waits for a server that nobody answers for. More than the default says that
            servers here come and go by design: an address that is silent is soon given up too.
        tokens: tokens of the servers; None: they need none.
    """

    def __init__(
        self,
        urls: Mapping[str, str],
        limit: int = 1024,
        *,
        slow: Collection[str] = (),
        slow_limit: int | None = None,
        resolve: Resolve = resolve,
        patience_s: float = DEFAULT_PATIENCE_S,
        tokens: TokenFile | None = None,
    ) -> None:
        self._patience_s = patience_s
        self._moving = patience_s > DEFAULT_PATIENCE_S
        self._bases = {name: url.rstrip("/") for name, url in urls.items()}
        self._replicas = {name: Replicas(name, base, resolve) for name, base in self._bases.items() if _is_spread(base)}
        self._delivery = Delivery(slow, limit, slow_limit or limit, tokens)

    async def send(self, server: str, call: Call) -> Reply:
        """Deliver one call; a refused connection is tried again for ``patience_s``, since nothing was sent yet."""
        try:
            return await self._route(server, call)
        except UnreachableError as error:
            first = error
        try:
            return await self._patiently(server, call, first)
        except UnreachableError as error:
            raise HopFailed(server, call.path, kind="connect", body=str(error)) from first

    async def _patiently(self, server: str, call: Call, first: UnreachableError) -> Reply:
        import stamina

        async def again() -> Reply:
            """Call once more, if there is time left for an answer; the first error otherwise."""
            if remaining_time(call.deadline) < _TOO_LATE_S:
                raise first  # a try would end as a timeout, and hide that nothing listens
            return await self._route(server, call)

        def may_pass(error: Exception) -> bool:
            """Whether another try may succeed, because nothing listened at this address."""
            return isinstance(error, UnreachableError) and error is not first

        logging.getLogger("stamina").setLevel(logging.ERROR)  # a failed retry is reported by its own reply
        patience = min(self._patience_s, remaining_time(call.deadline))
        retrying = stamina.AsyncRetryingCaller(attempts=None, timeout=patience, wait_initial=0.05, wait_max=1.0)
        return await retrying.on(may_pass)(again)

    async def _route(self, server: str, call: Call) -> Reply:
        replicas = self._replicas.get(server)
        if replicas is not None:
            only = replicas.only(call.cookies)
            if only is None:
                return await self._ask_replicas(replicas, call)
            try:
                reply = await self._deliver(server, call, only)
            except UnreachableError:
                replicas.refused(replicas.addresses[0])
                raise
            if not call.cookies:
                replicas.began(replicas.addresses[0], reply.cookies)
            return reply
        base = self._bases.get(server)
        if base is None:
            raise HopFailed(server, call.path, kind="connect", body=f"unknown server {server!r}")
        return await self._deliver(server, call, base)

    # -- a name of several replicas, or of replicas that are not known yet

    async def _ask_replicas(self, replicas: Replicas, call: Call) -> Reply:
        """To the replica that has the session, or to any; when that one does not listen, to the next."""
        if not await replicas.known():
            raise UnreachableError(f"{replicas.host} does not resolve: no replica is running")
        if call.cookies:
            place = replicas.place(call.cookies)
        else:
            place = None
        if place is not None:
            return await self._ask_owner_of_session(replicas, call, place)
        return await self._ask_any_replica(replicas, call)

    async def _ask_owner_of_session(self, replicas: Replicas, call: Call, place: str) -> Reply:
        if await replicas.has(place):
            try:
                return await self._ask_replica(replicas, call, place)
            except UnreachableError as error:
                if error.number not in _NOBODY_THERE:
                    raise
                replicas.refused(place)
        lost = f"the replica of {replicas.name} that held this session ({place}) is gone"
        raise HopFailed(replicas.name, call.path, kind=SESSION_LOST, body=lost)

    async def _ask_any_replica(self, replicas: Replicas, call: Call) -> Reply:
        """A call that a replica accepted before it died is sent to another one too: it has no session."""
        broke_off = False
        for _ in replicas.addresses[1:]:
            address = replicas.choose()
            try:
                return await self._ask_replica(replicas, call, address)
            except UnreachableError:
                replicas.refused(address)
            except HopFailed as failure:
                if failure.kind != "reset" or broke_off:
                    raise
                replicas.refused(address)
                broke_off = True  # once: a request that kills whatever takes it is not handed round
        address = replicas.choose()
        try:
            return await self._ask_replica(replicas, call, address)
        except UnreachableError:
            replicas.refused(address)
            raise

    async def _ask_replica(self, replicas: Replicas, call: Call, address: str) -> Reply:
        replicas.begin(address)
        try:
            base = replicas.base(address)
            reply = await self._deliver(replicas.name, call, base, is_one_of_several=len(replicas.addresses) > 1)
        finally:
            replicas.end(address)
        if not call.cookies:
            replicas.began(address, reply.cookies)
        return reply

    async def _deliver(self, server: str, call: Call, base: str, *, is_one_of_several: bool = False) -> Reply:
        is_given_up_soon = is_one_of_several or self._moving
        return await self._delivery.send(server, call, base, _CONNECT_TO_REPLICA_S if is_given_up_soon else _CONNECT_S)

    async def close(self) -> None:
        """Close all connections."""
        await self._delivery.close()


def _is_spread(base: str) -> bool:
    from urllib.parse import urlsplit

    parts = urlsplit(base)
    plain = parts.scheme == "http" and parts.port is not None and not parts.path  # a certificate is a name's
    return plain and stands_for_replicas(parts.hostname or "localhost")
