"""Servers of NeMo Gym in a stack: how they are started and found to be well, and the Ray that some of them use.

Every one calls ``ray.init`` before it listens (server_utils.py). Without an address each would start a private Ray of
ten processes; with one, each keeps a process of 200 MB in addition to Ray's head. Few ever use it. So they are given an
address that connects at the first use (``dockerfiles/nemo-gym/gymctl_ray.py``), and a Ray only when one of them needs
it. An address in the configuration is passed on as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from gymctl.config import Config
from gymctl.config.vocabulary import FOLDERS_KEY, HEAD_NAME, LOOPBACK, RAY_ADDRESS_KEY, RAY_CLIENT_PORT
from gymctl.config.wording import listing
from gymctl.stack.runtime import Runtimes
from gymctl.stack.service import ServicePlan
from gymctl.stack.service_names import RAY_SERVICE
from gymctl.stack.slices.host_gateway import EXTRA_HOST, GATEWAY, reroute_address

GYM_ROOT = "/opt/gym"  # in the image: the folder that holds responses_api_models/ and the other kinds
RAY_ADDRESS = f"ray://{RAY_SERVICE}:{RAY_CLIENT_PORT}"
_CONNECT_LATER = f"gymctl_ray://{RAY_SERVICE}:{RAY_CLIENT_PORT}"

# A server listens once its imports are done and a Ray of the configuration's has answered: minutes on a busy machine.
# Ray 2.59 and later require a token by default: on both sides, or neither. Only the stack's network reaches it.
_OPEN_RAY = (("RAY_AUTH_MODE", "disabled"),)


class NemoGym:
    """What a configuration's servers of NeMo Gym need; nothing when there are none."""

    def __init__(self, config: Config, runtimes: Runtimes) -> None:
        self._source = runtimes.source
        self._folders = {server.name: _folder(server.kind, server.implementation) for server in runtimes.nemo_gym}
        self._names = list(self._folders)
        self._configured_address = str(config.values.get(RAY_ADDRESS_KEY) or "")
        using = (
            [] if self._configured_address else [server for server in runtimes.nemo_gym if runtimes.uses_ray(server)]
        )
        self.ray_users = tuple(using)
        self._writers = tuple(server.name for server in runtimes.nemo_gym if runtimes.writes_files(server))
        moved = reroute_address(self._configured_address, GATEWAY)
        self._is_rerouted = moved is not None
        self._address = moved or self._configured_address or _CONNECT_LATER

    @property
    def added(self) -> Mapping[str, Mapping[str, Any]]:
        """What the slices of these servers get on top of the configuration's: server name -> globals."""
        return {name: {RAY_ADDRESS_KEY: self._address} for name in self._names}

    def add_to_head(self, data: dict[str, Any]) -> None:
        """Add to the head's slice where the code of these servers is."""
        if self._folders:
            data[HEAD_NAME][FOLDERS_KEY] = self._folders

    def adapt(self, service: ServicePlan) -> ServicePlan:
        """A planned server as one of NeMo Gym."""
        moved = (EXTRA_HOST,) if self._is_rerouted and EXTRA_HOST not in service.extra_hosts else ()
        return replace(
            service,
            working_dir=_folder(service.kind, service.implementation),
            probe=_listens(service.port),
            needs=(RAY_SERVICE,) if service.server in {server.name for server in self.ray_users} else (),
            environment=(*service.environment, *((*_OPEN_RAY, ("RAY_ADDRESS", RAY_ADDRESS)) if self.ray_users else ())),
            extra_hosts=(*service.extra_hosts, *moved),
            writable=service.server in self._writers,
        )

    @property
    def ray_path(self) -> tuple[str, ...]:
        """Python's path on Ray's nodes: its tasks are imported where they run."""
        return tuple(dict.fromkeys(_folder(server.kind, server.implementation) for server in self.ray_users))

    def notes(self) -> Iterator[str]:
        """Who runs on NeMo Gym, what Ray costs, and an address that cannot work."""
        if not self._names:
            return
        checkout = self._source.checkout
        where = f"the checkout {checkout}" if checkout else f"{self._source.version} from PyPI"
        yield f"NeMo Gym ({where}) runs {listing(self._names)}"
        if self._writers:
            yield (
                f"{listing(self._writers)}: the code writes files, so its containers are not read-only; "
                "files in the server's own directory are lost when a container is replaced"
            )
        if self.ray_users:
            users = listing([server.name for server in self.ray_users])
            yield (
                f"{RAY_SERVICE} is started for {users}; memory: 0.6 GB, plus 0.2 GB per server that uses it; "
                f"+{RAY_ADDRESS_KEY}=ray://HOST:{RAY_CLIENT_PORT} selects an existing cluster instead"
            )
        if self._configured_address and not self._configured_address.startswith("ray://"):
            yield (
                f"{RAY_ADDRESS_KEY} is {self._configured_address}, which only nodes of that cluster can use; "
                f"containers need ray://HOST:{RAY_CLIENT_PORT}"
            )


def _folder(kind: str, implementation: str) -> str:
    return f"{GYM_ROOT}/{kind}/{implementation}"


def _listens(port: int) -> tuple[str, ...]:
    """Whether a port is open, asked by the shell: a probe that starts Python costs more than the server."""
    return ("CMD", "bash", "-c", f"exec 3<>/dev/tcp/{LOOPBACK}/{port}")
