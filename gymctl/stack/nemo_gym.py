"""Servers of NeMo Gym in a stack: how they are started and found to be well, and the Ray that they all connect to.

Every one calls ``ray.init`` before it listens, used or not (server_utils.py). Without an address each would start a
private Ray of ten processes; so the configuration's cluster is used, or one is started for the stack.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from gymctl.config import Config
from gymctl.stack.gateway import EXTRA_HOST, GATEWAY, rerouted
from gymctl.stack.interpolation import Piece
from gymctl.stack.runtime import Runtimes
from gymctl.stack.service import ServicePlan

GYM_ROOT = "/opt/gym"  # in the image: the folder that holds responses_api_models/ and the other kinds
RAY_SERVICE = "ray-head"
RAY_KEY = "ray_head_node_address"
RAY_PORT = 10001  # for clients that are no nodes of the cluster

# A server listens once Ray has answered and its imports are done, half a minute on a busy machine.
_START_PERIOD = "180s"
_SHARED_MEMORY, _OBJECT_STORE = "512mb", 200_000_000  # nothing but what servers hand to Ray's tasks lies there
# `ray start --block` ends as soon as one of its processes does; the port opens last. `ray health-check` would say the
# same for a second of CPU at every probe.
_RAY = (
    f"exec ray start --head --block --disable-usage-stats --port=6379 --ray-client-server-port={RAY_PORT} "
    f"--node-ip-address=$(hostname -i) --include-dashboard=false --object-store-memory={_OBJECT_STORE}"
)
# Ray 2.59 and later want a token unless told not to: on both sides, or neither. Only the stack's network reaches it.
_OPEN_RAY = (("RAY_AUTH_MODE", "disabled"),)


class NemoGym:
    """What a configuration's servers of NeMo Gym need; nothing when there are none."""

    def __init__(self, config: Config, runtimes: Runtimes) -> None:
        self._names = [server.name for server in runtimes.nemo_gym]
        self._source = runtimes.source
        self._given = str(config.values.get(RAY_KEY) or "")
        moved = rerouted((Piece(self._given),), GATEWAY) if self._given else None
        self._is_rerouted = moved is not None
        self.starts_ray = bool(self._names) and not self._given
        started = f"ray://{RAY_SERVICE}:{RAY_PORT}" if self.starts_ray else ""
        self.address = "".join(piece.text for piece in moved) if moved else self._given or started

    @property
    def added(self) -> Mapping[str, Mapping[str, Any]]:
        """What the slices of these servers get on top of the configuration's: server name -> globals."""
        return {name: {RAY_KEY: self.address} for name in self._names}

    def seen_by_clients(self, config: Config) -> Config:
        """The configuration with Ray's address in it, as NeMo Gym's own head shows it."""
        return replace(config, values={**config.values, RAY_KEY: self.address}) if self._names else config

    def adapt(self, service: ServicePlan) -> ServicePlan:
        """A planned server as one of NeMo Gym."""
        moved = (EXTRA_HOST,) if self._is_rerouted and EXTRA_HOST not in service.extra_hosts else ()
        return replace(
            service,
            working_dir=f"{GYM_ROOT}/{service.kind}/{service.implementation}",
            probe=_listens(service.port),
            start_period=_START_PERIOD,
            needs=(RAY_SERVICE,) if self.starts_ray else (),
            environment=_OPEN_RAY if self.starts_ray else (),
            extra_hosts=(*service.extra_hosts, *moved),
        )

    def ray(self, image: str) -> ServicePlan:
        """The head of the stack's own Ray."""
        return ServicePlan(
            name=RAY_SERVICE,
            kind="ray",
            implementation="head",
            image=image,
            port=RAY_PORT,
            slice_text="",
            config_path="",
            command=("sh", "-c", _RAY),
            working_dir="/tmp",  # noqa: S108 - the container's own
            probe=_listens(RAY_PORT),
            start_period=_START_PERIOD,
            environment=_OPEN_RAY,
            shm_size=_SHARED_MEMORY,
        )

    def notes(self) -> Iterator[str]:
        """What these servers cost, and an address that cannot work."""
        if not self._names:
            return
        where = (
            f"the checkout {self._source.checkout}" if self._source.checkout else f"{self._source.version} from PyPI"
        )
        names = ", ".join(self._names[:3]) + (f" and {len(self._names) - 3} more" if len(self._names) > 3 else "")
        cost = ""
        if self.starts_ray:
            cost = (
                f". Each connects to Ray before it listens: {RAY_SERVICE} is started for that (0.6 GB, 0.2 GB more for "
                f"each server, and half a minute); {RAY_KEY}: ray://HOST:{RAY_PORT} uses a cluster of yours instead"
            )
        yield f"NeMo Gym ({where}) runs {names}{cost}"
        if self._given and not self._given.startswith("ray://"):
            yield (
                f"{RAY_KEY} is {self._given}, which only nodes of that cluster can dial; "
                f"a container is none and needs ray://HOST:{RAY_PORT}"
            )


def _listens(port: int) -> tuple[str, ...]:
    """Whether a port is open, asked by the shell: a probe that starts Python costs more than the server."""
    return ("CMD", "bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}")
