"""The tokens of a stack's servers: the header of a call, and the files that callers and servers read them from.

Every server has a token. It is in the server's own file, which says what calls must have, and in the files of those
that call the server. A file may be changed in place while it is read: its first line is a digest of the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any
from urllib.parse import quote, unquote

from gymctl.config.diagnostics import Findings
from gymctl.config.upstream import LIVENESS_PATHS, READINESS_PATHS
from gymctl.config.vocabulary import TOKENS_KEY

TOKEN_HEADER = "x-gymctl-token"  # noqa: S105 - the name of a header
TOKENS_VARIABLE = "GYMCTL_TOKENS_FILE"
"""Path of the file of a server's process."""
SECRET_PREFIX = "gymctl-tokens"  # noqa: S105 - the name of a secret
"""Of the names of the files. The one with this name has the tokens of all servers, for commands on this machine."""
_DIGEST = "# sha256:"
ACCEPTS = (":accepts-1", ":accepts-2", ":accepts-3")
"""What the lines with accepted tokens begin with, as no quoted name of a server does. A proxy has all three."""
OPEN_PATHS = ("/", *LIVENESS_PATHS, *READINESS_PATHS, "/metrics")
"""Health checks, and metrics, which have a token of their own: GET needs no token."""


@dataclass(frozen=True)
class HopTokens:
    """The content of one file. While tokens are replaced a server has two, of which callers use the first."""

    accepts: tuple[str, ...] = field(default=(), repr=False)
    """Tokens of which a call must have one, at most three."""
    calls: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    """Tokens by the name of the server that is called."""

    @property
    def text(self) -> str:
        """The file: a digest, then a line for each name with its tokens."""
        entries: dict[str, tuple[str, ...]] = {}
        if self.accepts:
            last = self.accepts[-1]
            entries = {name: (token,) for name, token in zip_longest(ACCEPTS, self.accepts, fillvalue=last)}
        entries |= {quote(name, safe=""): tokens for name, tokens in sorted(self.calls.items())}
        lines = "".join(f"{name} {' '.join(tokens)}\n" for name, tokens in entries.items())
        return f"{_DIGEST}{_digest(lines)}\n{lines}"

    @classmethod
    def parse(cls, text: str) -> HopTokens:
        """The reverse of ``text``.

        Raises:
            ValueError: it is not a whole file.
        """
        first, _, lines = text.partition("\n")
        if first != f"{_DIGEST}{_digest(lines)}":
            raise ValueError("the digest in its first line is not the one of its other lines")
        entries = {name: tuple(tokens) for name, *tokens in map(str.split, lines.splitlines())}
        accepts = dict.fromkeys(token for name in ACCEPTS for token in entries.pop(name, ()))
        return cls(tuple(accepts), {unquote(name): tokens for name, tokens in entries.items()})


def secret_name(service: str) -> str:
    """The name of a service's file."""
    return f"{SECRET_PREFIX}-{service}"


def read_tokens(resolved: Mapping[str, Any], servers: Collection[str], findings: Findings) -> bool:
    """The top-level ``tokens:``; false where a server has that name."""
    value = resolved.get(TOKENS_KEY)
    if value is None or TOKENS_KEY in servers:
        return False
    if not isinstance(value, bool):
        findings.problem((TOKENS_KEY,), f"{TOKENS_KEY} is {value!r}", "it must be true or false")
        return False
    return value


def _digest(lines: str) -> str:
    return hashlib.sha256(lines.encode()).hexdigest()
