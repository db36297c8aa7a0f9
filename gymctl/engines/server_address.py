"""Where the servers of a stack are reached."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ServerAddress:
    """One server of a stack and where it is reached: by service name inside the stack's network.

    ``replicas`` of it are wanted; ``single`` is why it cannot be more than one, empty when it can.
    """

    name: str
    kind: str
    implementation: str
    address: str
    replicas: int = 1
    single: str = ""
    service: str = ""
    """Its service, where that has another name."""

    @property
    def service_name(self) -> str:
        """The name of its service."""
        return self.service or self.name
