"""Global values that a server sees in addition to its own entry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gymctl.config import Config, ServerInstance, ServerKind, holds_credential, upstream
from gymctl.config.nested import texts
from gymctl.config.vocabulary import (
    ALLOWED_HOSTS_KEY,
    EDGE_BLOCK,
    HEAD_NAME,
    LOG_FORMAT_KEY,
    OBSERVE_KEY,
    TELEMETRY_BLOCK,
    TOKENS_KEY,
)

_READ = frozenset(upstream.GLOBALS_READ) | {ALLOWED_HOSTS_KEY, LOG_FORMAT_KEY, OBSERVE_KEY}
_NEVER = (HEAD_NAME, "dry_run", "vllm", EDGE_BLOCK, TELEMETRY_BLOCK, TOKENS_KEY)
"""Globals that mean something to gymctl alone."""


def visible_globals(server: ServerInstance, config: Config) -> Iterator[str]:
    """Names of the globals for one server: known ones, and mappings that its fields name (``provider: my_sandbox``)."""
    is_own_agent = server.kind is ServerKind.AGENT and not _is_bundled(server, config)
    named = named_blocks(server, config)
    for key in config.values:
        if key in named or (_is_read(key, is_own_agent=is_own_agent) and not holds_credential(key)):
            yield key


def named_blocks(server: ServerInstance, config: Config) -> frozenset[str]:
    """Global mappings that a server's fields name: they belong to its configuration, credentials included."""
    return frozenset(
        name
        for _, name in texts(server.fields)
        if isinstance(config.values.get(name), Mapping) and name not in _NEVER and name not in _READ
    )


def _is_bundled(server: ServerInstance, config: Config) -> bool:
    return server.folder is not None and server.folder.is_relative_to(config.bundled)


def _is_read(key: str, *, is_own_agent: bool) -> bool:
    """Whether servers read the global ``key``; a user's own agent reads more than gymctl's servers do."""
    if key in _NEVER:
        return False
    if key in _READ:
        return True
    return key.startswith(upstream.GLOBALS_READ_PREFIXES) or (is_own_agent and key in upstream.GLOBALS_READ_BY_AGENTS)


def shared_values(config: Config) -> dict[str, Any]:
    """The global values as servers may get them: without credentials, and of ``observe`` only what servers need."""
    values: dict[str, Any] = without_credentials(config.values)
    if config.observe is not None:
        values[OBSERVE_KEY] = config.observe.of_servers
    return values


def without_credentials(value: Any) -> Any:
    """Global values without those under a credential's key: no server needs them from there."""
    if isinstance(value, Mapping):
        return {key: without_credentials(item) for key, item in value.items() if not holds_credential(str(key))}
    if isinstance(value, list | tuple):
        return [without_credentials(item) for item in value]
    return value
