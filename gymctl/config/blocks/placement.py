"""Where a server may run, and how much of a machine it may take: ``placement:`` and ``resources:``.

``placement`` stands at the top of a configuration, for everything or under ``head``, ``models``, ``agents``,
``resources`` and ``addons`` for one kind, and in a server's fields. The nearer one wins, key by key; null takes back.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from gymctl.config.blocks.block import Block, Cpus, GpuIds, Must, PositiveCount, Size, wrong
from gymctl.config.blocks.block_reader import read_block
from gymctl.config.diagnostics import Findings, KeyPath
from gymctl.config.sizes import size_in_bytes

GROUPS = ("head", "models", "agents", "resources", "addons")

# What Swarm takes in a constraint (swarmkit's manager/constraint), a leading ! apart.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_VALUE = re.compile(r"!?[A-Za-z0-9_./: -]+")


def _constraint(value: Any) -> Any:
    if isinstance(value, str) and not _VALUE.fullmatch(value):
        raise ValueError("not a constraint value")
    return value


def _labels(value: Any) -> Any:
    """Values as the swarm has them: YAML's true is ``true``."""
    if not isinstance(value, Mapping):
        return value
    texts = {key: item if item is None else _label_text(item) for key, item in value.items()}
    for key, text in texts.items():
        if not _NAME.fullmatch(str(key)) or (text is not None and not _VALUE.fullmatch(text)):
            raise ValueError("not a label")
    return texts


def _label_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _spread(value: Any) -> Any:
    if isinstance(value, str):
        labels = [value]
    else:
        labels = value
    if not isinstance(labels, list | tuple):
        raise ValueError("not labels")
    if not all(isinstance(item, str) and _NAME.fullmatch(item) for item in labels):
        raise ValueError("not labels")
    return tuple(labels)


def _each_once(ids: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(ids)) < len(ids):
        raise ValueError("twice")
    return ids


_HOST = "one host name, or !NAME to exclude one; to allow several, use a label: labels: {pool: big}"
_LABELS = "a mapping of node labels to values, such as {disk: ssd} or {disk: '!hdd'}"
_MAPPING = {"type": "object"}  # of texts, and of what YAML reads as numbers
_TEXTS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}


class Placement(Block):
    """Which machines a server may run on. A ``host`` or label value that begins with ``!`` names what is excluded."""

    role: Literal["manager", "worker"] | None = Field(None, description="Role of the node in the swarm.")
    host: Annotated[str, BeforeValidator(_constraint), Must(_HOST)] | None = Field(
        None, description="Host name of the node; `!NAME`: any other node."
    )
    labels: (
        Annotated[Mapping[str, str | None], BeforeValidator(_labels), Must(_LABELS), WithJsonSchema(_MAPPING)] | None
    ) = Field(
        None,
        description=(
            "Labels that the node must have; `!VALUE`: must not have; null: any value (removes an inherited setting)."
        ),
    )
    gpu: Annotated[bool | str, BeforeValidator(_constraint), Must("true, false, or the kind of GPU")] | None = Field(
        None, description="true: a node with a GPU; false: a node without; a string: a node with that kind of GPU."
    )
    spread: (
        Annotated[
            tuple[str, ...], BeforeValidator(_spread), Must("a node label, or a list of them"), WithJsonSchema(_TEXTS)
        ]
        | None
    ) = Field(None, description="Node labels across whose values replicas are spread.")
    max_replicas_per_node: PositiveCount | None = Field(None, description="Maximum number of replicas on one node.")

    def over(self, other: "Placement") -> "Placement":
        """This placement, with ``other`` for keys that are not set; labels are merged one by one."""
        known = Placement.model_fields.keys()
        values = {key: getattr(layer, key) for layer in (other, self) for key in layer.model_fields_set & known}
        if other.labels is not None and self.labels is not None:
            values["labels"] = {**other.labels, **self.labels}
        return Placement.model_construct(_fields_set=set(values), **{**Placement().__dict__, **values})

    def settled(self) -> "Placement | None":
        """The placement without what was taken back; None where nothing is left."""
        values = {key: getattr(self, key) for key in Placement.model_fields}
        values["labels"] = _without_none(self.labels or {}) or None
        values["spread"] = self.spread or None
        if _without_none(values):
            return Placement(**_without_none(values))
        return None


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


class Placements(Placement):
    """The top-level ``placement:``: constraints for all services, and for each group of them."""

    head: Placement | None = Field(None, description="Placement of the head server and of the edge.")
    models: Placement | None = Field(None, description="Placement of model servers.")
    agents: Placement | None = Field(None, description="Placement of agents and environment servers.")
    resources: Placement | None = Field(None, description="Placement of resources servers.")
    addons: Placement | None = Field(
        None,
        description="Placement of added services: vLLM, Ray, Prometheus, Alertmanager, "
        "and proxies other than the edge.",
    )

    def of(self, group: str, own: Placement | None = None) -> Placement | None:
        """The placement of a member of ``group`` (one of ``GROUPS``) that has ``own``; None if nothing is set."""
        merged: Placement = self
        for nearer in (getattr(self, group), own):
            if nearer is not None:
                merged = nearer.over(merged)
        return merged.settled()


class Reservation(Block):
    """Resources that are reserved for each replica."""

    cpus: Cpus | None = Field(None, description="CPUs to reserve.")
    memory: Size | None = Field(None, description="Memory to reserve.")


class ResourceLimits(Block):
    """Limits and reservations of each replica of a server."""

    cpus: Cpus | None = Field(None, description="CPU limit.")
    memory: Size | None = Field(None, description="Memory limit.")
    pids: PositiveCount | None = Field(None, description="Limit on the number of processes.")
    tmp: Size | None = Field(None, description="Size limit of its `/tmp`, which is kept in memory.")
    gpus: (
        Annotated[
            PositiveCount | Literal["all"] | Annotated[GpuIds, AfterValidator(_each_once)],
            Must("a number of GPUs, a list of GPU ids (numbers or UUIDs, each once), or all"),
        ]
        | None
    ) = Field(None, description="GPUs to reserve: a number, a list of ids, or `all`.")
    reserve: Reservation = Field(default_factory=Reservation, description="Reserved resources.")

    @model_validator(mode="after")
    def _reserves_no_more_than_the_limit(self) -> Self:
        for key in Reservation.model_fields:
            limit = getattr(self, key)
            reserved = getattr(self.reserve, key)
            if limit is not None and reserved is not None and _amount(reserved) > _amount(limit):
                message = f"reserve.{key} is {reserved}, more than its limit {limit}"
                raise wrong(message, "lower the reservation, or raise the limit", "reserve", key)
        return self


def read_placements(value: Any, findings: Findings) -> Placements:
    """The top-level ``placement:``; what is wrong with it becomes problems."""
    if value is None:
        return Placements.model_construct()  # most configurations have none, and building the model takes time
    return read_block(Placements, value, ("placement",), findings) or Placements()


def read_placement(value: Any, path: KeyPath, findings: Findings) -> Placement | None:
    """A server's or an add-on's ``placement:``; None when it has none."""
    if value is None:
        return None
    return read_block(Placement, value, path, findings)


def read_resources(value: Any, path: KeyPath, findings: Findings) -> ResourceLimits | None:
    """A server's ``resources:``; None when it has none."""
    if value is None:
        return None
    return effective_limits(read_block(ResourceLimits, value, path, findings))


def effective_limits(limits: ResourceLimits | None) -> ResourceLimits | None:
    """The limits; None where they limit and reserve nothing."""
    if limits is None or limits == ResourceLimits():
        return None
    return limits


def _amount(value: float | str) -> float:
    """Processors, or bytes."""
    if isinstance(value, str):
        return float(size_in_bytes(value))
    return float(value)
