"""Global values that a server sees in addition to its own entry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gymctl.config import Config, ServerInstance, ServerKind, holds_credential, upstream
from gymctl.config.vocabulary import ALLOWED_HOSTS_KEY, HEAD_NAME, LOG_FORMAT_KEY

_READ = frozenset(upstream.GLOBALS_READ) | {ALLOWED_HOSTS_KEY, LOG_FORMAT_KEY}


def visible_globals(server: ServerInstance, config: Config) -> Iterator[str]:
    """Names of the globals for one server: known ones, and mappings that its fields name (``provider: my_sandbox``)."""
    named: set[str] = set()
    bundled = server.folder is not None and server.folder.is_relative_to(config.bundled)
    own_agent = server.kind is ServerKind.AGENT and not bundled
    for key, value in config.values.items():
        if holds_credential(key) or key in (HEAD_NAME, "dry_run", "vllm"):
            continue
        known = key in _READ or key.startswith(upstream.GLOBALS_READ_PREFIXES)
        if known or (own_agent and key in upstream.GLOBALS_READ_BY_AGENTS):
            yield key
        elif isinstance(value, Mapping):
            named = named or set(_strings(server.fields))
            if key in named:
                yield key


def without_credentials(value: Any) -> Any:
    """Global values without what stands under a credential's key: no server needs it from there."""
    if isinstance(value, Mapping):
        return {key: without_credentials(item) for key, item in value.items() if not holds_credential(str(key))}
    if isinstance(value, list | tuple):
        return [without_credentials(item) for item in value]
    return value


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)
