"""Ask a head to replace or to show endpoints of model servers: from this process, or in a job on a stack's network."""

from __future__ import annotations

import json
import sys
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from gymctl.config.blocks.hop_tokens import TOKEN_HEADER
from gymctl.server.models.policy_lists import CHANGE_S

_WAIT_S = CHANGE_S + 10.0


def ask_head(url: str, token: str, change: dict[str, Any] | None, hop_token: str = "") -> tuple[int, Any]:
    """The status and the JSON value of the head's reply; status 0 and a sentence when there is none.

    Args:
        url: base URL of the head.
        token: the policy token.
        change: body of ``POST /policy``; None to see the lists.
        hop_token: the head's token, in a stack with ``tokens: true``.
    """
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    if hop_token:
        headers[TOKEN_HEADER] = hop_token
    body = None if change is None else json.dumps(change).encode()
    request = Request(f"{url}/policy", data=body, headers=headers)  # noqa: S310 - the stack's own head
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=_WAIT_S) as reply:
            return reply.status, json.load(reply)
    except HTTPError as error:
        return error.code, _json(error.read())
    except (OSError, HTTPException, ValueError) as error:
        return 0, str(error)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")


def main() -> None:
    """Read ``{"url", "token", "change", "hop_token"}`` from standard input, and print ``[status, value]``."""
    print(json.dumps(ask_head(**json.load(sys.stdin))), flush=True)


if __name__ == "__main__":
    main()
