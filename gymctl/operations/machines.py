"""What each machine of a stack on several holds, and the firewall rules between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gymctl.config import Config
from gymctl.config.choices import Firewall
from gymctl.operations.configuration import PlanOptions, plan

if TYPE_CHECKING:
    from gymctl.stack.capacity.machines import Machine


def plan_machines(config: Config, *, gym_version: str | None = None) -> Sequence[Machine]:
    """The machines of a configuration, the head's first; ``config`` has the files of all machines together.

    Raises:
        ConfigError: the configuration cannot be a stack of containers.
    """
    from gymctl.stack.capacity import machines

    return machines.plan_machines(config, plan(config, PlanOptions(name="stack", gym_version=gym_version)))


def firewall_rules(machine: Machine, firewall: Firewall) -> str:
    """Commands for a root shell of a machine; empty where nothing needs to be open.

    Raises:
        InputError: the head's machine has no address, or ufw cannot use a caller's name.
    """
    from gymctl.stack.capacity.firewall import rules

    return rules(machine, firewall)
