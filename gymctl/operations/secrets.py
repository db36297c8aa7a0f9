"""Show which container can read which secret."""

from __future__ import annotations

from gymctl.config import Config
from gymctl.operations.configuration import PlanOptions, plan


def secret_readers(config: Config, options: PlanOptions | None = None) -> dict[str, list[str]]:
    """Names of the containers that read each secret, by the secret's environment name, in alphabetical order.

    Raises:
        ConfigError: the configuration cannot be a stack of containers.
    """
    stack = plan(config, options)
    return {
        name: [service.title for service in stack.services if name in service.secrets]
        for name in sorted({*config.secrets, *stack.secrets})
    }
