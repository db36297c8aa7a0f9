"""A client that calls servers at a steady rate and never tries again: run as a program, in a container or outside.

Its arguments are calls per second, a JSON list of targets: ``{"url", "body", "headers"}``, without a body for GET, the
file of a CA to trust, or nothing, and the file of a stack's tokens, or nothing, with which a call has the token of the
target's ``server``. It stops when its standard input ends, and prints for each URL how many calls it made, and the
failures.
"""

import asyncio
import json
import ssl
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp


async def main(rate: float, targets: list[dict[str, Any]], ca_file: str = "", tokens_file: str = "") -> None:
    calls: Counter[str] = Counter()
    tokens = token_file(tokens_file) if tokens_file else None
    failures: dict[str, list[str]] = {target["url"]: [] for target in targets}
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.run_in_executor(None, sys.stdin.read).add_done_callback(lambda _: stopped.set())

    async def call(session: aiohttp.ClientSession, target: dict[str, Any]) -> None:
        url, body = target["url"], target.get("body")
        calls[url] += 1
        method = "GET" if body is None else "POST"
        headers = target.get("headers")
        if tokens:
            headers = {"x-gymctl-token": tokens.of(target["server"])}
        try:
            async with session.request(method, url, json=body, headers=headers) as response:
                text = await response.text()
            if response.status != 200:
                failures[url].append(f"{response.status} {text[:300]}")
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            failures[url].append(f"{type(error).__name__}: {error}")

    # a name is looked up for each connection, as most clients do
    trusted = ssl.create_default_context(cafile=ca_file or None)
    connector = aiohttp.TCPConnector(limit=0, use_dns_cache=False, ssl=trusted)
    timeout = aiohttp.ClientTimeout(total=60)
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=jar) as session:
        under_way: set[asyncio.Task[None]] = set()
        due = loop.time()
        print("started", flush=True)
        while not stopped.is_set():
            for target in targets:
                task = asyncio.create_task(call(session, target))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            due += len(targets) / rate
            await asyncio.sleep(max(0.0, due - loop.time()))
        await asyncio.gather(*under_way)
    print(json.dumps({url: {"calls": calls[url], "failures": failures[url]} for url in calls}), flush=True)


def token_file(path: str) -> Any:
    """The tokens of callers, read again when the file changes; only an image of gymctl has the class."""
    from gymctl.server.hop_tokens import TokenFile

    return TokenFile(Path(path))


asyncio.run(main(float(sys.argv[1]), json.loads(sys.argv[2]), *sys.argv[3:]))
