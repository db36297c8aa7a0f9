"""The configuration of a trainer that starts a stack's servers itself: ``env.nemo_gym`` of NeMo RL.

NeMo RL resolves its whole file and prints it, then passes ``env.nemo_gym`` to NeMo Gym's parser, which resolves it
again. Texts are therefore escaped for two readers, so that references to secrets are resolved by the second only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gymctl.config import Config, ServerInstance, ServerKind, upstream
from gymctl.config.blocks.container_settings import CONTAINER_KEYS
from gymctl.config.sources.nemo_rl import SET_BY_NEMO_RL
from gymctl.config.vocabulary import ALLOWED_HOSTS_KEY, LOG_FORMAT_KEY, OBSERVE_KEY
from gymctl.config.wording import suggestion
from gymctl.engines.atomic_files import new_file_mode, write_atomically
from gymctl.errors import ConfigError, InputError, Problem
from gymctl.stack.addresses import container_addresses
from gymctl.stack.slices.globals import visible_globals
from gymctl.stack.slices.interpolation import dump_slice, escape_all
from gymctl.stack.slices.slices import Slices

_OWN_KEYS = frozenset({ALLOWED_HOSTS_KEY, LOG_FORMAT_KEY, OBSERVE_KEY})


@dataclass(frozen=True)
class TrainerConfig:
    """A configuration for a trainer, as YAML."""

    text: str
    notes: tuple[str, ...]
    """Sentences that the user should read once."""


def nemo_rl_config(config: Config, policy: str | None = None) -> TrainerConfig:
    """``env.nemo_gym`` of NeMo RL for the servers of a configuration.

    Args:
        config: the configuration.
        policy: the model server that NeMo RL replaces by its own; by default ``policy_model``, or the only one.

    Raises:
        InputError: ``policy`` is not a model server, or it is not clear which one is the policy.
        ConfigError: NeMo RL cannot start a server: it runs elsewhere, or calls the stack's own vLLM.
    """
    name = _policy(config, policy)
    problems = list(_problems(config, name))
    if problems:
        raise ConfigError(problems)
    slices = Slices(config, container_addresses(config))
    servers = {
        server.name: _exported(server, slices.data(server.name)[server.name], name)
        for server in config.servers.values()
    }
    gym = {
        "config_paths": [upstream.TRAINING_CONFIG],
        **_globals(config, slices),
        **{key: value for key, value in servers.items() if value},
    }
    text = dump_slice({"env": {"should_use_nemo_gym": True, "nemo_gym": escape_all(gym)}})
    return TrainerConfig(text=text, notes=tuple(_notes(config, name, text)))


def write_config(exported: TrainerConfig, path: Path) -> None:
    """Write the file.

    Raises:
        EngineError: it cannot be written.
    """
    write_atomically(path, exported.text, mode=new_file_mode())


def _policy(config: Config, requested: str | None) -> str:
    """The name of the model server that the trainer replaces."""
    models = [server.name for server in config.servers.values() if server.kind is ServerKind.MODEL]
    if requested is not None:
        if requested not in models:
            hint = suggestion(requested, models) or "the configuration has none"
            raise InputError(f"--policy {requested}: not a model server of the configuration", hint)
        return requested
    if upstream.TRAINING_POLICY in models:
        return upstream.TRAINING_POLICY
    if len(models) != 1:
        hint = f"name it with --policy: {', '.join(models)}" if models else "add one that the agents call"
        raise InputError("the policy is unknown: the configuration does not have exactly one model server", hint)
    return models[0]


def _problems(config: Config, policy: str) -> Iterator[Problem]:
    """Servers that NeMo RL cannot start."""
    for server in config.servers.values():
        where = str(server.location or "")
        if server.name == policy:
            continue
        if server.at is not None:
            message = f"{server.name} runs elsewhere (`at`), and NeMo RL starts every server itself"
            yield Problem(where, message, "remove `at` and add its entrypoint")
        if server.fields.get("vllm") or _calls_own_vllm(server, config):
            message = f"{server.name} calls a model that the stack serves (`vllm` block), which NeMo RL does not start"
            yield Problem(where, message, "set its base_url to a running endpoint")


def _calls_own_vllm(server: ServerInstance, config: Config) -> bool:
    """Whether a server's ``base_url`` names a service of a ``vllm`` block."""
    return any(f"://{block.service}" in url for block in config.vllm.values() for url in server.base_urls)


def _exported(server: ServerInstance, entry: Mapping[str, Any], policy: str) -> dict[str, Any]:
    """A server's entry as NeMo Gym has it; empty where NeMo Gym's configuration of the policy has all of it."""
    fields = entry[server.kind.value][server.implementation]
    own = {key: value for key, value in fields.items() if key not in _fields_of_gymctl(server)}
    if server.name != policy:
        return {server.kind.value: {server.implementation: own}}
    exported: dict[str, Any] = {}
    if policy != upstream.TRAINING_POLICY:
        exported["_copy"] = upstream.TRAINING_POLICY
    other_fields = {key: value for key, value in own.items() if key not in upstream.SET_FOR_TRAINING}
    if server.implementation == upstream.TRAINING_MODEL and other_fields:
        exported[server.kind.value] = {upstream.TRAINING_MODEL: other_fields}
    return exported


def _fields_of_gymctl(server: ServerInstance) -> set[str]:
    """Fields that are an address, or that gymctl read; a server's own code may have others of such names."""
    read: dict[str, object] = {
        "placement": server.placement,
        "resources": server.limits,
        "needs_ray": server.needs_ray,
        **dict.fromkeys(CONTAINER_KEYS, server.container),
    }
    return {"host", "port", "runtime", "slice", "replicas", *(key for key, value in read.items() if value)}


def _globals(config: Config, slices: Slices) -> dict[str, Any]:
    """Global values that a server reads, without those that the trainer sets."""
    values: dict[str, Any] = {}
    for server in config.servers.values():
        data = slices.data(server.name)
        names = set(visible_globals(server, config)) - SET_BY_NEMO_RL - _OWN_KEYS
        values |= {key: data[key] for key in data if key in names}
    return values


def _notes(config: Config, policy: str, text: str) -> Iterator[str]:
    """What the user should know of the exported file, which contains ``text``."""
    server = config.servers[policy]
    if server.implementation != upstream.TRAINING_MODEL:
        yield f"{policy}: {upstream.TRAINING_MODEL} replaces {server.implementation}, because it returns token ids"
    variables = [name for name in config.secrets if f"${{oc.env:{name}}}" in text]
    if variables:
        yield f"set these environment variables for NeMo RL: {', '.join(variables)}"
    for other in config.servers.values():
        place = f"{other.kind.value}/{other.implementation}"
        is_users = other.folder is not None and not other.folder.is_relative_to(config.bundled)
        if other.name != policy and (is_users or place in upstream.NOT_IN_WHEEL):
            yield f"{other.name}: NeMo Gym does not bundle {place}; copy its directory into the NeMo Gym checkout"
