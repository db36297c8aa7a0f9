"""The local engine in the background: ``python -m gymctl.engines.local.process`` runs a stack until SIGTERM.

It reads one JSON object from standard input (so that no argument list shows it): the command-line arguments that name
the configuration, the directory they were given in, and the planned addresses.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from gymctl.config import Config, Membership, MergeOrder, Role, load_config
from gymctl.config.exposure import NOT_EXPOSED, Exposure, client_networks
from gymctl.config.vocabulary import LOG_FORMAT_KEY
from gymctl.engines.local.log import AttributedStream, LevelFilter, attribute, status_name, writing_server, written_by
from gymctl.engines.local.servers import LocalStack, build_stack, running
from gymctl.engines.own_folder import FOLDER, SECRETS_FOLDER
from gymctl.errors import GymctlError
from gymctl.server.run.log_level import log_format, log_level
from gymctl.server.run.log_lines import ServerFormatter, log_to_stderr
from gymctl.stack.slices.slices import Address


def process_input(
    config: Config, addresses: Mapping[str, Address], policy_token: str = "", exposure: Exposure = NOT_EXPOSED
) -> str:
    """What the background process reads from its standard input."""
    planned = {name: [address.host, address.port, address.bind] for name, address in addresses.items()}
    if config.membership:
        member = asdict(config.membership)
    else:
        member = None
    source = {
        "arguments": list(config.source.arguments),
        "cwd": str(config.source.directory.resolve()),
        "gym_root": str(config.source.gym_root.resolve()) if config.source.gym_root else None,
        "order": config.merge_order,
    }
    exposed = {"servers": exposure.servers, "clients": [str(network) for network in exposure.clients]}
    whole = {**source, "addresses": planned, "membership": member, "policy_token": policy_token, "exposed": exposed}
    return json.dumps(whole)


async def serve_until_told(
    config: Config, addresses: Mapping[str, Address], policy_token: str = "", exposure: Exposure = NOT_EXPOSED
) -> None:
    """Run the stack with every server on its port until SIGTERM or SIGINT, be it while a server still starts."""
    serving = asyncio.create_task(_serve(config, addresses, policy_token, exposure))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    with suppress(asyncio.CancelledError):
        await serving


async def _serve(config: Config, addresses: Mapping[str, Address], policy_token: str, exposure: Exposure) -> None:
    from gymctl.server.run.serve import calm_garbage_collection

    tokens = Path(FOLDER, SECRETS_FOLDER) if config.tokens else None  # of the stack's directory, in which this runs
    stack = build_stack(config, addresses, policy_token, exposure, tokens)
    _configure_logging(stack)
    async with running(stack, listen=True):
        calm_garbage_collection()
        for name, address in addresses.items():
            with written_by(name):
                logging.getLogger("gymctl").info("%s listens on %s", name, address.url)
        await asyncio.Event().wait()


def _configure_logging(stack: LocalStack) -> None:
    """Have each server's lines begin with its name, and each log as much as it is configured to."""
    default = log_level(os.environ)
    levels = {status_name(key): log_level(os.environ, server.config.log_level) for key, server in stack.servers.items()}
    for server in stack.servers.values():
        attribute(server)
    sys.stdout = AttributedStream(sys.stdout)
    sys.stderr = AttributedStream(sys.stderr)
    formats = {
        status_name(key): log_format(os.environ, server.config.log_format, server.settings.whole.get(LOG_FORMAT_KEY))
        for key, server in stack.servers.items()
    }
    common = log_format(os.environ)
    formatter = ServerFormatter(writing_server, lambda name: formats.get(name, common))
    log_to_stderr(min([default, *levels.values()]), formatter)
    logging.getLogger().handlers[0].addFilter(LevelFilter(levels, default))


def runs_local_engine(pid: int) -> bool:
    """Whether a process runs the local engine; True where ``/proc`` does not exist.

    A process that is ending has no command line; a zombie counts as ended.
    """
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return not Path("/proc/self").exists()
    return b"gymctl.engines.local.process" in command or (not command and state not in "ZX")


def main() -> None:
    """Entry point of the background process."""
    from gymctl.server.run.open_files import raise_file_limit

    document = json.load(sys.stdin)
    raise_file_limit()
    addresses = {name: Address(*planned) for name, planned in document["addresses"].items()}
    try:
        config = _configuration(document)
        import uvloop

        exposed = document["exposed"]
        exposure = Exposure(tuple(exposed["servers"]), client_networks(exposed["clients"]))
        uvloop.run(serve_until_told(config, addresses, document["policy_token"], exposure))
    except GymctlError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(error.exit_code) from None


def _configuration(document: Mapping[str, Any]) -> Config:
    if document["membership"]:
        member = Membership(**{**document["membership"], "role": Role(document["membership"]["role"])})
    else:
        member = None
    config = load_config(
        document["arguments"],
        cwd=Path(document["cwd"]),
        environ=os.environ,
        merge_order=MergeOrder(document["order"]),
        gym_root=Path(document["gym_root"]) if document["gym_root"] else None,
        role=member.role if member else Role.ALL,
    )
    return replace(config, membership=member)


if __name__ == "__main__":
    main()
