"""What a server's container gets besides its server: time to start, volumes, variables, networks, a log driver.

The keys may be in a server's fields or beside its kind key. Only engines that run containers use them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from gymctl.config.diagnostics import Findings, KeyPath, dotted

_DURATION = re.compile(r"(?P<number>\d+)(?P<unit>ms|s|m|h)?")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, None: 1}
_LONGEST_S = 24 * 3600
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VOLUME_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_NETWORK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_TARGET = re.compile(r"/[^\0:]+")
_OWN_VARIABLES = ("NEMO_GYM_CONFIG_DICT", "NEMO_GYM_CONFIG_PATH")
_OWN_TARGETS = ("/opt/gymctl", "/run/secrets", "/tmp")  # noqa: S108 - places of a container


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class VolumeMount(_Settings):
    """A folder or file of this machine, or a named volume, at ``target`` in the container."""

    source: str
    target: str
    read_only: bool = False

    @property
    def is_bind(self) -> bool:
        """Whether the source is a path of this machine, not the name of a volume."""
        return self.source.startswith("/")


class LogSettings(_Settings):
    """Where a container's output goes."""

    driver: str = "json-file"
    options: dict[str, str] = Field(default_factory=dict)


def _seconds(value: Any) -> int:
    match = _DURATION.fullmatch(str(value)) if not isinstance(value, bool) else None
    seconds = int(match["number"]) * _SECONDS[match["unit"]] if match else 0
    if not 1 <= seconds <= _LONGEST_S:
        raise ValueError
    return int(seconds)


def _volumes(value: Any) -> list[Any]:
    """Volumes in their short form, ``SOURCE:TARGET[:ro]``, as mappings."""
    if not isinstance(value, list):
        raise ValueError
    return [_volume(item) if isinstance(item, str) else item for item in value]


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


def _texts(value: Any) -> dict[str, str]:
    """A mapping whose values are text or numbers, as text."""
    if not isinstance(value, Mapping):
        raise ValueError
    found = {}
    for key, item in value.items():
        if not isinstance(key, str) or not isinstance(item, str | int | float | bool):
            raise ValueError
        found[key] = str(item).lower() if isinstance(item, bool) else str(item)
    return found


def _check_variables(variables: dict[str, str]) -> dict[str, str]:
    if any(not _VARIABLE.fullmatch(name) or name in _OWN_VARIABLES for name in variables):
        raise ValueError
    return variables


def _check_networks(networks: tuple[str, ...]) -> tuple[str, ...]:
    if any(not _NETWORK.fullmatch(name) or name == "default" for name in networks):
        raise ValueError
    return tuple(dict.fromkeys(networks))


def _logging(value: Any) -> Any:
    if isinstance(value, Mapping) and "options" in value:
        return {**value, "options": _texts(value["options"])}
    return value


class ContainerSettings(_Settings):
    """The keys of one server; each description says what the value must be."""

    start_period: Annotated[int, BeforeValidator(_seconds)] | None = Field(
        None, description="the time that it may need to start, such as 90s, 10m or 1h (at most 24h)"
    )
    volumes: Annotated[tuple[VolumeMount, ...], BeforeValidator(_volumes), AfterValidator(_check_volumes)] = Field(
        (),
        description="a list of SOURCE:TARGET or SOURCE:TARGET:ro, with a path of this machine (/..., ./..., ~/...) or "
        "the name of a volume for the source and a path below / for the target",
    )
    environment: Annotated[dict[str, str], BeforeValidator(_texts), AfterValidator(_check_variables)] = Field(
        default_factory=dict,
        description="a mapping of variables to text or numbers, without those of NeMo Gym's configuration",
    )
    networks: Annotated[tuple[str, ...], AfterValidator(_check_networks)] = Field(
        (), description="a list of names of networks that exist already"
    )
    logging: Annotated[LogSettings, BeforeValidator(_logging)] | None = Field(
        None, description="a mapping of driver and options, such as {driver: local, options: {max-size: 50m}}"
    )


CONTAINER_KEYS = tuple(ContainerSettings.model_fields)


def read_container(
    values: Mapping[str, tuple[Any, KeyPath]], cwd: Path, findings: Findings
) -> ContainerSettings | None:
    """A server's settings; None when it has none. What is wrong becomes a problem at its place.

    Args:
        values: by key, the value (None: it is not there) and where it is.
        cwd: what relative paths of volumes are relative to.
        findings: where problems go.
    """
    present = {key: value for key, (value, _) in values.items() if value is not None}
    try:
        settings = ContainerSettings.model_validate(present)
    except ValidationError as error:
        for key in dict.fromkeys(str(item["loc"][0]) for item in error.errors()):
            value, path = values[key]
            description = ContainerSettings.model_fields[key].description
            findings.problem(path, f"{dotted(path)} is {value!r}", f"it must be {description}")
        return None
    if not present:
        return None
    return settings.model_copy(update={"volumes": tuple(_resolved(volume, cwd) for volume in settings.volumes)})


def _resolved(volume: VolumeMount, cwd: Path) -> VolumeMount:
    """A volume whose source, when it is a path, is absolute."""
    if not volume.source.startswith(("./", "../", "~/")):
        return volume
    return volume.model_copy(update={"source": str((cwd / Path(volume.source).expanduser()).resolve())})


def container_schema() -> dict[str, Any]:
    """The keys for the JSON Schema of a configuration."""
    fields = ContainerSettings.model_fields.items()
    return {key: {"description": (field.description or "").capitalize() + "."} for key, field in fields}
