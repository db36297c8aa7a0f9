"""Model servers whose endpoints can be replaced while they run: they watch the head, which needs a token for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gymctl.config import Config, ServerKind
from gymctl.config.vocabulary import HEAD_NAME, POLICY_TOKEN, POLICY_WATCH_KEY, PROBED
from gymctl.stack.runtime import Runtime, Runtimes
from gymctl.stack.service import ServicePlan
from gymctl.stack.slices.host_gateway import EXTRA_HOST

_TOKEN_REFERENCE = f"${{oc.env:{POLICY_TOKEN}}}"


def watching_models(config: Config, runtimes: Runtimes) -> tuple[str, ...]:
    """Names of the model servers that follow a list of endpoints: gymctl's own that call one."""
    models = (server for server in config.started.values() if server.kind is ServerKind.MODEL)
    called = (server.name for server in models if server.implementation in PROBED)
    return tuple(name for name in called if runtimes.of(name) is not Runtime.NEMO_GYM)


class PolicyWatchers:
    """The watching model servers of a stack, and what they and its head need.

    Args:
        config: the configuration.
        runtimes: what its servers run on.
        token: what callers of the head must show to replace endpoints; without one, none can be replaced.
    """

    def __init__(self, config: Config, runtimes: Runtimes, token: str) -> None:
        self.names = watching_models(config, runtimes) if token else ()
        self._has_head = not config.is_worker
        self._token = token

    def added(self) -> Mapping[str, Mapping[str, Any]]:
        """What slices get on top of the configuration's: server name -> globals."""
        return {name: {POLICY_WATCH_KEY: True} for name in self.names}

    def adapt(self, service: ServicePlan) -> ServicePlan:
        """A planned service as one that finds endpoints on this machine, where it watches; others as they are."""
        if service.server not in self.names or EXTRA_HOST in service.extra_hosts:
            return service
        return replace(service, extra_hosts=(*service.extra_hosts, EXTRA_HOST))

    @property
    def secrets(self) -> Mapping[str, str]:
        """The token, for the head."""
        if self.names and self._has_head:
            return {POLICY_TOKEN: self._token}
        return {}

    def add_to_head(self, slice_data: dict[str, Any]) -> tuple[str, ...]:
        """Add to the head's slice what it needs; returns the names of the secrets in it."""
        if not self.secrets:
            return ()
        slice_data[HEAD_NAME] |= head_entries(self.names, _TOKEN_REFERENCE)
        return (POLICY_TOKEN,)


def head_entries(names: tuple[str, ...], token: str) -> dict[str, Any]:
    """Keys of the head's own entry: the model servers that watch it, and the token or a reference to it."""
    return {"policy_token": token, POLICY_WATCH_KEY: list(names)}
