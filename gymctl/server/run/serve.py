"""Run one server as a process: uvicorn with uvloop and httptools, and a file that shows that it is alive."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gymctl.config.vocabulary import LOG_FORMAT_KEY, ServerKind
from gymctl.errors import GymctlError, InputError
from gymctl.server.asgi import Application
from gymctl.server.calls.client import Client, Transport
from gymctl.server.calls.http import HttpTransport
from gymctl.server.run.draining import watch_for_drain
from gymctl.server.run.log_level import log_format, log_level
from gymctl.server.run.log_lines import format_as, log_to_stderr
from gymctl.server.run.open_files import open_files, quick_connections, raise_file_limit, slow_connections
from gymctl.server.run.ready_file import BEAT_S, READY_FILE, show_ready
from gymctl.server.run.workers import listen, run_workers
from gymctl.server.sessions import SessionStore
from gymctl.server.settings import Settings, settings_from_environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from gymctl.server.hosting import HostedServer

# Longer than any client's keep-alive (ours and upstream's: 15 s), or a request meets a socket that is being closed.
KEEP_ALIVE_S = 75
BACKLOG = 4096
# After SIGTERM no connection is taken any more, and what is under way ends as it would have: rollouts take minutes.
# Who stops a server says how long that may be (``stop_grace_period``, ``docker stop --time``), and kills it then.
_UNTIL_DONE = {"timeout_graceful_shutdown": None}

log = logging.getLogger("gymctl.server")


def uvicorn_options() -> dict[str, Any]:
    """The options every server of ours is run with, in a process of its own or in one with others."""
    return {
        "loop": "uvloop",
        "http": "httptools",
        "ws": "none",
        "proxy_headers": False,
        "timeout_keep_alive": KEEP_ALIVE_S,
        "backlog": BACKLOG,
        "access_log": False,
        "log_config": None,
        "log_level": "warning",  # gymctl itself logs one line when a server listens
        "server_header": False,
        "date_header": False,
        "timeout_graceful_shutdown": 3,
    }


def serve(cls: Callable[[Settings, Client], HostedServer]) -> None:
    """Run a server of class ``cls`` until SIGTERM or SIGINT, then finish what is under way.

    Exit 2 with one line when its configuration is wrong.
    """
    log_to_stderr()
    raise_file_limit()
    try:
        settings = settings_from_environment(os.environ)
        server = cls(settings, Client(transport(settings)))
        logging.getLogger().setLevel(log_level(os.environ, server.config.log_level))
        common = settings.whole.get(LOG_FORMAT_KEY)
        format_as(log_format(os.environ, server.config.log_format, common), server.name)
        workers = _workers(server)
        server.share_with(workers)
    except GymctlError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(error.exit_code) from error
    if workers > 1:
        raise SystemExit(run_workers(workers, settings.host, settings.port, lambda: _serve(server, shared=True)))
    _serve(server)


def _serve(server: HostedServer, *, shared: bool = False) -> None:
    """Serve in this process; with ``shared``, together with other processes on the same port."""
    import uvicorn

    from gymctl.server.run.graceful_shutdown import DrainingConnection, Runner

    settings = server.settings
    options = {**uvicorn_options(), **_UNTIL_DONE, "http": DrainingConnection, "lifespan": "on"}
    application = Application(server)
    config = uvicorn.Config(application, host=settings.host, port=settings.port, **options)
    runner = Runner(config, settings.notice_s, application.give_up_start)
    sockets = None
    if shared:
        sockets = [listen(settings.host, settings.port, BACKLOG)]
        # A session's id names its process: the next worker must miss stored state, not create it again.
        server.sessions = SessionStore(server.sessions.cookie, stateless=server.stateless)
    if hasattr(config, "get_loop_factory"):
        loop_factory = config.get_loop_factory()
    else:
        loop_factory = None
    with asyncio.Runner(loop_factory=loop_factory) as loop:
        loop.run(_run(runner, server, sockets))
    if not runner.started:
        raise SystemExit(1)


def _workers(server: HostedServer) -> int:
    """How many processes to run for the server.

    Raises:
        InputError: several, though it keeps state that they would not share.
    """
    workers = server.config.num_workers or 1
    if workers > 1 and not server.stateless:
        raise InputError(
            f"{server.name}: num_workers is {workers}, but {type(server).__name__} keeps sessions in its process",
            "remove num_workers or, if requests do not depend on earlier ones, set `stateless = True` in the class",
        )
    return workers


def transport(settings: Settings) -> Transport:
    """The transport to a server's peers, with the number of connections that the open-file limit leaves for it."""
    files = open_files()
    here = HttpTransport(
        settings.peers,
        quick_connections(files),
        slow=settings.models,
        slow_limit=slow_connections(files),
        patience_s=settings.patience_s,
        tokens=settings.tokens,
    )
    if not settings.remote:
        return here
    from gymctl.server.calls.remote import AcrossMachines

    return AcrossMachines(here, settings.remote, settings.head_url, slow_connections(files))


async def _run(runner: Any, server: HostedServer, sockets: list[socket.socket] | None) -> None:
    keeps_sessions = server.settings.kind == ServerKind.RESOURCES and not server.stateless
    draining = watch_for_drain(server.sessions, keeps_sessions=keeps_sessions)
    tasks = [asyncio.create_task(_beat(runner, server)), asyncio.create_task(draining)]
    try:
        await runner.serve(sockets=sockets)
    finally:
        for task in tasks:
            task.cancel()
        with suppress(OSError):
            READY_FILE.unlink(missing_ok=True)
        await server.client.close()


async def _beat(runner: Any, server: HostedServer) -> None:
    """Touch the ready file while the event loop turns; a loop that hangs lets it grow old."""
    while not runner.started:  # noqa: ASYNC110 - uvicorn offers no event for it
        await asyncio.sleep(0.01)
    calm_garbage_collection()
    settings = server.settings
    log.info(
        "%s (%s/%s) listens on %s:%s", server.name, settings.kind, settings.implementation, settings.host, settings.port
    )
    parent = os.getppid()
    while os.getppid() == parent or server.workers == 1:  # a worker does not outlive the process that started it
        show_ready()
        await asyncio.sleep(BEAT_S)
    runner.should_exit = True


def calm_garbage_collection() -> None:
    """Collect cycles seldom: nearly all that a request makes is freed by counting references.

    With a thousand rollouts in flight the collector's walks through live objects took a fifth of the time of a call.
    """
    gc.collect()
    gc.freeze()  # what was imported stays: no walk need visit it
    gc.set_threshold(50_000, 10, 10)
