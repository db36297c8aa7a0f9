"""End containers that are not needed any more, each when it has finished its work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from gymctl.config.vocabulary import DRAIN_FILE, SESSIONS_FILE
from gymctl.engines.docker.containers import Container
from gymctl.engines.protocol import DRAINING, OnServer, ServerEvent
from gymctl.stack.service import PROXY_IMPLEMENTATION

if TYPE_CHECKING:
    import docker

_MOST_AT_ONCE = 16
_PROXY_SIGNAL = "SIGUSR1"  # HAProxy finishes its calls after this signal; SIGTERM ends it at once
_POLL_S = 0.5
_NOTICE_S = 3.0  # connections that callers keep open are closed with a reply, not while a request is on its way
_ASK_TO_DRAIN = ("sh", "-c", f"test -e {SESSIONS_FILE} && touch {DRAIN_FILE} && cat {SESSIONS_FILE}")


def drain(
    client: docker.DockerClient,
    containers: Iterable[Container],
    timeout: float,
    titles: Mapping[str, str],
    on_event: OnServer,
) -> None:
    """Stop containers, each when it has finished its work (at most ``timeout`` seconds), and remove them.

    Its work are the sessions that it keeps, and then the calls that it has accepted. ``titles`` has the names of
    servers by their services.
    """
    began = time.monotonic()

    def end(container: Container) -> None:
        """Stop and remove one container; one that is already gone is fine."""
        from docker.errors import NotFound

        name = titles.get(container.service, container.service)

        def report(detail: str) -> None:
            """Show that the container finishes its work."""
            on_event(ServerEvent(name, DRAINING, detail, time.monotonic() - began))

        report("")
        try:
            if container.is_well and container.implementation == PROXY_IMPLEMENTATION:
                _finish_calls_of_proxy(client, container, began + timeout)
            elif container.is_well:
                _finish_sessions(client, container, began + timeout, report)
            client.api.stop(container.id, timeout=max(0, round(began + timeout - time.monotonic())))
            client.api.remove_container(container.id, force=True)
        except NotFound:
            return

    listed = list(containers)
    if listed:
        with ThreadPoolExecutor(max_workers=min(_MOST_AT_ONCE, len(listed))) as pool:
            list(pool.map(end, listed))


def _finish_calls_of_proxy(client: docker.DockerClient, container: Container, deadline: float) -> None:
    """Have a proxy refuse new connections and wait until it has ended, which it does after its last call."""
    client.api.update_container(container.id, restart_policy={"Name": "no"})
    client.api.kill(container.id, _PROXY_SIGNAL)
    while time.monotonic() < deadline and client.api.inspect_container(container.id)["State"]["Running"]:
        time.sleep(_POLL_S)


def _finish_sessions(
    client: docker.DockerClient, container: Container, deadline: float, report: Callable[[str], None]
) -> None:
    """Have a server of gymctl's own send new calls and sessions elsewhere, and wait until its sessions have ended."""
    while time.monotonic() < deadline:
        answer = _drain_report(client, container)
        if answer is None:
            return
        if answer == "0":
            time.sleep(_NOTICE_S)
            return
        if answer:
            report(f"{answer} session{'' if answer == '1' else 's'} open")
        time.sleep(_POLL_S)


def _drain_report(client: docker.DockerClient, container: Container) -> str | None:
    """Number of sessions of a server that has been asked to drain; empty before it counts, None if it cannot drain."""
    from docker.errors import APIError

    try:
        command = client.api.exec_create(container.id, list(_ASK_TO_DRAIN), stderr=False)["Id"]
        output: bytes = client.api.exec_start(command)
        if client.api.exec_inspect(command)["ExitCode"]:
            return None
    except APIError:  # it has ended meanwhile
        return None
    return output.decode("ascii", "replace").strip()
