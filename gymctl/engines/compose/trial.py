"""A container that tries the new version of a service which publishes a port, before the old one stops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

TRIAL_SUFFIX = "-next"
"""End of the service name of a container that tries a version before the old one stops."""


def trial_document(document: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """A document with the trials of services: without published ports, reached by the service's name."""
    services = dict(document["services"])
    for name in names:
        service = {key: value for key, value in services[name].items() if key != "ports"}
        networks = service.get("networks") or {}
        service["networks"] = {key: _with_alias(value, name) for key, value in networks.items()}
        services[f"{name}{TRIAL_SUFFIX}"] = service
    return {**document, "services": services}


def _with_alias(attachment: Mapping[str, Any] | None, name: str) -> dict[str, Any]:
    """A service on a network, reached by another service's name too."""
    values = dict(attachment or {})
    values["aliases"] = [*(values.get("aliases") or ()), name]
    return values
