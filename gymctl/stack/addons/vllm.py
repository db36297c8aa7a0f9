"""The services of ``vllm:`` blocks: one for each instance, and one that fetches the weights before them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from gymctl.config import VLLM_PORT, Config, VllmBlock
from gymctl.config.vllm.families import reasoning_parser, tool_parser
from gymctl.config.vocabulary import EVERY_INTERFACE, LOOPBACK
from gymctl.errors import Problem
from gymctl.stack.compose.fragments import fragment
from gymctl.stack.compose.model import Device, Mount, ResourceBounds, Resources, Service
from gymctl.stack.images import ImageChoice
from gymctl.stack.service import ServicePlan
from gymctl.stack.slices.interpolation import SecretFinder

KIND = "vllm"
CACHE = "/cache"
MODELS = "/models"
_TOKEN = "hf_token"  # noqa: S105 - the key of the configuration that holds it; NeMo Gym's, too
HUB_TOKEN = "HF_TOKEN"  # noqa: S105 - the name of a secret, and of the variable that it is taken from
_DEFAULT_VOLUME = "vllm-cache"


@dataclass(frozen=True)
class VllmStack:
    """What the blocks of a configuration become. ``secrets``: what their containers get, name -> value."""

    services: tuple[ServicePlan, ...]
    secrets: dict[str, str]


def vllm_stack(config: Config, choice: ImageChoice, hub_token: str = "") -> VllmStack:
    """Plan the services of every block, in order; nothing without a block.

    ``hub_token`` is used where the configuration has no token and a model is on the hub.
    """
    token = str(config.values.get(_TOKEN) or "")
    secrets = {name: value for name, value in config.secrets.items() if token and value == token and config.vllm}
    if not token and hub_token and any(not block.is_local for block in config.vllm.values()):
        secrets = {HUB_TOKEN: hub_token}
    services: list[ServicePlan] = []
    for block in config.vllm.values():
        services += _Block(block, choice, tuple(secrets)).services()
    return VllmStack(tuple(services), secrets)


def vllm_problems(config: Config) -> Iterator[Problem]:
    """Secrets where anyone who may inspect a container reads them: in a block's arguments or environment."""
    finder = SecretFinder(config.secrets)
    for block in config.vllm.values():
        texts = {f"environment.{name}": value for name, value in block.environment.items()}
        texts["extra_args"] = " ".join(block.extra_args)
        for key, text in texts.items():
            if any(piece.secret for piece in finder.split(text)):
                hint = f"set the hub token as the top-level key {_TOKEN}; containers receive it as a file"
                problem = f"{block.title}.{key} holds a secret, which would be visible in `docker inspect`"
                yield Problem(str(block.location or ""), problem, hint)


def gpu_notes(services: Iterable[ServicePlan]) -> Iterator[str]:
    """GPUs that Docker would give to two services; blocks have their own, or declare their share."""
    for gpu, users in _users_of_gpus(services).items():
        if len(users) < 2 or all(user.kind == KIND for user in users):
            continue
        names = " and ".join(user.name for user in users)
        if all(_names_gpus(user) for user in users):
            yield f"GPU {gpu} goes to {names}"
        else:
            yield (
                f"GPU {gpu} goes to {names}: Docker assigns the first GPUs to every request for a number; give ids "
                "instead (gpus: [ID], gpu_ids)"
            )
        return  # the others are like this one


def _users_of_gpus(services: Iterable[ServicePlan]) -> dict[str, list[ServicePlan]]:
    """The services that would get each GPU, by its id or number."""
    users: dict[str, list[ServicePlan]] = {}
    for service in services:
        for device in service.devices:
            for gpu in device.device_ids or _first_numbers(device.count):
                users.setdefault(gpu, []).append(service)
    return users


def _first_numbers(count: int | str | None) -> list[str]:
    if isinstance(count, int):
        return [str(number) for number in range(count)]
    return []


def _names_gpus(service: ServicePlan) -> bool:
    return all(device.device_ids for device in service.devices)


class _Block:
    """One block on its way to become services."""

    def __init__(self, block: VllmBlock, choice: ImageChoice, secrets: tuple[str, ...]) -> None:
        self._block = block
        self._secrets = secrets
        own = fragment("vllm" if block.profile == "gpu" else "vllm-cpu")
        self._image = block.image or (own.image if block.profile == "gpu" else choice.addon("vllm-cpu"))
        # an image of the user's own may be anywhere; one that is built here is nowhere else
        update: dict[str, Any] = {"pull_policy": "missing"} if block.image else {}
        self._fragment = own.model_copy(update={**update, **self._rights()})

    def _rights(self) -> dict[str, Any]:
        """What the container's root needs to write into a folder of this machine, which is some user's.

        Without the capability, root is refused where another user owns the folder.
        """
        is_folder = (self._block.cache_volume or "").startswith("/")
        if is_folder:
            return {"cap_add": ["DAC_OVERRIDE"]}
        return {}

    def services(self) -> Iterator[ServicePlan]:
        """The service that fetches the weights, if any, and one for each instance."""
        fetch = self._prefetch() if self._block.prefetch else None
        if fetch is not None:
            yield fetch
        for index, name in enumerate(self._block.services):
            yield self._instance(index, name, (fetch.name,) if fetch else ())

    def _instance(self, index: int, name: str, needs: tuple[str, ...]) -> ServicePlan:
        block = self._block
        published = ((LOOPBACK, block.port + index, VLLM_PORT),) if block.port else ()
        return ServicePlan(
            name=name,
            kind=KIND,
            implementation=block.served_name,
            image=self._image,
            port=VLLM_PORT,
            command=tuple(serve_arguments(block, str(VLLM_PORT), _inside)),
            secrets=self._secrets,
            published=published,
            needs=needs,
            environment=self._environment(self._fragment),
            start_period=_start_period(self._fragment),
            shm_size=block.shm_size,
            bounds=self._gpus(index),
            volumes=tuple(self._volumes()),
            fragment=self._shared_memory(),
        )

    def _prefetch(self) -> ServicePlan:
        block = self._block
        own = fragment("vllm-prefetch")
        own = own.model_copy(update={"pull_policy": self._fragment.pull_policy, **self._rights()})
        return ServicePlan(
            name=block.prefetch_service,
            kind=KIND,
            implementation="prefetch",
            image=self._image,
            port=VLLM_PORT,
            command=(block.model, block.revision or ""),
            secrets=self._secrets,
            environment=self._environment(own),
            start_period=_start_period(self._fragment),
            volumes=(self._cache(),),
            completes=True,
            fragment=own,
        )

    def _environment(self, own: Service) -> tuple[tuple[str, str], ...]:
        environment = dict(own.environment or {})
        if self._block.is_local:
            environment["HF_HUB_OFFLINE"] = "1"
        if self._secrets:  # the hub's library reads the token from this file
            environment["HF_TOKEN_PATH"] = f"/run/secrets/{self._secrets[0]}"
        return tuple({**environment, **self._block.environment}.items())

    def _volumes(self) -> Iterator[Mount]:
        yield self._cache()
        for path in (self._block.model if self._block.is_local else None, self._block.chat_template):
            if path is not None:
                yield Mount(type="bind", source=path, target=_inside(path), read_only=True)

    def _cache(self) -> Mount:
        volume = self._block.cache_volume or _DEFAULT_VOLUME
        return Mount(type="bind" if volume.startswith("/") else "volume", source=volume, target=CACHE)

    def _gpus(self, index: int) -> ResourceBounds | None:
        block = self._block
        if block.profile == "cpu":
            return None
        ids = list(block.gpu_ids[index * block.gpus_each : (index + 1) * block.gpus_each])
        count = None if ids else block.gpus_each
        device = Device(driver="nvidia", count=count, device_ids=ids or None, capabilities=["gpu"])
        return ResourceBounds(reservations=Resources(devices=[device]))

    def _shared_memory(self) -> Service:
        if self._block.ipc is None:
            return self._fragment
        size = None if self._block.ipc == "host" else self._fragment.shm_size
        return self._fragment.model_copy(update={"ipc": self._block.ipc, "shm_size": size})


def serve_arguments(block: VllmBlock, port: str, place: Callable[[str], str] = str) -> Iterator[str]:
    """The arguments of ``vllm serve`` for one instance; ``place`` is where it finds a path of this machine."""
    yield from (place(block.model) if block.is_local else block.model,)
    yield from ("--served-model-name", block.served_name, "--host", EVERY_INTERFACE, "--port", port)
    cpu = block.profile == "cpu"
    tools = tool_parser(block)
    template = place(block.chat_template) if block.chat_template else None
    values = {
        "--tensor-parallel-size": block.tensor_parallel_size if block.tensor_parallel_size > 1 else None,
        "--pipeline-parallel-size": block.pipeline_parallel_size if block.pipeline_parallel_size > 1 else None,
        "--data-parallel-size": block.data_parallel_size if block.data_parallel_size > 1 else None,
        "--gpu-memory-utilization": block.gpu_memory_utilization,
        "--max-model-len": block.max_model_len,
        "--dtype": block.dtype or ("float32" if cpu else None),
        "--tool-call-parser": tools,
        "--reasoning-parser": reasoning_parser(block),
        "--chat-template": template,
        "--revision": block.revision,
    }
    flags = {
        "--enable-auto-tool-choice": tools is not None,
        "--trust-remote-code": block.trust_remote_code,
        "--enforce-eager": cpu,
    }
    for argument, value in values.items():
        yield from (argument, str(value)) if value is not None else ()
    yield from (argument for argument, is_set in flags.items() if is_set)
    yield from block.extra_args


def _inside(path: str) -> str:
    """Where a file or folder of this machine is in the container."""
    return f"{MODELS}/{PurePath(path).name}"


def _start_period(own: Service) -> str:
    return (own.healthcheck.start_period if own.healthcheck else None) or "60s"
