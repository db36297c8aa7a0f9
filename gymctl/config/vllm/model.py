"""A model that the stack itself serves: what a ``vllm:`` block means. ``vllm_blocks`` reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from gymctl.config.diagnostics import KeyPath, Location

VLLM_KEY = "vllm"
VLLM_PORT = 8000  # inside the stack's network, of every instance


@dataclass(frozen=True)
class VllmBlock:
    """One model, in ``instances`` services of ``gpus`` GPUs each.

    ``name`` is empty for the only block. ``gpu_ids`` are those of all instances, in their order; empty where Docker may
    choose. ``max_model_len`` is in tokens; ``port`` is one of this machine, for the first instance (the others take the
    next ones), None when none is published.
    """

    name: str
    model: str
    served_model_name: str
    profile: Literal["gpu", "cpu"] = "gpu"
    instances: int = 1
    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    data_parallel_size: int = 1
    gpus: int = 1
    gpu_ids: tuple[str, ...] = ()
    gpu_memory_utilization: float | None = None
    max_model_len: int | None = None
    dtype: str | None = None
    tool_call_parser: str | None = None
    reasoning_parser: str | None = None
    chat_template: str | None = None
    revision: str | None = None
    trust_remote_code: bool = False
    extra_args: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    image: str | None = None
    cache_volume: str | None = None
    shm_size: str | None = None
    ipc: str | None = None
    port: int | None = None
    prefetch: bool = False
    location: Location | None = None

    @property
    def path(self) -> KeyPath:
        """Where the block stands in the configuration."""
        return (VLLM_KEY, self.name) if self.name else (VLLM_KEY,)

    @property
    def title(self) -> str:
        """The block as messages call it."""
        return f"{VLLM_KEY}.{self.name}" if self.name else VLLM_KEY

    @property
    def service(self) -> str:
        """The name of its only service, or what those of several instances begin with."""
        return f"{VLLM_KEY}-{self.name}" if self.name else VLLM_KEY

    @property
    def services(self) -> tuple[str, ...]:
        """The names of its services."""
        if self.instances == 1:
            return (self.service,)
        return tuple(f"{self.service}-{number}" for number in range(1, self.instances + 1))

    @property
    def prefetch_service(self) -> str:
        """The name of the service that fetches its weights and ends."""
        return f"{self.service}-prefetch"

    @property
    def urls(self) -> tuple[str, ...]:
        """What a model server calls: one base URL for each instance."""
        return tuple(f"http://{service}:{VLLM_PORT}/v1" for service in self.services)

    @property
    def is_local(self) -> bool:
        """Whether the model is a folder of this machine."""
        return self.model.startswith(("/", "./", "../", "~"))

    @property
    def gpus_used(self) -> int:
        """GPUs that one instance makes use of."""
        return self.tensor_parallel_size * self.pipeline_parallel_size * self.data_parallel_size
