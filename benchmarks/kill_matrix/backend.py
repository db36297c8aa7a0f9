"""The model's backend: answers by script, and misbehaves as ``POST /fault`` requests.

``python -m benchmarks.kill_matrix.backend PORT SEED``. A fault is ``{"kind": ..., "share": 0 to 1}`` and what its kind
needs: ``status`` (``status``, ``headers``), ``reset``, ``silence`` (no answer until the fault is over). ``{}`` ends it.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from typing import Any

from aiohttp import web

from gymctl.server.responses import function_call, message, response, usage

DELAY_S = 0.03


class Backend:
    """A model that opens the box and answers with its content."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._fault: dict[str, Any] = {}
        self._over = asyncio.Event()

    async def fault(self, request: web.Request) -> web.Response:
        """Replace the fault; requests that the old one blocked continue."""
        self._fault = await request.json()
        self._over.set()
        self._over = asyncio.Event()
        return web.json_response({})

    async def responses(self, request: web.Request) -> web.StreamResponse:
        """One model call."""
        body = json.loads(await request.read())
        fault = self._fault
        if fault and self._random.random() < fault.get("share", 1.0):
            if fault["kind"] == "status":
                return web.Response(status=fault["status"], headers=fault.get("headers", {}), text="scripted failure")
            if fault["kind"] == "reset" and request.transport is not None:
                request.transport.abort()
                return web.Response()
            await self._over.wait()
        await asyncio.sleep(DELAY_S)
        return web.json_response(response("scripted", [answer(body["input"])], usage=usage(10, 5)))


def answer(items: list[dict[str, Any]]) -> dict[str, Any]:
    """The call of the tool, then its word as text; a tool's answer without a word is reported as a failure."""
    outputs = [item["output"] for item in items if item.get("type") == "function_call_output"]
    if not outputs:
        return function_call("open_box", "{}")
    try:
        return message(json.loads(outputs[-1])["word"])
    except (ValueError, KeyError, TypeError):
        return message(f"the box did not open: {outputs[-1]}")


def main() -> None:
    """Serve until killed."""
    port = int(sys.argv[1])
    seed = int(sys.argv[2])
    app = web.Application()
    backend = Backend(seed)
    app.router.add_post("/v1/responses", backend.responses)
    app.router.add_post("/fault", backend.fault)
    app.router.add_get("/", lambda _: asyncio.sleep(0, web.json_response({})))
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None, shutdown_timeout=0.1)


if __name__ == "__main__":
    main()
