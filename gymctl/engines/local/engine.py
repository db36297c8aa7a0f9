"""The local engine from outside: start its process in the background, ask how its servers are, stop it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from gymctl import __version__
from gymctl.config import Config
from gymctl.config.exposure import NOT_EXPOSED, Exposure, check_clients
from gymctl.config.terminal_text import last_lines
from gymctl.config.vocabulary import HEAD_NAME, NODE_KEY
from gymctl.engines.atomic_files import write_atomically
from gymctl.engines.local.addresses import plan_addresses
from gymctl.engines.local.log import is_of, last_of_each
from gymctl.engines.local.probes import ask_all, healthy_status
from gymctl.engines.local.process import process_input, runs_local_engine
from gymctl.engines.local.servers import bound, build_stack
from gymctl.engines.machine import direct_calls
from gymctl.engines.own_folder import clear_folder, state_folder
from gymctl.engines.protocol import Job, JobResult, Node, OnServer, Removed, ServerEvent, ServerStatus
from gymctl.engines.runner import OnLine, detached
from gymctl.engines.server_address import ServerAddress
from gymctl.engines.state import StackState, find_own_state, load_state, save_state
from gymctl.errors import EngineError, InputError
from gymctl.stack.addons.edge import exposure_notes
from gymctl.stack.slices.slices import Address

_PID = "local.pid"
_LOG = "local.log"
_EVERY_S = 0.1
_STOP_S = 10.0


class LocalEngine:
    """The stack of ``directory``, all its servers in one background process."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self._folder = self.directory / ".gymctl"

    def up(
        self,
        config: Config,
        *,
        name: str,
        display_args: Sequence[str],
        config_digest: str,
        timeout: float,
        on_event: OnServer,
        policy_token: str = "",
        exposure: Exposure = NOT_EXPOSED,
        on_note: OnLine = lambda _: None,
    ) -> StackState:
        """Start the process and wait until every server answers; one that runs already is replaced.

        It is stopped only when nothing is seen to be wrong with the new one; what fails then leaves neither.
        ``display_args`` are the configuration's arguments as they may be written down. ``policy_token`` allows to
        replace the endpoints of its model servers. ``exposure`` are the servers for clients outside; ``on_note`` gets a
        sentence on where these are and who may call them.

        Raises:
            EngineError: a port is taken, or the process ended before its servers answered.
            InputError: a server's code or configuration is wrong, or exposed servers need a list of clients.
        """
        before = find_own_state(self.directory, "local")
        addresses = plan_addresses(config, exposure)
        check_clients([addresses[name].bind for name in exposure.servers], exposure.clients)
        build_stack(config, addresses)  # errors in a server's code are raised here, not only logged
        _check_free(config, addresses, held=_ports(before) if before and self._pid() else frozenset())
        try:
            self._stop()
            addresses = plan_addresses(config, exposure)
            _check_free(config, addresses)
            state = _state(config, addresses, name, display_args, config_digest)
            self._start(state, process_input(config, addresses, policy_token, exposure), timeout, on_event)
        except BaseException:
            self._clear()
            raise
        ports = {name: addresses[name].port for name in exposure.servers}
        hosts = {name: addresses[name].bind for name in ports}
        for note in exposure_notes(exposure, ports, hosts, has_tokens=config.tokens):
            on_note(note)
        return state

    def _start(self, state: StackState, configuration: str, timeout: float, on_event: OnServer) -> None:
        """Start the process with ``configuration`` on its standard input, and wait for its servers."""
        log = state_folder(self.directory) / _LOG
        log.unlink(missing_ok=True)
        argv = [sys.executable, "-m", "gymctl.engines.local.process"]
        hosts = [urlsplit(server.address).hostname or "" for server in state.servers]
        process = detached(argv, stdin=configuration, log=log, cwd=self.directory, env=direct_calls(hosts, os.environ))
        try:
            write_atomically(self._folder / _PID, str(process.pid))
            save_state(self.directory, state)
            self._wait(state, process.poll, timeout, on_event)
        except BaseException:
            process.terminate()  # there may be no file with its number: the disk is full
            raise

    def _wait(self, state: StackState, poll: Callable[[], int | None], timeout: float, on_event: OnServer) -> None:
        began = time.monotonic()
        reported: set[str] = set()
        while True:
            seconds = time.monotonic() - began
            ended = poll() is not None
            statuses = ask_all(state)
            for status in statuses:
                if status.ok and status.name not in reported:
                    reported.add(status.name)
                    on_event(ServerEvent(status.name, status.state, status.health, seconds))
            if ended or seconds > timeout:
                late = f"not all of them responded within {timeout:g} s"
                raise self._failed("their process ended" if ended else late)
            if all(status.ok for status in statuses):
                return
            time.sleep(_EVERY_S)

    def _failed(self, how: str) -> EngineError:
        """The last output of the process: its own error, otherwise anything it printed."""
        lines = last_lines((self._folder / _LOG).read_text(errors="replace"), 15)
        messages = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        return EngineError(messages[-1] if messages else "\n  | ".join([f"the servers did not start: {how}", *lines]))

    def status(self) -> list[ServerStatus]:
        """Every server, asked now.

        Raises:
            InputError: no stack was brought up here.
        """
        state = load_state(self.directory)
        if self._pid() is None:  # who answers at its ports now is someone else
            return [replace(healthy_status(server), state="exited", health="") for server in state.servers]
        return ask_all(state)

    def scale(self, counts: Mapping[str, int], *, timeout: float = 0.0, on_event: OnServer = lambda _: None) -> None:
        """One process has each server once.

        Raises:
            InputError: always.
        """
        names = ", ".join(counts)
        raise InputError(
            f"{names}: the local engine runs one of each server in a single process",
            "gymctl up without --engine local runs containers",
        )

    def nodes(self) -> list[Node]:
        """None: the servers are on this machine."""
        return []

    def run_job(self, job: Job, on_line: OnLine, on_error_line: OnLine | None = None) -> JobResult:
        """Jobs run in containers, and this engine has none.

        Raises:
            EngineError: always.
        """
        raise EngineError(
            "the local engine does not run jobs", "call its servers directly; they listen on this machine"
        )

    def serves_loopback(self) -> bool:
        """True: processes of this machine reach the servers.

        Raises:
            EngineError: it has ended.
        """
        if self._pid() is None:
            raise EngineError(
                f"the stack {load_state(self.directory).name} has stopped: its process has exited",
                "start it again with `gymctl up`",
            )
        return True

    def logs(
        self,
        servers: Sequence[str],
        on_line: OnLine,
        *,
        follow: bool = False,
        tail: int | None = None,
        since: str = "",
    ) -> None:
        """Pass on the lines that ``servers`` wrote into the one log, or all; each begins with its server's name.

        Raises:
            InputError: ``since`` was given: which containers' logs know, and this one does not.
        """
        if since:
            raise InputError("the local engine's log cannot be filtered by time", "use --tail")
        with (self._folder / _LOG).open(encoding="utf-8", errors="replace") as lines:
            chosen = [line.rstrip("\n") for line in lines if not servers or is_of(line, servers)]
            for line in chosen if tail is None else last_of_each(chosen, tail):
                on_line(line)
            while follow:
                line = lines.readline()
                if line and (not servers or is_of(line, servers)):
                    on_line(line.rstrip("\n"))
                elif not line:
                    time.sleep(0.2)

    def down(self, *, volumes: bool = False) -> Removed:
        """Stop the process and remove what it left.

        Raises:
            InputError: no stack was brought up here, or ``volumes``: it has none.
        """
        if volumes:
            raise InputError("--volumes is for containers, and a local stack has no volumes", "leave it out")
        state = load_state(self.directory)
        self._clear()
        return Removed(state.name, 0)

    def _clear(self) -> None:
        self._stop()
        for name in (_PID, _LOG):
            (self._folder / name).unlink(missing_ok=True)
        clear_folder(self.directory)

    def _stop(self) -> None:
        """SIGTERM, and SIGKILL when that was not enough; a process that is no longer ours is left alone."""
        pid = self._pid()
        if pid is None:
            return
        os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + _STOP_S
        while self._pid() is not None and time.monotonic() < end:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            time.sleep(0.05)
        if self._pid() is not None:
            os.kill(pid, signal.SIGKILL)

    def _pid(self) -> int | None:
        """The process, if it runs: a number that another program took since is not it."""
        try:
            pid = int((self._folder / _PID).read_text())
            os.kill(pid, 0)
        except (OSError, ValueError):
            return None
        if runs_local_engine(pid):
            return pid
        return None


def _ports(state: StackState) -> frozenset[int]:
    """The ports that a running stack listens on."""
    return frozenset(port for server in state.servers if (port := urlsplit(server.address).port))


def _check_free(config: Config, addresses: Mapping[str, Address], held: Container[int] = ()) -> None:
    """See that the ports are free, but for those ``held`` by the stack that makes room.

    Else another's server at such a port could pass for ours.

    Raises:
        EngineError: one is taken.
    """
    for server, address in addresses.items():
        is_elsewhere = server == HEAD_NAME and config.is_worker
        is_elsewhere = is_elsewhere or (server in config.servers and server not in config.started)
        if address.port not in held and not is_elsewhere:
            bound(server, address).close()


def _state(
    config: Config, addresses: dict[str, Address], name: str, arguments: Sequence[str], config_digest: str
) -> StackState:
    first = ServerAddress("head", "head", "head", addresses[HEAD_NAME].url)
    if config.is_worker:
        first = ServerAddress("node", "node", "node", addresses[NODE_KEY].url)
    servers = (
        ServerAddress(server.name, server.kind.value, server.implementation, addresses[server.name].url)
        for server in config.started.values()
    )
    return StackState(
        engine="local",
        name=name,
        head_url=addresses[HEAD_NAME].url,
        servers=(first, *servers),
        arguments=tuple(arguments),
        config_digest=config_digest,
        version=__version__,
        role=config.membership.role.value if config.membership else "",
    )
