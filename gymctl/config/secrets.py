"""Which values are secret: what ``env.yaml`` or the environment gives, credentials by their key, URLs with a password.

A secret gets an environment name; containers receive it as a file (Docker secrets) and their configuration refers to
it as ``${oc.env:NAME}``. The prefix keeps such a name clear of variables that mean something to a process.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote

from gymctl.config.diagnostics import KeyPath
from gymctl.config.vocabulary import RESERVED_KEYS, ServerKind, is_server_entry

_KINDS = frozenset(kind.value for kind in ServerKind)
_PREFIX = "GYM_"
MASK = "****"
"""What is printed and written in place of a secret."""
_CREDENTIAL_WORDS = frozenset(
    {"password", "passwd", "passphrase", "secret", "secrets", "credential", "credentials", "apikey"}
)
_CREDENTIAL_ENDS = frozenset({"key", "token", "auth", "authorization", "pat", "cookie", "bearer", "dsn"})
_CREDENTIAL_KEYS = frozenset({"otlp_headers"})
_URL_WITH_PASSWORD = re.compile(r"://[^/@:\s]+:[^/@\s]+@")
_URL_CREDENTIALS = re.compile(r"://([^/@:\s]*):([^/@\s]+)@")
_SHORTEST_HIDDEN = 8  # characters; a shorter credential is a word
_SHORTEST_KEY = 16
_FROM_ENVIRONMENT = re.compile(r"\$\{\s*oc\.env\s*:")


@lru_cache(maxsize=4096)
def holds_credential(key: str) -> bool:
    """Whether a key's name indicates that its value is a credential.

    ``return_token_id_information`` is none (upstream masks it), nor is ``max_output_tokens``.
    """
    if key in _CREDENTIAL_KEYS:
        return True
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
    elif credential and _is_long_number(resolved):
        yield path


def _is_long_number(value: Any) -> bool:
    return isinstance(value, int) and abs(value) >= 10_000_000


def _environment_name(path: KeyPath) -> str:
    parts = [str(part) for part in path if part not in _KINDS]
    return _PREFIX + re.sub(r"[^A-Z0-9]+", "_", "_".join(parts).upper()).strip("_")


def _unused(name: str, secrets: Mapping[str, str]) -> str:
    number = 2
    candidate = name
    while candidate in secrets:
        candidate = f"{name}_{number}"
        number += 1
    return candidate


def masked_argument(argument: str) -> str:
    """An argument of a command line; the value of an override or option that sets a credential is hidden."""
    key, equals, _ = argument.partition("=")
    if equals and holds_credential(key.rpartition(".")[2].lstrip("+-")):
        return f"{key}={MASK}"
    return argument


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
    if credential and (_is_long_number(value) or (isinstance(value, str) and value)):
        return MASK
    if isinstance(value, str):
        return _masked_text(value, hidden)
    return value


def _masked_text(value: str, hidden: list[str]) -> str:
    if value and value in hidden:
        return MASK
    for secret in hidden:
        if len(secret) >= 8:
            value = value.replace(secret, MASK)
    return value


class Masks:
    """Hides a server's credentials in its output: an endpoint or a proxy may repeat them, especially in errors.

    A reply that is not an error is a model's text, of which a word like ``placeholder`` must stay a part: there only
    what looks like a real key is hidden.
    """

    def __init__(self, value: Any) -> None:
        """``value``: the server's part of a configuration, resolved."""
        credentials = {text for text in _credentials(value) if len(text) >= _SHORTEST_HIDDEN}
        self._all = _forms(credentials)
        self._keys = _forms(text for text in credentials if _is_key(text))

    def text(self, text: str) -> str:
        """A text with every credential as ``****``."""
        return self.body(text.encode("utf-8", "surrogatepass"), is_error=True).decode("utf-8", "surrogatepass")

    def body(self, body: bytes, *, is_error: bool) -> bytes:
        """The body of a reply with every credential, or every key, as ``****``."""
        for form in self._all if is_error else self._keys:
            if form in body:
                body = body.replace(form, MASK.encode())
        return body


def _credentials(value: Any, *, under: bool = False) -> Iterator[str]:
    """Texts under a credential's key, without ``Bearer`` and the like, and passwords in URLs."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _credentials(item, under=under or holds_credential(str(key)))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _credentials(item, under=under)
    elif isinstance(value, str):
        if under:
            yield value
            yield from value.split()[1:]
        for match in _URL_CREDENTIALS.finditer(value):
            yield from (match[2], unquote(match[2]))
            yield base64.b64encode(f"{unquote(match[1])}:{unquote(match[2])}".encode()).decode()


def _is_key(text: str) -> bool:
    return (
        len(text) >= _SHORTEST_KEY and re.search("[0-9]", text) is not None and re.search("[A-Za-z]", text) is not None
    )


def _forms(credentials: Iterable[str]) -> tuple[bytes, ...]:
    """How credentials are written in a body: as they are, in JSON, in a URL; the longest first."""
    forms = {form for text in credentials for form in (text, json.dumps(text)[1:-1], quote(text, safe=""), quote(text))}
    return tuple(sorted((form.encode("utf-8", "surrogatepass") for form in forms), key=len, reverse=True))
