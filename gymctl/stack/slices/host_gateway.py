"""Addresses of this machine in a configuration, which mean something else inside a container.

``localhost`` is the container itself, so the host's gateway name replaces it; names of the machine get an address.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache

from gymctl.config.vocabulary import EVERY_INTERFACE, LOOPBACK
from gymctl.config.wording import listing
from gymctl.stack.slices.interpolation import Piece, Pieces

GATEWAY = "host.docker.internal"
EXTRA_HOST = f"{GATEWAY}:host-gateway"

# 127.1 and 2130706433 are loopback addresses too, but do not occur in configurations
_NAMES = (
    r"(?:[a-z0-9-]+\.)*localhost(?:\.localdomain)?|ip6-(?:localhost|loopback)"
    r"|127(?:\.\d{1,3}){3}|0\.0\.0\.0|\[(?:::1?|::ffff:127(?:\.\d{1,3}){3}|(?:0{1,4}:){7}0{0,3}[01])\]"
)
_SCHEME = r"(?!file:|unix:)[a-z][a-z0-9+.:-]*://(?:[^/?#@\s]*@)*"
# An address begins a text, or follows a comma in one that lists several
_BEGIN = r"(?:^|(?<=[,;\s]))"
_URL = rf"{_BEGIN}{_SCHEME}({_NAMES})(?=[:/?#,;\s]|\Z)"
_WITH_PORT = rf"{_BEGIN}(?:[^/?#@\s,;]*@)*({_NAMES})(?=:\d+(?:[/?#,;\s]|\Z))"
_BARE = rf"{_BEGIN}(?:[^/?#@\s,;]*@)*({_NAMES}|::1)(?=[:/?#,;\s]|\Z)"
# Every loopback name has one of these in it
_PARTS = ("localhost", "loopback", "127.", EVERY_INTERFACE, "[", "::1")
_CALLED = re.compile(rf"{_BEGIN}(?:{_SCHEME}([a-z0-9.-]+)(?=[:/?#,;\s]|\Z)|([a-z0-9.-]+):\d+(?=[/?#,;\s]|\Z))", re.I)
_IPV6_URL = re.compile(rf"{_BEGIN}{_SCHEME}\[([0-9a-f:.]+)\]", re.IGNORECASE)
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?", re.IGNORECASE)
# Text with a blank that does not follow a comma is a sentence, such as a prompt: not addresses
_SENTENCE = re.compile(r"[^,;\s]\s+\S")

# Keys whose value is a host or an address that is called, with or without a port
_HOST_KEY = re.compile(r"(?:^|_)(?:base_url|url|uri|host|hostname|address|addr|endpoint|server)s?$", re.IGNORECASE)
# Further keys under which a name of this machine is an address, but another word need not be a host: `domain: agent`
_LOCAL_KEY = re.compile(r"(?:^|_)(?:ip|domain|gateway|proxy|broker)s?$", re.IGNORECASE)
# Keys whose value is where something listens, or what is allowed: not an address to call
_OWN_KEY = re.compile(r"bind|listen|origin|allow|trust|den(?:y|ied)|block|forbid|exclu|no_proxy|regex|pattern", re.I)


def reroute(pieces: Pieces, gateway: str, key: str) -> Pieces | None:
    """The same text with ``gateway`` in place of this machine's loopback names; None where it has none.

    ``key`` is the last key of the value's path: a bare ``localhost`` is an address only under one such as ``db_host``.
    A secret that the host name is part of keeps its name and gets the new value.
    """
    if _OWN_KEY.search(key) or _SENTENCE.search("".join(piece.text for piece in pieces)):
        return None
    patterns: tuple[str, ...] = (_URL, _WITH_PORT)
    if _HOST_KEY.search(key) or _LOCAL_KEY.search(key):
        patterns = (*patterns, _BARE)
    return _replaced(pieces, gateway, patterns)


def reroute_address(text: str, gateway: str) -> str | None:
    """An address with ``gateway`` as its host, or None where its host is not a loopback name."""
    changed = _replaced((Piece(text),), gateway, (_URL, _BARE))
    if changed is not None:
        return "".join(piece.text for piece in changed)
    return None


def extra_hosts(texts: Iterable[str], machine_names: Sequence[str]) -> tuple[str, ...]:
    """What a container must find under an address of this machine: the gateway and ``machine_names``, where called."""
    called: set[str] = set()
    has_gateway = False
    for text in texts:
        has_gateway = has_gateway or GATEWAY in text
        if not _SENTENCE.search(text):
            called.update((match[1] or match[2]).lower() for match in _CALLED.finditer(text))
    names = [name for name in machine_names if name.lower() in called]
    return (*((EXTRA_HOST,) if has_gateway else ()), *(f"{name}:host-gateway" for name in names))


def gateway_notes(rerouted: Mapping[tuple[str, ...], Sequence[str]], probed: Collection[str]) -> Iterator[str]:
    """One note for all the servers that name localhost in the same fields.

    Args:
        rerouted: servers by their fields whose localhost became the gateway.
        probed: servers whose addresses are tried, and which are left out.
    """
    for fields, names in rerouted.items():
        noted = [name for name in names if name not in probed]
        if fields and noted:
            yield (
                f"{listing(noted)}: {', '.join(fields)} points to localhost; containers will use {GATEWAY} instead. "
                f"Make sure that server listens on an address that containers can reach, not only {LOOPBACK}"
            )


def called_hosts(key: str, text: str) -> Iterator[str]:
    """The hosts of the addresses in a text, in lower case.

    ``key`` is the last key of the value's path: a host without a scheme counts under one such as ``db_host``, or with a
    port and a dot in its name.
    """
    if _OWN_KEY.search(key) or _SENTENCE.search(text):
        return
    is_host = _HOST_KEY.search(key) is not None
    for match in _CALLED.finditer(text):
        host = (match[1] or match[2]).lower()
        if match[1] or is_host or "." in host or host == "localhost":
            yield host
    for match in _IPV6_URL.finditer(text):
        yield match[1].lower()
    if is_host and _NAME.fullmatch(text):
        yield text.lower()


def _replaced(pieces: Pieces, gateway: str, patterns: Sequence[str]) -> Pieces | None:
    """Every address of a text rerouted; each replacement removes one match, so this ends."""
    changed: Pieces | None = None
    while True:
        text = "".join(piece.text for piece in changed or pieces)
        if not any(part in text.lower() for part in _PARTS):
            return changed
        match = next((match for pattern in patterns if (match := _compiled(pattern).search(text))), None)
        if match is None:
            return changed
        changed = _with_host(changed or pieces, text, match.span(1), gateway)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """A pattern of loopback names, compiled for the first text that may have one: that takes milliseconds."""
    return re.compile(pattern, re.IGNORECASE)


def _with_host(pieces: Pieces, text: str, span: tuple[int, int], gateway: str) -> Pieces:
    start, end = span
    offset = 0
    for index, piece in enumerate(pieces):
        after = offset + len(piece.text)
        if offset <= start and end <= after:
            changed = piece.text[: start - offset] + gateway + piece.text[end - offset :]
            return (*pieces[:index], Piece(changed, piece.secret), *pieces[index + 1 :])
        offset = after
    return _as_one_secret(pieces, text[:start] + gateway + text[end:])


def _as_one_secret(pieces: Sequence[Piece], text: str) -> Pieces:
    """Where a secret begins or ends inside the host name, the whole text is kept secret."""
    secret = next(piece.secret for piece in pieces if piece.secret is not None)
    return (Piece(text, secret),)
