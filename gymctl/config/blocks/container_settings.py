"""Settings of a server's container: time to start, volumes, variables, networks, log driver.

The keys may be in a server's fields or next to its kind key. Only engines that run containers use them.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from gymctl.config.blocks.block import Block, Must
from gymctl.config.egress_hosts import parse_egress_host
from gymctl.config.vocabulary import DEFAULT_NETWORK, EGRESS_NETWORK, HOSTS_NETWORK, MODELS_NETWORK, SERVERS_NETWORK

_DURATION = re.compile(r"(?P<number>\d+)(?P<unit>ms|s|m|h)?")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, None: 1}
_LONGEST_S = 24 * 3600
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VOLUME_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_NETWORK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_TARGET = re.compile(r"/[^\0:]+")
_OWN_VARIABLES = ("NEMO_GYM_CONFIG_DICT", "NEMO_GYM_CONFIG_PATH")
_OWN_TARGETS = ("/opt/gymctl", "/run/secrets", "/tmp")  # noqa: S108 - places of a container


class VolumeMount(Block):
    """A folder or file of this machine, or a named volume, at ``target`` in the container."""

    source: str = Field(description="A path on this machine (/..., ./..., ../..., ~/...), or the name of a volume.")
    target: str = Field(description="Path in the container.")
    read_only: bool = Field(False, description="Mount it read-only.")

    @property
    def is_bind(self) -> bool:
        """Whether the source is a path of this machine, not the name of a volume."""
        return self.source.startswith("/")


class LogSettings(Block):
    """Logging of a container's output."""

    driver: str = Field("json-file", description="Docker's log driver.")
    options: dict[str, str] = Field({}, description="Options of the driver.")


def _seconds(value: Any) -> int:
    if not isinstance(value, bool):
        match = _DURATION.fullmatch(str(value))
    else:
        match = None
    if match:
        seconds = int(match["number"]) * _SECONDS[match["unit"]]
    else:
        seconds = 0
    if not 1 <= seconds <= _LONGEST_S:
        raise ValueError
    return int(seconds)


def _volumes(value: Any) -> tuple[Any, ...]:
    """Volumes in their short form, ``SOURCE:TARGET[:ro]``, as mappings."""
    if not isinstance(value, list | tuple):
        raise ValueError
    return tuple(_volume(item) if isinstance(item, str) else item for item in value)


def _volume(text: str) -> dict[str, Any]:
    source, _, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    if mode not in ("", "ro", "rw"):
        raise ValueError
    return {"source": source, "target": target, "read_only": mode == "ro"}


def _check_volumes(volumes: tuple[VolumeMount, ...]) -> tuple[VolumeMount, ...]:
    for volume in volumes:
        is_path = volume.source.startswith(("/", "./", "../", "~/"))
        if not is_path and not _VOLUME_NAME.fullmatch(volume.source):
            raise ValueError
        if not _TARGET.fullmatch(volume.target) or _is_own(volume.target):
            raise ValueError
    if len({volume.target for volume in volumes}) < len(volumes):
        raise ValueError
    return volumes


def _is_own(target: str) -> bool:
    """Whether a path of the container is one that the stack fills; a folder below the server's own is free."""
    return target.rstrip("/") in _OWN_TARGETS


def texts(value: Any) -> dict[str, str]:
    """A mapping whose values are text or numbers, as text."""
    if not isinstance(value, Mapping):
        raise ValueError
    texts = {}
    for key, item in value.items():
        if not isinstance(key, str) or not isinstance(item, str | int | float | bool):
            raise ValueError
        if isinstance(item, bool):
            texts[key] = str(item).lower()
        else:
            texts[key] = str(item)
    return texts


def _check_variables(variables: dict[str, str]) -> dict[str, str]:
    if any(not _VARIABLE.fullmatch(name) or name in _OWN_VARIABLES for name in variables):
        raise ValueError
    return variables


def _is_of_stack(network: str) -> bool:
    """Whether a name is reserved for a stack's own networks."""
    own = (DEFAULT_NETWORK, SERVERS_NETWORK, MODELS_NETWORK)
    return network in own or network.startswith((EGRESS_NETWORK, HOSTS_NETWORK))


def _networks(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError
    if not all(isinstance(name, str) and _NETWORK.fullmatch(name) and not _is_of_stack(name) for name in value):
        raise ValueError
    return tuple(dict.fromkeys(value))


def _egress(value: Any) -> bool | tuple[str, ...]:
    """True, false, or hosts, each in the form in which it is compared, once."""
    if isinstance(value, bool):
        return value
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ValueError
    return tuple(dict.fromkeys(str(parse_egress_host(item)) for item in value))


def _logging(value: Any) -> Any:
    if isinstance(value, Mapping) and "options" in value:
        return {**value, "options": texts(value["options"])}
    return value


_START_PERIOD = "a duration such as 90s, 10m or 1h (at most 24h)"
_VOLUMES = (
    "a list of SOURCE:TARGET or SOURCE:TARGET:ro, where SOURCE is a path on this machine (/..., ./..., ../..., "
    "~/...) or the name of a "
    "volume, and TARGET is an absolute path"
)
_ENVIRONMENT = "a mapping of variable names to strings or numbers, excluding NeMo Gym's configuration variables"
_NETWORKS = "a list of names of existing networks"
_EGRESS = (
    "true, false, or a list of hosts: api.example.com (ports 80 and 443), '*.example.com', db.example.com:5432, "
    "host.docker.internal:8000 for this machine; without a scheme or a path"
)
_LOGGING = "a mapping of driver and options, such as {driver: local, options: {max-size: 50m}}"
_A_LIST: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
_EGRESS_SCHEMA: dict[str, Any] = {"type": ["boolean", "array"], "items": {"type": "string"}}


class ContainerSettings(Block):
    """Settings of a server's container. Only engines that run containers use them."""

    start_period: (
        Annotated[int, BeforeValidator(_seconds), Must(_START_PERIOD), WithJsonSchema({"type": ["string", "integer"]})]
        | None
    ) = Field(None, description="Time allowed for startup before it counts as unhealthy.")
    volumes: Annotated[
        tuple[VolumeMount, ...],
        BeforeValidator(_volumes),
        AfterValidator(_check_volumes),
        Must(_VOLUMES),
        WithJsonSchema({"type": "array", "items": {"type": ["string", "object"]}}),
    ] = Field((), description="Directories and volumes mounted into its container.")
    environment: Annotated[
        dict[str, str],
        BeforeValidator(texts),
        AfterValidator(_check_variables),
        Must(_ENVIRONMENT),
        WithJsonSchema({"type": "object"}),
    ] = Field({}, description="Environment variables of its container.")
    networks: Annotated[tuple[str, ...], BeforeValidator(_networks), Must(_NETWORKS), WithJsonSchema(_A_LIST)] = Field(
        (), description="Additional networks of its container."
    )
    egress: (
        Annotated[bool | tuple[str, ...], BeforeValidator(_egress), Must(_EGRESS), WithJsonSchema(_EGRESS_SCHEMA)]
        | None
    ) = Field(
        None,
        description="Whether it can reach addresses outside the stack, or a list of the only hosts that it can reach; "
        "by default, true if its settings name an address outside the stack, or if its code may need one.",
    )
    logging: Annotated[LogSettings, BeforeValidator(_logging), Must(_LOGGING)] | None = Field(
        None, description="Log driver of its container."
    )

    @property
    def egress_hosts(self) -> tuple[str, ...]:
        """The only hosts outside of the stack that it may reach; empty: ``egress`` is not a list of hosts."""
        if isinstance(self.egress, tuple):
            return self.egress
        return ()

    def below(self, folder: Path) -> Self:
        """The settings with relative paths of volumes made absolute."""
        return self.model_copy(update={"volumes": tuple(_resolved(volume, folder) for volume in self.volumes)})


CONTAINER_KEYS = tuple(ContainerSettings.model_fields)


def _resolved(volume: VolumeMount, folder: Path) -> VolumeMount:
    """A volume whose source, when it is a path, is absolute."""
    if not volume.source.startswith(("./", "../", "~/")):
        return volume
    return volume.model_copy(update={"source": str((folder / Path(volume.source).expanduser()).resolve())})
