"""A forward proxy that passes on calls to the hosts of a list: tunnels for https, and plain http."""

from __future__ import annotations

import asyncio
import base64
import logging
import socket
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import unquote, urlsplit

from gymctl.server.calls.proxies import proxy_for
from gymctl.server.egress.destinations import CallRefused, EgressPolicy, addresses_of, shown_host
from gymctl.server.egress.request_head import RequestHead, WrongRequest, parse_head

log = logging.getLogger("gymctl.egress")

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

MOST_HEAD_BYTES = 64 << 10
_CHUNK = 64 << 10
_HEAD_S = 60.0
_CONNECT_S = 30.0
_END = b"\r\n\r\n"
_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


class ForwardProxy:
    """Serves the connections of one server's containers.

    Args:
        policy: the hosts that the server may call.
        environ: environment variables, which name the proxy of this machine where it has one.
    """

    def __init__(self, policy: EgressPolicy, environ: Mapping[str, str]) -> None:
        self._policy = policy
        self._environ = environ
        self._connections: set[asyncio.Task[None]] = set()

    async def listen(self, host: str, port: int) -> asyncio.Server:
        """Listen for connections."""
        return await asyncio.start_server(self._accept, host, port, limit=MOST_HEAD_BYTES, backlog=1024)

    async def finish(self) -> None:
        """Wait until the connections that are open have ended."""
        if self._connections:
            await asyncio.wait(self._connections)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection from its beginning to its end."""
        try:
            await self._pass_on(reader, writer)
        except CallRefused as refused:
            log.warning("%s", refused)
            await _reply(writer, refused.status, str(refused))
        except WrongRequest as error:
            await _reply(writer, 400, str(error))
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the client has gone, or was silent
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Connect a client with the host that it asks for."""
        try:
            head = parse_head(await asyncio.wait_for(reader.readuntil(_END), _HEAD_S))
        except asyncio.LimitOverrunError:
            raise CallRefused(f"the headers are larger than {MOST_HEAD_BYTES >> 10} kB", status=431) from None
        self._policy.check(head.host, head.port)
        host_reader, host_writer = await self._open(head)
        try:
            for stream in (writer, host_writer):
                _keep_alive(stream)
            if not head.path:
                writer.write(_ESTABLISHED)
            await _relay_both((reader, writer), (host_reader, host_writer))
        finally:
            host_writer.close()

    async def _open(self, head: RequestHead) -> Streams:
        """A connection to the host, on which a call's head is sent and a tunnel begins.

        Raises:
            CallRefused: its address is never reached, or it cannot be reached now.
        """
        parent = proxy_for(head.url, self._environ)
        place = shown_host(head.host, head.port)
        try:
            if parent is None:
                return await self._open_directly(head)
            with suppress(socket.gaierror):  # often only the proxy knows the names of hosts outside
                self._policy.reachable(head.host, head.port, await addresses_of(head.host, head.port))
            return await asyncio.wait_for(_open_through(parent, head), _CONNECT_S)
        except socket.gaierror as error:
            raise CallRefused(f"{place} does not resolve: {error.strerror}", status=502) from error
        except TimeoutError as error:
            raise CallRefused(f"{place} did not accept the connection in {_CONNECT_S:.0f} s", status=504) from error
        except (OSError, asyncio.IncompleteReadError) as error:
            raise CallRefused(f"{place} cannot be reached: {error}", status=502) from error

    async def _open_directly(self, head: RequestHead) -> Streams:
        """A connection to one of the host's addresses that may be reached: to the address that was checked."""
        addresses = await addresses_of(head.host, head.port)
        failure: OSError | None = None
        for address in self._policy.reachable(head.host, head.port, addresses):
            try:
                streams = await asyncio.wait_for(asyncio.open_connection(str(address), head.port), _CONNECT_S)
            except OSError as error:
                failure = failure or error
            else:
                if head.path:
                    streams[1].write(head.to_host())
                return streams
        raise failure or OSError("it has no address")


async def _open_through(parent: str, head: RequestHead) -> Streams:
    """A connection to a host through another proxy."""
    parts = urlsplit(parent)
    if parts.scheme != "http" or not parts.hostname:
        raise OSError("the proxy of this machine is not an http:// URL")
    authorization = ""
    if parts.username:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = f"Basic {base64.b64encode(pair.encode()).decode()}"
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
    writer.write(head.to_proxy(authorization))
    if not head.path:
        line, _, _ = (await reader.readuntil(_END)).partition(b"\r\n")
        if line.split(b" ")[1:2] != [b"200"]:
            writer.close()
            raise OSError(f"the proxy of this machine replied {line.decode('latin-1')}")
    return reader, writer


def _keep_alive(writer: asyncio.StreamWriter) -> None:
    """Have the kernel find out when the other side is gone."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


async def _relay_both(one: Streams, other: Streams) -> None:
    """Pass on what comes from either side until both have ended."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_relay(one[0], other[1]))
            group.create_task(_relay(other[0], one[1]))
    except* OSError:
        log.debug("one side has broken a connection off")


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes from one side. A connection that breaks ends the other side's, too."""
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()
        raise


async def _reply(writer: asyncio.StreamWriter, status: int, message: str) -> None:
    """An error: clients show the reason of a refused tunnel, so that it has the whole message."""
    text = message.encode("latin-1", "backslashreplace")
    head = f"Content-Type: text/plain\r\nContent-Length: {len(text) + 1}\r\nConnection: close\r\n\r\n".encode()
    with suppress(OSError):
        writer.write(b"HTTP/1.1 %d %b\r\n%b%b\n" % (status, text, head, text))
        await writer.drain()
