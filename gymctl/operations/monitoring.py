"""The files of a stack with ``observe``: for a user's own Prometheus, and for one on a local stack."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gymctl.config import Config
from gymctl.config.blocks.observation import ObserveKeys
from gymctl.config.vocabulary import ALERTMANAGER_PORT, COLLECTOR_PORT, EVERY_INTERFACE, LOOPBACK, OBSERVE_KEY
from gymctl.engines.atomic_files import write_atomically
from gymctl.engines.own_folder import ALERTMANAGER_FILE, FOLDER, METRICS_TOKEN_FILE, state_folder
from gymctl.engines.token_files import store_text, stored_text
from gymctl.errors import InputError

PORT_VARIABLE = "GYMCTL_METRICS_PORT"

if TYPE_CHECKING:
    from gymctl.engines.protocol import Engine
    from gymctl.engines.state import StackState
    from gymctl.stack import StackPlan


def stack_monitoring(config: Config, stack: StackPlan) -> Mapping[str, bytes]:
    """The files of a stack of containers, by path; none without ``observe``."""
    if config.observe is None:
        return {}
    from gymctl.stack.addons.monitoring import container_targets, monitoring_files

    return monitoring_files(container_targets(stack.services), token_file=_token_file(config.observe))


def local_monitoring(config: Config, state: StackState) -> Mapping[str, bytes]:
    """The files of a stack of the local engine, by path; none without ``observe``.

    Raises:
        InputError: ``GYMCTL_METRICS_PORT`` is not a port.
    """
    if config.observe is None:
        return {}
    from gymctl.stack.addons.monitoring import local_targets, monitoring_files

    urls = (urlsplit(server.address) for server in state.servers)
    addresses = [(url.hostname or "", url.port or 80) for url in urls]
    targets = local_targets(addresses, _local_port(os.environ))
    alertmanager = f"{LOOPBACK}:{ALERTMANAGER_PORT}" if config.observe.services else ""
    return monitoring_files(targets, token_file=_token_file(config.observe), alertmanager=alertmanager)


def _token_file(keys: ObserveKeys) -> str:
    """Where a user's own Prometheus finds the token, relative to its configuration; empty: there is none."""
    if keys.token is None:
        return ""
    return f"../{FOLDER}/{METRICS_TOKEN_FILE}"


def local_monitoring_note(config: Config) -> tuple[str, ...]:
    """The commands that watch a stack of the local engine, which starts no Prometheus."""
    if config.observe is None or not config.observe.services:
        return ()
    from gymctl.stack.addons.monitoring import FOLDER as FILES

    return (
        f"the local engine does not start Prometheus; to monitor the stack: "
        f"prometheus --config.file={FILES}/prometheus.yaml and, for alerts, "
        f"alertmanager --config.file={FOLDER}/{ALERTMANAGER_FILE} --cluster.listen-address=",
    )


def store_observation(config: Config, directory: Path) -> None:
    """Write the token of ``/metrics`` and the configuration of a local Alertmanager, for this user only.

    Raises:
        EngineError: the directory cannot be written.
    """
    keys = config.observe
    if keys is None:
        return
    from gymctl.stack.addons.monitoring import alertmanager_text

    if keys.token:
        store_text(directory, METRICS_TOKEN_FILE, keys.token)
    if keys.services:
        write_atomically(state_folder(directory) / ALERTMANAGER_FILE, alertmanager_text(keys), mode=0o600)


def stored_metrics_token(directory: Path) -> str:
    """The token that ``/metrics`` of the directory's stack requires; empty: it requires none.

    Raises:
        InputError: it cannot be read.
    """
    return stored_text(directory, METRICS_TOKEN_FILE)


def _local_port(environ: Mapping[str, str]) -> int:
    """The port of a collector on this machine.

    Raises:
        InputError: the variable is not a port.
    """
    text = environ.get(PORT_VARIABLE) or str(COLLECTOR_PORT)
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 65536):
        raise InputError(f"{PORT_VARIABLE} is {text!r}", "it must be a port")
    return int(text)


def collector_address(configuration: Mapping[str, Any] | None, engine: Engine) -> str:
    """Where a collector answers ``/metrics``: on loopback, or in its container; empty without ``observe``."""
    if (configuration or {}).get(OBSERVE_KEY) in (None, False):
        return ""
    if engine.serves_loopback():
        return f"{LOOPBACK}:{_local_port(os.environ)}"
    return f"{EVERY_INTERFACE}:{COLLECTOR_PORT}"
