"""Load a configuration, name its stack, plan it."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gymctl import __version__
from gymctl.config import Config, MergeOrder, Role, SliceMode, mask, upstream
from gymctl.config.gym_release import chosen_version
from gymctl.config.load import Loaded, read_config
from gymctl.config.secrets import masked_argument
from gymctl.config.vocabulary import EVERY_INTERFACE, LOOPBACK
from gymctl.errors import ConfigError, InputError

if TYPE_CHECKING:
    from gymctl.stack import StackPlan

NOFILE = 65535
"""Open-file limit of each container, unless its engine allows fewer."""

_VERSION = re.compile(r"\d+(?:\.\d+)*(?:\.?(?:a|b|rc|post|dev)\d+)*")


@dataclass(frozen=True)
class PlanOptions:
    """What a caller may choose about a stack's plan."""

    name: str | None = None
    """Name of the stack; by default derived from the directory's name."""
    slice_mode: SliceMode = SliceMode.CLOSURE
    """Configuration given to each container."""
    gym_version: str | None = None
    """Version of nemo-gym on PyPI for servers of NeMo Gym; by default the newest that is supported."""
    publish: str | None = None
    """IPv4 address to publish the head and exposed servers on; by default 127.0.0.1; on a Swarm it is not published."""
    expose: tuple[str, ...] = ()
    """Servers that clients outside the stack may call: names, or the groups ``agents`` and ``servers``."""
    expose_to: tuple[str, ...] = ()
    """Networks of these clients, such as ``10.0.0.0/8``; required unless only this machine can reach the servers."""
    cpu_nodes: int = 1
    """Number of nodes of a Slurm job that run servers."""
    nofile: int = NOFILE
    """Open-file limit of each container."""
    bounded_logs: bool = True
    """Whether the logs of containers are limited; false if the engine has another log driver."""
    ca_bundle: Path | None = None
    """CA certificates that servers trust; by default those named in the environment, and the machine's own."""
    timeout: float | None = None
    """Minimum number of seconds that health checks give every server to start."""
    is_probed: bool = False
    """Whether the endpoints of model servers are tested once the stack is up."""
    is_swarm: bool = False
    """Whether the stack is for a Swarm, which prefixes the names of services with the name of the stack."""


def load(
    *arguments: str | Path,
    directory: Path | None = None,
    environ: Mapping[str, str] | None = None,
    merge_order: MergeOrder | None = None,
    gym_root: Path | None = None,
    gym_version: str | None = None,
    role: Role = Role.ALL,
) -> Config:
    """Load, merge, resolve and check a configuration.

    Args:
        arguments: YAML files, globs, directories and overrides such as ``+policy_model_name=mine``, in any order.
        directory: where relative paths and ``env.yaml`` are looked for; by default the working directory.
        environ: environment variables; by default this process's.
        merge_order: whether an included file wins over its includer; by default as set in the configuration.
        gym_root: a NeMo Gym checkout, or the folder of an installed one, whose configurations are found and whose
            servers run as they are.
        gym_version: the release of NeMo Gym that servers run on; it decides how files are merged.
        role: this machine's part in a stack on several machines.

    Raises:
        InputError: an argument is wrong, a file is missing, or ``gym_root`` is not a NeMo Gym checkout.
        ConfigError: the configuration is wrong; every problem with its place.
    """
    loaded = read(
        *arguments,
        directory=directory,
        environ=environ,
        merge_order=merge_order,
        gym_root=gym_root,
        gym_version=gym_version,
        role=role,
    )
    if loaded.problems:
        raise ConfigError(loaded.problems)
    return loaded.config


def read(
    *arguments: str | Path,
    directory: Path | None = None,
    environ: Mapping[str, str] | None = None,
    merge_order: MergeOrder | None = None,
    gym_root: Path | None = None,
    gym_version: str | None = None,
    role: Role = Role.ALL,
) -> Loaded:
    """As ``load``, but what is wrong in the configuration is returned with as much of it as can be known.

    Raises:
        InputError: an argument is wrong, a file is missing, or ``gym_root`` is not a NeMo Gym checkout.
        ConfigError: a file is not valid YAML.
    """
    if gym_root is not None and not (gym_root / "responses_api_models").is_dir():
        raise InputError(
            f"--gym-root {gym_root} has no responses_api_models/", "name the top directory of a NeMo Gym checkout"
        )
    return read_config(
        [str(argument) for argument in arguments],
        cwd=directory or Path.cwd(),
        environ=os.environ if environ is None else environ,
        merge_order=merge_order,
        gym_root=gym_root,
        gym_version=gym_version,
        role=role,
    )


def followed_version(config: Config, options: PlanOptions) -> str:
    """The release of NeMo Gym whose rules a stack follows: chosen, else found in ``gym_root``, else the default."""
    return chosen_version(options.gym_version, config.source.gym_root) or upstream.DEFAULT.version


def check(config: Config) -> None:
    """Find what ``render`` and ``up`` would refuse in a configuration that loads, such as servers without code.

    Raises:
        ConfigError: the configuration cannot be a stack; every problem with its place.
    """
    plan(config, PlanOptions(name="check"))


def plan(config: Config, options: PlanOptions | None = None, *, directory: Path | None = None) -> StackPlan:
    """Plan the containers of a configuration's stack; ``directory`` names it when the options do not.

    Raises:
        InputError: an option is wrong.
        ConfigError: the configuration cannot be a stack of containers.
    """
    from gymctl.engines.machine import machine_egress, machine_names
    from gymctl.operations.edge import edge_identity
    from gymctl.operations.exposure import container_exposure
    from gymctl.operations.hop_tokens import stack_tokens
    from gymctl.operations.policy_token import policy_token
    from gymctl.stack import StackOptions, plan_stack
    from gymctl.stack.addons.vllm import HUB_TOKEN
    from gymctl.stack.hop_tokens import with_hop_tokens

    options = options or PlanOptions()
    version = options.gym_version
    if version is not None and not _VERSION.fullmatch(version):
        hint = "use a version of nemo-gym on PyPI, such as 0.7.0"
        raise InputError(f"--gym-version {version!r} is not a version", hint)
    if options.publish is not None and not _is_ipv4(options.publish):
        raise InputError(
            f"--publish {options.publish!r} is not an IPv4 address", "use an address of this machine, or 0.0.0.0"
        )
    publish_host = options.publish or LOOPBACK
    stack_options = StackOptions(
        version=__version__,
        nofile=options.nofile,
        slice_mode=options.slice_mode,
        gym_root=config.source.gym_root,
        gym_version=version,
        publish_host=publish_host,
        exposure=container_exposure(config, options.expose, options.expose_to, publish_host),
        bounded_logs=options.bounded_logs,
        start_seconds=options.timeout or 0.0,
        is_probed=options.is_probed,
        is_swarm=options.is_swarm,
        hub_token=os.environ.get(HUB_TOKEN, ""),
        policy_token=policy_token(directory or Path.cwd()),
        edge=edge_identity(
            config,
            directory or Path.cwd(),
            publish_host=publish_host,
            has_exposed=bool(options.expose),
            is_swarm=options.is_swarm,
        ),
        egress=machine_egress(os.environ, options.ca_bundle),
        machine_names=machine_names(),
    )
    stack = plan_stack(config, name=stack_name(options.name, directory or Path.cwd()), options=stack_options)
    return with_hop_tokens(stack, config, stack_tokens(config, directory or Path.cwd()))


def stack_name(requested: str | None, directory: Path) -> str:
    """The requested name, or one made of the directory's as Compose does: lower-case letters, digits, ``-``, ``_``.

    Raises:
        InputError: the requested name cannot be a stack's.
    """
    from gymctl.stack.plan_checks import stack_name_problems

    if requested is None:
        return re.sub(r"[^a-z0-9_-]", "", directory.resolve().name.lower()).lstrip("_-") or "gym"
    for problem in stack_name_problems(requested):
        raise InputError(problem.message, problem.hint)
    return requested


def display_arguments(config: Config, arguments: Sequence[str] | None = None) -> tuple[str, ...]:
    """Arguments as they may be written down: an override that sets a secret has ``****`` as its value.

    ``arguments`` are by default those that the configuration was loaded from.
    """
    if arguments is None:
        arguments = config.source.arguments
    return tuple(mask(masked_argument(argument), config.secrets) for argument in arguments)


def masked_configuration(config: Config) -> dict[str, Any]:
    """The whole configuration with secrets masked."""
    masked: dict[str, Any] = mask(config.resolved, config.secrets)
    return masked


def config_digest(config: Config) -> str:
    """16 hexadecimal digits that identify a configuration; secrets do not take part."""
    text = json.dumps(masked_configuration(config), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def check_swarm_publish(publish: str | None) -> None:
    """Check that Swarm can publish on that address.

    Raises:
        InputError: it is a single address; Swarm publishes on all interfaces.
    """
    if publish not in (None, EVERY_INTERFACE):
        hint = "--publish 0.0.0.0 opens the head on every interface of its node; by default it is not published"
        raise InputError(f"--publish {publish}: Swarm cannot publish on one address", hint)


def _is_ipv4(text: str) -> bool:
    from ipaddress import AddressValueError, IPv4Address

    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True
