"""The local engine: every server of a stack in one process, calls between them without a socket.

Each server also listens on a port of its own, for clients outside the process; the head knows those addresses.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gymctl.config import Config, ServerInstance, upstream
from gymctl.config.vocabulary import EVERY_INTERFACE_HOSTS, HEAD_NAME, LOOPBACK, NODE_KEY, POLICY_WATCH_KEY
from gymctl.config.wording import suggestion
from gymctl.engines.local.log import written_by
from gymctl.engines.local.machines import check_reachable, transport, with_node
from gymctl.errors import ConfigError, EngineError, ErrorCode, Problem
from gymctl.stack.addons.policy_watch import head_entries, watching_models
from gymctl.stack.runtime import Runtimes
from gymctl.stack.slices.slices import Address, head_slice

if TYPE_CHECKING:
    from gymctl.server import Client, Server


def plan_addresses(config: Config) -> dict[str, Address]:
    """A host and port for every server and for ``head_server``; free ports where the configuration gives none.

    An address of another machine (a ``host`` from a multi-node configuration) is served on the loopback one here.
    """
    member = config.membership
    default = str(config.values.get("default_host") or (member and member.advertise) or LOOPBACK)
    head_host = config.head.host or default
    ports = _Ports(config)
    if config.is_worker:  # the head is another machine's; the node server listens for this one alone
        addresses = {
            HEAD_NAME: Address(head_host, config.head.port),
            NODE_KEY: _address(LOOPBACK, ports.take(None)),
        }
    else:
        addresses = {HEAD_NAME: _address(head_host, config.head.port)}
    addresses |= {name: Address.of(server.at) for name, server in config.servers.items() if server.at}
    for name, server in config.started.items():
        addresses[name] = _address(server.host or default, ports.take(server.port))
    if member is not None:
        check_reachable(config, addresses)
    return addresses


class _Ports:
    """Ports that servers of ``config`` may get: those of its range that nothing uses."""

    def __init__(self, config: Config) -> None:
        values = {**upstream.DEFAULT.defaults, **{key: value for key, value in config.values.items() if value}}
        self._low = int(values["port_range_low"])
        self._high = int(values["port_range_high"])
        configured = {server.port for server in config.started.values() if server.port}
        self._taken = {*configured, config.head.port, *(config.values.get("disallowed_ports") or ())}

    def take(self, configured: int | None) -> int:
        """The configured port, or a free one, which nobody else gets then."""
        port = configured or _free_port(self._low, self._high, self._taken)
        self._taken.add(port)
        return port


def _address(host: str, port: int) -> Address:
    """Bind ``host`` where this machine has it; a server that binds every interface is dialled on the loopback one."""
    try:
        with socket.socket() as probe:
            probe.bind((host, 0))
    except OSError:
        host = LOOPBACK
    return Address(LOOPBACK if host in EVERY_INTERFACE_HOSTS else host, port, bind=host)


def _free_port(low: int, high: int, taken: set[int]) -> int:
    # two stacks that start at once begin their search at different ports
    first = os.getpid() * 61 % (high - low + 1)
    for offset in range(high - low + 1):
        port = low + (first + offset) % (high - low + 1)
        if port not in taken:
            with socket.socket() as probe:
                try:
                    probe.bind((LOOPBACK, port))
                except OSError:
                    continue
                return port
    raise EngineError(f"no free port from {low} to {high}", "widen the range with +port_range_low and +port_range_high")


@dataclass
class LocalStack:
    """The servers of one process and the client that calls them by name."""

    servers: Mapping[str, Server]
    client: Client
    addresses: Mapping[str, Address]
    _started: list[Server] = field(default_factory=list)

    async def start(self) -> None:
        """Run every server's ``startup`` except the node's, which registers them with the head: see ``join``."""
        for name in self.servers:
            if name != NODE_KEY:
                await self._start(name)

    async def join(self) -> None:
        """Register with another machine's head, once the servers listen."""
        if NODE_KEY in self.servers:
            await self._start(NODE_KEY)

    async def _start(self, name: str) -> None:
        from gymctl.server.run.startup import start

        with written_by(name):
            logging.getLogger("gymctl").info("%s starts", name)
        await start(self.servers[name])
        self._started.append(self.servers[name])

    async def stop(self) -> None:
        """Run every started server's ``shutdown``, last first."""
        while self._started:
            await self._started.pop().shutdown()
        await self.client.close()


def build_stack(config: Config, addresses: Mapping[str, Address], policy_token: str = "") -> LocalStack:
    """Import every server's class and make its instance.

    With ``policy_token``, the endpoints of its model servers can be replaced through the head while they run.

    Raises:
        ConfigError: a server's implementation is not to be found.
        InputError: its code cannot be imported, or its configuration does not fit it.
    """
    from gymctl.server import Client
    from gymctl.server.run.loader import load_server_class
    from gymctl.server.settings import settings_from_mapping

    runtimes = Runtimes(config)
    folders = {name: runtimes.folder(server) for name, server in config.started.items()}
    missing = [*_of_nemo_gym(runtimes)]
    missing = missing or [_not_found(config, server) for name, server in config.started.items() if not folders[name]]
    if missing:
        raise ConfigError(missing)
    whole = whole_with_addresses(config, addresses)
    watching = watching_models(config, runtimes) if policy_token else ()
    servers: dict[str, Server] = {}
    client = Client(transport(servers, config, addresses))
    for name, server in config.started.items():
        folder = folders[name]
        assert folder is not None  # noqa: S101 - checked above
        cls = load_server_class(folder, server.entrypoint)
        own = {**whole, POLICY_WATCH_KEY: True} if name in watching else whole
        servers[name] = cls(settings_from_mapping(own, name), client)
    if config.is_worker:
        node = load_server_class(config.bundled / "node", "app.py")
        servers[NODE_KEY] = node(settings_from_mapping(with_node(whole, config, addresses), NODE_KEY), client)
    else:
        head = load_server_class(config.bundled / "head", "app.py")
        view = head_slice(config, addresses)
        if config.membership:
            view[HEAD_NAME]["token"] = config.membership.token
        if watching:
            view[HEAD_NAME] |= head_entries(watching, policy_token)
        servers[HEAD_NAME] = head(settings_from_mapping(view, HEAD_NAME), client)
    return LocalStack(servers, client, addresses)


def whole_with_addresses(config: Config, addresses: Mapping[str, Address]) -> dict[str, Any]:
    """The whole configuration as plain data, every host and port filled in."""
    whole: dict[str, Any] = {**config.values, "dry_run": False}
    whole[HEAD_NAME] = {"host": addresses[HEAD_NAME].host, "port": addresses[HEAD_NAME].port}
    for name, server in config.servers.items():
        filled = {**server.fields, "host": addresses[name].host, "port": addresses[name].port}
        whole[name] = {server.kind.value: {server.implementation: filled}}
    return whole


def _of_nemo_gym(runtimes: Runtimes) -> Iterator[Problem]:
    """Servers of NeMo Gym need its packages and a Ray: containers have them."""
    for server in runtimes.nemo_gym:
        problem = f"{server.name} is written for NeMo Gym, which runs only in containers"
        yield Problem(str(server.location or ""), problem, "omit --engine local, or set `runtime: gymctl`")


def _not_found(config: Config, server: ServerInstance) -> Problem:
    known = sorted({path.parent.name for root in config.roots for path in root.glob(f"{server.kind.value}/*/app.py")})
    hint = suggestion(server.implementation, known)
    expected = f"{server.kind.value}/{server.implementation}/{server.entrypoint}"
    message = f"{server.name}: no {expected} here or among the bundled servers"
    return Problem(str(server.location or ""), message, hint, ErrorCode.NO_SERVER_CODE)


@asynccontextmanager
async def running(stack: LocalStack, *, listen: bool) -> AsyncIterator[LocalStack]:
    """The stack started, and with ``listen`` every server on its port; stopped on leaving.

    Raises:
        EngineError: a port is taken.
    """
    if listen:
        sockets = {name: bound(name, stack.addresses[name]) for name in stack.servers}
    else:
        sockets = {}
    await stack.start()
    listeners = [asyncio.create_task(_listen(stack.servers[name], opened)) for name, opened in sockets.items()]
    try:
        await stack.join()
        yield stack
    finally:
        for listener in listeners:
            listener.cancel()
        await asyncio.gather(*listeners, return_exceptions=True)
        await stack.stop()


def bound(name: str, address: Address) -> socket.socket:
    """A socket bound to a server's address.

    Raises:
        EngineError: its port is taken, or this user may not open it.
    """
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((address.bind, address.port))
    except OSError as error:
        opened.close()
        if name == HEAD_NAME:
            port = "+head_server.port=OTHER"
        else:
            port = f"give {name} another port"
        if error.errno == errno.EACCES:
            reason = "cannot be opened by this user"
            code = ErrorCode.PORT_NOT_ALLOWED
        else:
            reason = f"is already in use (needed by {name})"
            code = ErrorCode.PORT_IN_USE
        raise EngineError(
            f"port {address.port} on {address.bind} {reason}",
            f"stop the process that uses it, or choose another port: {port}",
            code,
        ) from error
    return opened


async def _listen(server: Server, opened: socket.socket) -> None:
    """Serve one server's port inside the shared event loop; signals stay with the process, not with uvicorn."""
    import uvicorn

    from gymctl.server.asgi import Application
    from gymctl.server.run.bounded_connection import BoundedConnection
    from gymctl.server.run.serve import uvicorn_options

    config = uvicorn.Config(Application(server), **{**uvicorn_options(), "http": BoundedConnection, "lifespan": "off"})
    runner = uvicorn.Server(config)
    runner.capture_signals = _no_signals  # type: ignore[method-assign]
    with written_by(server.name):  # also what FastAPI routes of its own write: they are called past ``handle``
        serving = asyncio.create_task(runner.serve(sockets=[opened]))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        runner.should_exit = True
        await serving
        raise


def _no_signals() -> Any:
    return nullcontext()
