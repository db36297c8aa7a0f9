"""Which values are secret: what ``env.yaml`` or the environment gives, credentials by their key, URLs with a password.

A secret gets an environment name; containers receive it as a file (Docker secrets) and their configuration refers to
it as ``${oc.env:NAME}``. The prefix keeps such a name clear of variables that mean something to a process.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from gymctl.config.diagnostics import KeyPath
from gymctl.config.vocabulary import RESERVED_KEYS, is_server_entry

_PREFIX = "GYM_"
_CREDENTIAL_WORDS = frozenset(
    {"password", "passwd", "passphrase", "secret", "secrets", "credential", "credentials", "apikey"}
)
_CREDENTIAL_ENDS = frozenset({"key", "token", "auth", "authorization", "pat", "cookie", "bearer", "dsn"})
_URL_WITH_PASSWORD = re.compile(r"://[^/@:\s]+:[^/@\s]+@")
_FROM_ENVIRONMENT = re.compile(r"\$\{\s*oc\.env\s*:")


def holds_credential(key: str) -> bool:
    """Whether a key's name says that its value is a credential.

    ``return_token_id_information`` is none (upstream masks it), nor is ``max_output_tokens``.
    """
    words = [word for word in re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).lower()) if word]
    return bool(words) and (words[-1] in _CREDENTIAL_ENDS or bool(_CREDENTIAL_WORDS & set(words)))


def find_secrets(raw: Mapping[str, Any], resolved: Mapping[str, Any], env: Mapping[str, Any]) -> dict[str, str]:
    """Environment name -> secret value, one name for each distinct value.

    ``raw`` is the merged configuration with interpolations in it, ``resolved`` the same without, ``env`` the data of
    ``env.yaml``.
    """
    secrets: dict[str, str] = {}
    known: set[str] = set()
    for path, value in (*_from_env_file(env, resolved), *_from_servers(raw, resolved)):
        if value and value not in known:
            known.add(value)
            secrets[_unused(_environment_name(path), secrets)] = value
    return secrets


def _from_env_file(env: Mapping[str, Any], resolved: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    for name, written in env.items():
        value = resolved.get(name)
        anything = name not in RESERVED_KEYS and not is_server_entry(name, value)
        for path, leaf in _strings(written, value, (name,)):
            if anything or holds_credential(str(path[-1])):
                yield path, leaf


def _strings(written: Any, value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """The resolved strings at the places that ``written`` names."""
    if isinstance(written, dict) and isinstance(value, dict):
        for key, item in written.items():
            yield from _strings(item, value.get(key), (*path, key))
    elif isinstance(written, list) and isinstance(value, list):
        for index, (item, leaf) in enumerate(zip(written, value, strict=False)):
            yield from _strings(item, leaf, (*path, index))
    elif isinstance(value, str):
        yield path, value


def _from_servers(
    raw: Any, resolved: Any, path: KeyPath = (), credential: bool = False
) -> Iterator[tuple[KeyPath, str]]:
    """Strings under a credential's key, with a password in a URL, or taken from the environment."""
    if isinstance(resolved, dict):
        if isinstance(raw, dict):
            below = raw
        else:
            below = {}
        for key, value in resolved.items():
            yield from _from_servers(below.get(key), value, (*path, key), credential or holds_credential(str(key)))
    elif isinstance(resolved, list):
        if isinstance(raw, list):
            items = raw
        else:
            items = [raw] * len(resolved)
        for index, (item, value) in enumerate(zip(items, resolved, strict=False)):
            yield from _from_servers(item, value, (*path, index), credential)
    elif isinstance(resolved, str):
        from_environment = isinstance(raw, str) and _FROM_ENVIRONMENT.search(raw) is not None
        if credential or from_environment or _URL_WITH_PASSWORD.search(resolved):
            yield path, resolved


def long_numbers(resolved: Any, path: KeyPath = (), credential: bool = False) -> Iterator[KeyPath]:
    """Where a credential was written as a number (of 8 digits and more: a shorter one may be a token's id).

    It would be lost among the numbers: a secret is text, and as text it may begin with a zero.
    """
    if isinstance(resolved, dict):
        for key, value in resolved.items():
            yield from long_numbers(value, (*path, key), credential or holds_credential(str(key)))
    elif isinstance(resolved, list):
        for index, value in enumerate(resolved):
            yield from long_numbers(value, (*path, index), credential)
    elif credential and isinstance(resolved, int) and abs(resolved) >= 10_000_000:
        yield path


def _environment_name(path: KeyPath) -> str:
    parts = [
        str(part) for part in path if part not in ("responses_api_models", "responses_api_agents", "resources_servers")
    ]
    return _PREFIX + re.sub(r"[^A-Z0-9]+", "_", "_".join(parts).upper()).strip("_")


def _unused(name: str, secrets: Mapping[str, str]) -> str:
    number = 2
    candidate = name
    while candidate in secrets:
        candidate = f"{name}_{number}"
        number += 1
    return candidate


def mask(value: Any, secrets: Mapping[str, str]) -> Any:
    """A copy of ``value`` with every secret, and everything under a credential's key, as ``****``."""
    hidden = sorted(secrets.values(), key=len, reverse=True)
    return _mask(value, hidden, credential=False)


def _mask(value: Any, hidden: list[str], *, credential: bool) -> Any:
    if isinstance(value, dict):
        return {
            key: _mask(item, hidden, credential=credential or holds_credential(str(key))) for key, item in value.items()
        }
    if isinstance(value, list):
        return [_mask(item, hidden, credential=credential) for item in value]
    if not isinstance(value, str) or not value:
        return value
    if credential or value in hidden:
        return "****"
    for secret in hidden:
        if len(secret) >= 8:
            value = value.replace(secret, "****")
    return value
