"""The files for a user's own Prometheus, of a stack with ``observe: true``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gymctl.config import Config
from gymctl.config.vocabulary import COLLECTOR_PORT, EVERY_INTERFACE, LOOPBACK, OBSERVE_KEY
from gymctl.errors import InputError

PORT_VARIABLE = "GYMCTL_METRICS_PORT"

if TYPE_CHECKING:
    from gymctl.engines.protocol import Engine
    from gymctl.engines.state import StackState
    from gymctl.stack import StackPlan


def stack_monitoring(config: Config, stack: StackPlan) -> Mapping[str, bytes]:
    """The files of a stack of containers, by path; none without ``observe``."""
    if not config.values.get(OBSERVE_KEY):
        return {}
    from gymctl.stack.addons.monitoring import container_targets, monitoring_files

    return monitoring_files(container_targets(stack.services))


def local_monitoring(config: Config, state: StackState) -> Mapping[str, bytes]:
    """The files of a stack of the local engine, by path; none without ``observe``.

    Raises:
        InputError: ``GYMCTL_METRICS_PORT`` is not a port.
    """
    if not config.values.get(OBSERVE_KEY):
        return {}
    from gymctl.stack.addons.monitoring import local_targets, monitoring_files

    urls = (urlsplit(server.address) for server in state.servers)
    addresses = [(url.hostname or "", url.port or 80) for url in urls]
    return monitoring_files(local_targets(addresses, _local_port(os.environ)))


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
    if not (configuration or {}).get(OBSERVE_KEY):
        return ""
    if engine.serves_loopback():
        return f"{LOOPBACK}:{_local_port(os.environ)}"
    return f"{EVERY_INTERFACE}:{COLLECTOR_PORT}"
