"""A model's endpoint on the loopback interface, with prepared answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Endpoint:
    """Answers every POST with the next prepared response, the last one again, and keeps what it received."""

    def __init__(self, *answers: Answer | web.Response | bytes) -> None:
        self.answers = answers
        self.seen: list[tuple[str, dict[str, str], bytes]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((request.path, dict(request.headers), await request.read()))
        answer = self.answers[min(len(self.seen), len(self.answers)) - 1]
        if isinstance(answer, bytes):
            return web.Response(body=answer, content_type="application/json")
        if isinstance(answer, web.Response):
            return web.Response(status=answer.status, body=answer.body, headers=dict(answer.headers))
        return await answer(request)


def status(code: int, text: str = "{}", **headers: str) -> web.Response:
    return web.Response(
        status=code, text=text, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


async def hang_up(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@asynccontextmanager
async def serving(endpoint: Endpoint, port: int = 0) -> AsyncIterator[str]:
    """The endpoint's address, without path, while it listens."""
    application = web.Application()
    application.router.add_post("/{path:.*}", endpoint.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.05)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
