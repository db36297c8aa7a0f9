"""The local engine: every server of a stack in one process, calls between them without a socket.

Each server also listens on a port of its own, for clients outside the process; the head knows those addresses.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import AsyncIterator, Container, Iterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gymctl.config import Config, ServerInstance
from gymctl.config.exposure import NOT_EXPOSED, Exposure
from gymctl.config.vocabulary import (
    EVERY_INTERFACE_HOSTS,
    EXPOSED_TO_KEY,
    FOLDERS_KEY,
    HEAD_NAME,
    NODE_KEY,
    OUTSIDE_KEY,
    POLICY_WATCH_KEY,
)
from gymctl.config.wording import suggestion
from gymctl.engines.local.log import written_by
from gymctl.engines.local.machines import transport, with_node
from gymctl.errors import ConfigError, EngineError, ErrorCode, Problem
from gymctl.stack.addons.edge import outside_entry
from gymctl.stack.addons.policy_watch import head_entries, watching_models
from gymctl.stack.hop_tokens import local_file
from gymctl.stack.runtime import Runtimes
from gymctl.stack.slices.slices import Address, head_slice

if TYPE_CHECKING:
    from gymctl.server import Client, Server


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


def build_stack(
    config: Config,
    addresses: Mapping[str, Address],
    policy_token: str = "",
    exposure: Exposure = NOT_EXPOSED,
    tokens: Path | None = None,
) -> LocalStack:
    """Import every server's class and make its instance.

    With ``policy_token``, the endpoints of its model servers can be replaced through the head while they run.
    Servers of ``exposure`` accept its clients only. ``tokens`` is the folder of files with the tokens that calls from
    other processes need; None: they need none.

    Raises:
        ConfigError: a server's implementation is not to be found.
        InputError: its code cannot be imported, or its configuration does not fit it.
    """
    from gymctl.server import Client
    from gymctl.server.hop_tokens import TokenFile
    from gymctl.server.run.loader import load_server_class
    from gymctl.server.settings import Settings, settings_from_mapping

    def settings_of(whole: Mapping[str, Any], name: str) -> Settings:
        """The settings of a server, with the file of its tokens."""
        settings = settings_from_mapping(whole, name)
        if tokens is None:
            return settings
        return replace(settings, tokens=TokenFile(tokens / local_file(config, name)))

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
        own = {**whole, **_added(name, watching, exposure)}
        servers[name] = cls(settings_of(own, name), client)
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
        view[HEAD_NAME][FOLDERS_KEY] = {name: str(folder) for name, folder in folders.items()}
        view[HEAD_NAME][OUTSIDE_KEY] = outside_entry(_open_ports(exposure, addresses), "", "")
        servers[HEAD_NAME] = head(settings_of(view, HEAD_NAME), client)
    return LocalStack(servers, client, addresses)


def _added(name: str, watching: Container[str], exposure: Exposure) -> dict[str, Any]:
    """The additional keys of a server's configuration."""
    added: dict[str, Any] = {}
    if name in watching:
        added[POLICY_WATCH_KEY] = True
    if name in exposure.servers and exposure.clients:
        added[EXPOSED_TO_KEY] = [str(network) for network in exposure.clients]
    return added


def _open_ports(exposure: Exposure, addresses: Mapping[str, Address]) -> dict[str, int]:
    """Ports of the exposed servers on every interface, which clients reach where they reach the head."""
    exposed = ((name, addresses[name]) for name in exposure.servers)
    return {name: address.port for name, address in exposed if address.bind in EVERY_INTERFACE_HOSTS}


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
    from gymctl.server.run.direct_connection import DirectConnection
    from gymctl.server.run.serve import uvicorn_options

    config = uvicorn.Config(Application(server), **{**uvicorn_options(), "http": DirectConnection, "lifespan": "off"})
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
