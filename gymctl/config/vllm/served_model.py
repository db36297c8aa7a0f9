"""A model that the stack itself serves: what a ``vllm:`` block means. ``gymctl.config.vllm.blocks`` reads it."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from gymctl.config.blocks.block import Block, GpuIds, ImageName, Must, Port, Size, Text, wrong
from gymctl.config.diagnostics import KeyPath, Location
from gymctl.config.vllm.arguments import argument_list, is_word, taken_argument

VLLM_KEY = "vllm"
VLLM_PORT = 8000  # inside the stack's network, of every instance

_MOST = 10**9
_VOLUME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*|/[^\0]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _volume(value: Any) -> Any:
    if isinstance(value, str) and not _VOLUME.fullmatch(value):
        raise ValueError("not a volume")
    return value


def _variables(value: Any) -> Any:
    """Names to text: YAML reads 1 as a number."""
    if not isinstance(value, Mapping) or not all(map(is_word, value.values())):
        raise ValueError("not variables")
    return {str(name): str(item) for name, item in value.items()}


_ARGUMENTS = {"anyOf": [{"type": "array", "items": {"type": ["string", "number"]}}, {"type": "object"}]}

Count = Annotated[int, Field(ge=1, le=4096)]
Arguments = Annotated[
    tuple[str, ...],
    BeforeValidator(argument_list),
    Must("a list of arguments, or a mapping of their names to values"),
    WithJsonSchema(_ARGUMENTS),
]


class VllmKeys(Block):
    """One model that the stack serves, in one vLLM service for each instance."""

    model: Text = Field(
        description="Name on the Hugging Face hub, or the path of a directory (starts with /, ./, ../ or ~/)."
    )
    served_model_name: Text | None = Field(
        None, description="Name that callers use; by default the name of the model or its directory."
    )
    profile: Literal["gpu", "cpu"] = Field("gpu", description="Hardware that it runs on.")
    instances: Count = Field(1, description="Number of services that serve the model.")
    tensor_parallel_size: Count = Field(
        1, description="Tensor parallel size: GPUs that share each layer of an instance."
    )
    pipeline_parallel_size: Count = Field(
        1, description="Pipeline parallel size: groups of GPUs that the layers are split across."
    )
    data_parallel_size: Count = Field(1, description="Data parallel size: copies of the model in one instance.")
    gpus: Count | None = Field(None, description="GPUs of one instance; by default the product of the parallel sizes.")
    gpu_ids: Annotated[GpuIds, Must("a list of GPU numbers or UUIDs (GPU-..., MIG-...)")] = Field(
        (), description="Numbers or UUIDs of the GPUs of all instances, in order; by default Docker chooses."
    )
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1), Must("a fraction above 0 and at most 1")] | None = (
        Field(None, description="Fraction of each GPU's memory that vLLM may use.")
    )
    max_model_len: Annotated[int, Field(ge=1, le=_MOST), Must(f"a number of tokens from 1 to {_MOST}")] | None = Field(
        None, description="Maximum length of prompt and answer together, in tokens; by default the model's own."
    )
    # of `vllm serve --dtype` (vllm/config/model.py, ModelDType)
    dtype: Literal["auto", "half", "float16", "bfloat16", "float", "float32"] | None = Field(
        None, description="Type of the weights and activations."
    )
    tool_call_parser: Text | None = Field(
        None, description="vLLM's tool call parser, or `none`; by default the parser of the model's family."
    )
    reasoning_parser: Text | None = Field(None, description="vLLM's reasoning parser, or `none`; by default none.")
    chat_template: Text | None = Field(None, description="A Jinja file that replaces the model's chat template.")
    revision: Text | None = Field(None, description="Branch, tag or commit of the model on the hub.")
    trust_remote_code: bool = Field(False, description="Whether to run code that comes with the model.")
    extra_args: Arguments = Field((), description="Additional arguments of `vllm serve`, as a list or as name: value.")
    environment: Annotated[
        Mapping[str, str],
        BeforeValidator(_variables),
        Must("a mapping of names to strings"),
        WithJsonSchema({"type": "object"}),
    ] = Field({}, description="Environment variables of the service.")
    image: ImageName | None = Field(None, description="Image to run; by default vLLM's image of the tested version.")
    cache_volume: (
        Annotated[
            str,
            BeforeValidator(_volume),
            Must("the name of a volume, or an absolute path of a directory on this machine"),
        ]
        | None
    ) = Field(None, description="Volume or directory for downloaded weights.")
    shm_size: Size | None = Field(None, description="Shared memory of the service.")
    ipc: Literal["host", "private"] | None = Field(
        None, description="IPC mode: the service's own shared memory or the host's."
    )
    port: Port | None = Field(
        None, description="Port on this machine for the first instance; the others get the following ports."
    )
    prefetch: bool = Field(
        False, description="Whether a service downloads the weights before the first instance starts."
    )

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if taken := taken_argument(self.extra_args, VllmKeys.model_fields):
            raise wrong(f"extra_args contains --{taken[0]}", taken[1], "extra_args")
        for name in self.environment:
            if not _VARIABLE.fullmatch(name):
                message = f"{name!r} is not a name of an environment variable"
                raise wrong(message, "use letters, digits and _", "environment", name)
        if self.prefetch and self.is_local:
            raise wrong(f"{self.model} is a directory; there is nothing to fetch", "leave it out", "prefetch")
        if self.ipc == "host" and self.shm_size:
            message = "shm_size has no effect with `ipc: host`, which uses the host's shared memory"
            raise wrong(message, "keep one of them", "shm_size")
        if self.port and self.port + self.instances > 65536:
            raise wrong(f"not enough ports above {self.port}", "choose a lower port", "port")
        return self

    @property
    def is_local(self) -> bool:
        """Whether the model is a folder of this machine."""
        return self.model.startswith(("/", "./", "../", "~"))

    @property
    def gpus_used(self) -> int:
        """GPUs that one instance makes use of."""
        return self.tensor_parallel_size * self.pipeline_parallel_size * self.data_parallel_size


class VllmBlock(VllmKeys):
    """A block of a configuration, with what follows from its keys filled in.

    ``name`` is empty for the only block. ``gpu_ids`` of its instances are texts, in their order.
    """

    name: str = ""
    location: Location | None = None

    @property
    def gpus_each(self) -> int:
        """GPUs of one instance."""
        return self.gpus or len(self.gpu_ids) // self.instances or self.gpus_used

    @property
    def served_name(self) -> str:
        """The name that callers use. A model of the hub has its whole name, as with ``vllm serve``."""
        if self.is_local:
            name = self.model.rstrip("/").rpartition("/")[2]
        else:
            name = self.model
        return self.served_model_name or name

    @property
    def path(self) -> KeyPath:
        """The place of the block in the configuration."""
        if self.name:
            return (VLLM_KEY, self.name)
        return (VLLM_KEY,)

    @property
    def title(self) -> str:
        """The block as messages call it."""
        if self.name:
            return f"{VLLM_KEY}.{self.name}"
        return VLLM_KEY

    @property
    def service(self) -> str:
        """The name of its only service, or what those of several instances begin with."""
        if self.name:
            return f"{VLLM_KEY}-{self.name}"
        return VLLM_KEY

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


def is_single(written: Mapping[Any, Any]) -> bool:
    """Whether ``vllm:`` is one block; else it is a mapping of named ones."""
    return "model" in written or not all(isinstance(value, Mapping) for value in written.values())
