"""One container of a stack, planned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gymctl.config import ServerKind


@dataclass(frozen=True)
class ServicePlan:
    """One container. ``published`` holds (host address, host port, container port); ``needs`` must be healthy first."""

    name: str
    kind: ServerKind | Literal["head", "ray"]
    implementation: str
    image: str
    port: int
    slice_text: str
    config_path: str  # the value of NEMO_GYM_CONFIG_PATH
    command: tuple[str, ...]
    working_dir: str
    secrets: tuple[str, ...] = ()
    published: tuple[tuple[str, int, int], ...] = ()
    needs: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()
    probe: tuple[str, ...] = ()  # the health check's command; empty: the ready file of gymctl's own servers
    start_period: str = "60s"
    environment: tuple[tuple[str, str], ...] = ()
    shm_size: str | None = None

    @property
    def address(self) -> str:
        """The base URL inside the stack's network."""
        return f"http://{self.name}:{self.port}"
