"""Ask model servers whether their endpoints answer: in a job on a stack's network, or from this process."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from urllib.request import ProxyHandler, Request, build_opener

from gymctl.config.blocks.hop_tokens import TOKEN_HEADER
from gymctl.config.vocabulary import ENDPOINT_PROBE

# a server's own probe ends before
_WAIT_S = 7.0
_MOST_THREADS = 32


def ask_probes(urls: Mapping[str, str], tokens: Mapping[str, str]) -> dict[str, list[str]]:
    """What keeps the endpoints of each model server from answering it; without the servers that have no probe.

    Args:
        urls: base URL of each server, by name.
        tokens: token of each server that needs one.
    """
    if not urls:
        return {}
    with ThreadPoolExecutor(max_workers=min(_MOST_THREADS, len(urls))) as pool:
        answers = list(pool.map(_ask, urls.values(), (tokens.get(name, "") for name in urls)))
    return {name: problems for name, problems in zip(urls, answers, strict=True) if problems is not None}


def _ask(url: str, token: str) -> list[str] | None:
    request = Request(f"{url}{ENDPOINT_PROBE}", headers={TOKEN_HEADER: token} if token else {})  # noqa: S310 - own server
    opener = build_opener(ProxyHandler({}))
    try:
        with opener.open(request, timeout=_WAIT_S) as reply:
            problems = json.load(reply)["problems"]
    except (OSError, HTTPException, ValueError, KeyError, TypeError):
        return None  # a server of another kind; its health check covers it
    if not isinstance(problems, list):
        return None
    return [problem for problem in problems if isinstance(problem, str)]


def main() -> None:
    """Read ``{"urls": {name: url}, "tokens": {name: token}}`` from standard input, and print ``{name: [problem]}``."""
    print(json.dumps(ask_probes(**json.load(sys.stdin))), flush=True)


if __name__ == "__main__":
    main()
