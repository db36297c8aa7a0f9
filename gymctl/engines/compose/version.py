"""A version of a stack, as far as its update needs it: of a plan, or of a rendered file that was kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gymctl.stack import StackPlan


@dataclass(frozen=True)
class ServiceVersion:
    """What a version of a stack says of one service, apart from the definition of its containers."""

    name: str
    title: str
    """The server's name."""
    replicas: int
    secrets: tuple[str, ...] = ()
    """Names of the secrets that it reads."""
    needs: tuple[str, ...] = ()
    """Services that must be healthy first."""


@dataclass(frozen=True)
class StackVersion:
    """A version of a stack, to be started: ``secrets`` are values by name."""

    name: str
    services: tuple[ServiceVersion, ...]
    secrets: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, plan: StackPlan) -> StackVersion:
        """The version that a plan describes."""
        services = (
            ServiceVersion(
                name=service.name,
                title=service.title,
                replicas=service.replicas,
                secrets=service.secrets,
                needs=service.needs,
            )
            for service in plan.services
        )
        return cls(plan.name, tuple(services), plan.secrets)

    @classmethod
    def of_document(
        cls, document: Mapping[str, Any], titles: Mapping[str, str], secrets: Mapping[str, str]
    ) -> StackVersion:
        """The version of a document as Compose writes it; ``titles`` are the servers' names by their services."""
        services = (
            ServiceVersion(
                name=name,
                title=titles.get(name, name),
                replicas=_replicas(service),
                secrets=tuple(secret["source"] for secret in service.get("secrets") or ()),
                needs=tuple(service.get("depends_on") or ()),
            )
            for name, service in document["services"].items()
        )
        return cls(document["name"], tuple(services), secrets)


def _replicas(service: Mapping[str, Any]) -> int:
    """How many containers a service has, of a document as Compose writes it."""
    counts = (service.get("scale"), (service.get("deploy") or {}).get("replicas"))
    return next((count for count in counts if count is not None), 1)
