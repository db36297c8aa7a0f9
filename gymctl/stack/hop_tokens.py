"""A stack with ``tokens: true``: each server accepts only calls with its token, which only its callers have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from gymctl.config import Config, ServerInstance, SliceMode
from gymctl.config.blocks.hop_tokens import SECRET_PREFIX, TOKENS_VARIABLE, HopTokens, secret_name
from gymctl.config.vocabulary import EDGE_TOKEN, HEAD_NAME, TOKENS_KEY
from gymctl.errors import Problem
from gymctl.stack.addons.nemo_gym import GYM_ROOT
from gymctl.stack.addons.policy_watch import watching_models
from gymctl.stack.plan import StackPlan
from gymctl.stack.plan_checks import raise_any
from gymctl.stack.runtime import Runtimes
from gymctl.stack.service import PROXY_IMPLEMENTATION, ServicePlan
from gymctl.stack.service_names import HEAD_SERVICE, service_names

_SECRETS = "/run/secrets"

Tokens = Mapping[str, tuple[str, ...]]
"""What each server of a stack accepts, by its name; the head's is ``head_server``. Callers use the first one."""


def token_owners(config: Config) -> tuple[str, ...]:
    """The servers of a configuration that have a token; none without ``tokens: true``."""
    if not config.tokens:
        return ()
    return (HEAD_NAME, *config.started)


def with_hop_tokens(plan: StackPlan, config: Config, tokens: Tokens) -> StackPlan:
    """A plan in which every server has a file with its tokens; as it is without ``tokens: true``.

    Raises:
        ConfigError: a server cannot send tokens.
    """
    if not config.tokens:
        return plan
    raise_any(_problems(plan, config))
    runtimes = Runtimes(config, version=plan.options.gym_version, root=plan.options.gym_root)
    watching = watching_models(config, runtimes) if plan.options.policy_token else ()
    files = token_files(config, tokens, callers_of_head=watching, mode=plan.options.slice_mode)
    names = {service.name: service.server or HEAD_NAME for service in plan.services if _checks_tokens(service)}
    secrets = {secret_name(service): files[server].text for service, server in names.items()}
    edges = [service for service in plan.services if EDGE_TOKEN in service.secrets]
    for edge in edges:
        called = {server: tokens[server][:1] for server in (HEAD_NAME, *edge.used_by)}
        secrets[secret_name(edge.name)] = HopTokens(calls=called).text
    return replace(
        plan,
        services=tuple(
            _with_file(service) if secret_name(service.name) in secrets else service for service in plan.services
        ),
        secrets={**plan.secrets, **secrets, SECRET_PREFIX: HopTokens(calls=tokens).text},
    )


def token_files(
    config: Config, tokens: Tokens, *, callers_of_head: tuple[str, ...], mode: SliceMode = SliceMode.CLOSURE
) -> dict[str, HopTokens]:
    """The file of each server, by its name: what it accepts, and the tokens of the servers that it calls.

    Args:
        config: the configuration.
        tokens: of all servers.
        callers_of_head: servers that ask the head while they run.
        mode: with ``full``, every server may call every other.
    """
    files = {HEAD_NAME: HopTokens(accepts=tokens[HEAD_NAME])}
    for name, server in config.started.items():
        called = [*_called(server, config, mode), *([HEAD_NAME] if name in callers_of_head else [])]
        calls = {other: tokens[other][:1] for other in called if other != name}
        files[name] = HopTokens(accepts=tokens[name], calls=calls)
    return files


def _called(server: ServerInstance, config: Config, mode: SliceMode) -> list[str]:
    """The servers of the stack that a server may call: those to which its configuration refers."""
    if mode == SliceMode.FULL or server.fields.get("slice") == "full":
        return list(config.started)
    return [reference.name for reference in server.references if reference.name in config.started]


def _checks_tokens(service: ServicePlan) -> bool:
    """Whether a service is a server of gymctl, or the proxy in front of one of NeMo Gym, which checks nothing."""
    if service.implementation == PROXY_IMPLEMENTATION:
        return service.kind != "edge"
    return bool(service.config_path) and not _is_of_nemo_gym(service)


def _is_of_nemo_gym(service: ServicePlan) -> bool:
    return service.working_dir.startswith(f"{GYM_ROOT}/")


def _with_file(service: ServicePlan) -> ServicePlan:
    """A service that can read its file."""
    name = secret_name(service.name)
    service = replace(service, secrets=(*service.secrets, name))
    if not service.config_path:  # a proxy, whose own configuration names the file
        return service
    return replace(service, environment=(*service.environment, (TOKENS_VARIABLE, f"{_SECRETS}/{name}")))


def _problems(plan: StackPlan, config: Config) -> Iterator[Problem]:
    """Servers that cannot send tokens."""
    where = str(config.origins.of((TOKENS_KEY,)) or "")
    if plan.role:
        message = f"{TOKENS_KEY} is not available with --role"
        yield Problem(where, message, f"run the stack on one machine or a Swarm, or remove `{TOKENS_KEY}: true`")
    for service in filter(_is_of_nemo_gym, plan.services):
        server = config.servers[service.server]
        called = _called(server, config, SliceMode.CLOSURE)
        if called:
            message = f"{TOKENS_KEY}: {server.name} runs on NeMo Gym and sends no token to {called[0]}"
            hint = f"set `runtime: gymctl` for a server that gymctl has too, or remove `{TOKENS_KEY}: true`"
            yield Problem(where, message, hint)


def local_token_files(config: Config, tokens: Tokens) -> dict[str, str]:
    """The files of a stack of the local engine by their names, which containers would have as secrets."""
    watching = watching_models(config, Runtimes(config))
    files = token_files(config, tokens, callers_of_head=watching)
    texts = {local_file(config, server): file.text for server, file in files.items()}
    return {**texts, SECRET_PREFIX: HopTokens(calls=tokens).text}


def local_file(config: Config, server: str) -> str:
    """The name of the file of a server, or of the head, in a stack of the local engine."""
    return secret_name(service_names(config.servers).get(server, HEAD_SERVICE))
