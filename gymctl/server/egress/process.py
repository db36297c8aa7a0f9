"""The process of a proxy: ``python -m gymctl.server.egress.process``, with its hosts in the environment."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping

from gymctl.config.egress_hosts import parse_egress_host
from gymctl.config.vocabulary import EGRESS_HOSTS_VARIABLE, EGRESS_PROXY_PORT, EGRESS_SERVER_VARIABLE, EVERY_INTERFACE
from gymctl.server.egress.destinations import EgressPolicy
from gymctl.server.egress.forward_proxy import ForwardProxy, log
from gymctl.server.run.log_lines import log_to_stderr
from gymctl.server.run.ready_file import BEAT_S, show_ready


def read_policy(environ: Mapping[str, str]) -> EgressPolicy:
    """The policy in a container's environment: a server's name, and its hosts with spaces between them."""
    hosts = environ[EGRESS_HOSTS_VARIABLE].split()
    return EgressPolicy(environ[EGRESS_SERVER_VARIABLE], tuple(parse_egress_host(text) for text in hosts))


async def serve(policy: EgressPolicy, environ: Mapping[str, str], port: int) -> None:
    """Serve until the process is asked to stop, and then until the open connections have ended."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    proxy = ForwardProxy(policy, environ)
    server = await proxy.listen(EVERY_INTERFACE, port)
    log.info("%s may call %s through port %s", policy.server, ", ".join(map(str, policy.hosts)), port)
    beat = asyncio.create_task(_beat())
    await stop.wait()
    beat.cancel()
    server.close()
    await proxy.finish()


async def _beat() -> None:
    """Show the health check that the event loop turns."""
    while True:
        show_ready()
        await asyncio.sleep(BEAT_S)


def main() -> None:
    """Run the proxy of a container."""
    log_to_stderr()
    asyncio.run(serve(read_policy(os.environ), os.environ, EGRESS_PROXY_PORT))


if __name__ == "__main__":
    main()
