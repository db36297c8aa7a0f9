"""A server with no features, as a floor: uvicorn, a raw ASGI function, orjson and a bare HTTP client.

python floor_server.py ROLE PORT [NAME=PORT...]     roles: model, environment, agent

It does what a rollout needs and nothing else: no checks, deadlines, sessions, retries, exact numbers or errors.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from gymctl.server.calls.connection_pool import ConnectionPool

_LIMIT = 1024
_HEAD = "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
Answer = Callable[[bytes, str], Awaitable[bytes]]


class Peers:
    """The other servers, by name, over connections that are kept."""

    def __init__(self, ports: dict[str, int]) -> None:
        self._ports = ports
        self._pool: ConnectionPool | None = None

    async def post(self, name: str, path: str, body: bytes) -> bytes:
        """The body of the answer, whatever its status."""
        if self._pool is None:
            self._pool = ConnectionPool(_LIMIT, 60.0)
        head = _HEAD.format(path=path, length=len(body)).encode()
        response = await self._pool.exchange(("127.0.0.1", self._ports[name]), head, body, 10.0)
        return response.body


def model(peers: Peers) -> Answer:
    """Passes every call on."""

    async def answer(body: bytes, path: str) -> bytes:
        """Pass the call on to the backend."""
        return await peers.post("backend", path, body)

    return answer


def environment(peers: Peers) -> Answer:
    """One tool, and a verdict of 1 for everybody."""
    del peers

    async def answer(body: bytes, path: str) -> bytes:
        """Answer as the environment would."""
        if path == "/get_weather":
            city = orjson.loads(body)["city"]
            return orjson.dumps({"city": city, "weather_description": f"The weather in {city} is cold."})
        if path == "/verify":
            return body[:-1] + b',"reward":1.0}'
        return b"{}"

    return answer


def agent(peers: Peers) -> Answer:
    """Seed, calls of the model and of tools until it answers, verify."""

    async def answer(body: bytes, path: str) -> bytes:
        """Run one rollout."""
        del path
        params = orjson.loads(body)["responses_create_params"]
        items = [orjson.dumps(item) for item in params.pop("input")]
        others = orjson.dumps(params)[1:-1]
        output: list[bytes] = []
        await peers.post("environment", "/seed_session", body)
        while True:
            request = b'{"input":[' + b",".join(items) + b"]," + others + b"}"
            reply = orjson.loads(await peers.post("model", "/v1/responses", request))
            new = [orjson.dumps(item) for item in reply["output"]]
            calls = [item for item in reply["output"] if item["type"] == "function_call"]
            for call in calls:
                result = await peers.post("environment", f"/{call['name']}", call["arguments"].encode())
                item = {"type": "function_call_output", "call_id": call["call_id"], "output": result.decode()}
                new.append(orjson.dumps(item))
            items += new
            output += new
            if not calls:
                break
        del reply["output"]
        response = orjson.dumps(reply)[:-1] + b',"output":[' + b",".join(output) + b"]}"
        return await peers.post("environment", "/verify", body.rstrip()[:-1] + b',"response":' + response + b"}")

    return answer


ROLES: dict[str, Callable[[Peers], Answer]] = {"model": model, "environment": environment, "agent": agent}


def application(answer: Answer) -> Callable[..., Awaitable[None]]:
    """The ASGI function around an answer."""

    async def app(scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Any]) -> None:
        """Read the body, answer, send."""
        body = b""
        while True:
            message = await receive()
            body += message["body"]
            if not message.get("more_body"):
                break
        content = await answer(body, scope["path"])
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    return app


def main(role: str, port: str, *peers: str) -> None:
    """Serve until a signal ends the process."""
    import uvicorn

    ports = {name: int(number) for name, _, number in (peer.partition("=") for peer in peers)}
    app = application(ROLES[role](Peers(ports)))
    uvicorn.run(app, port=int(port), loop="uvloop", http="httptools", lifespan="off", access_log=False, backlog=4096)


if __name__ == "__main__":
    main(*sys.argv[1:])
