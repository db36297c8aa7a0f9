"""``localhost`` in a model's base URL is, inside a container, that container: the host's gateway name replaces it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gymctl.stack.slices.interpolation import Piece, Pieces

GATEWAY = "host.docker.internal"
EXTRA_HOST = f"{GATEWAY}:host-gateway"

_LOOPBACK = re.compile(
    r"^(?:[a-z][a-z0-9+.-]*://)?(?:[^/?#@]*@)*(localhost|127(?:\.\d{1,3}){3}|0\.0\.0\.0|\[::1?\])(?=[:/?#]|\Z)",
    re.IGNORECASE,
)


def is_base_url_key(key: str) -> bool:
    """Whether a model server's field is where it sends its calls (``base_url``, ``openai_base_url``...)."""
    return key.endswith("base_url")


def rerouted(pieces: Pieces, gateway: str) -> Pieces | None:
    """The same URL with ``gateway`` as its host, or None where the host is no loopback name.

    A secret that the host name is part of keeps its name and gets the new value.
    """
    text = "".join(piece.text for piece in pieces)
    found = _LOOPBACK.match(text)
    if found is None:
        return None
    start, end = found.span(1)
    offset = 0
    for index, piece in enumerate(pieces):
        after = offset + len(piece.text)
        if offset <= start and end <= after:
            changed = piece.text[: start - offset] + gateway + piece.text[end - offset :]
            return (*pieces[:index], Piece(changed, piece.secret), *pieces[index + 1 :])
        offset = after
    return _as_one_secret(pieces, text[:start] + gateway + text[end:])


def _as_one_secret(pieces: Sequence[Piece], text: str) -> Pieces:
    """Where a secret begins or ends inside the host name, the whole URL is kept secret."""
    secret = next(piece.secret for piece in pieces if piece.secret is not None)
    return (Piece(text, secret),)
