"""The node server: reports this machine's servers and their status to a head on another machine.

One runs in every stack that was started with ``--role worker``. It is healthy once the head has accepted it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import Any

import orjson

from gymctl.errors import InputError
from gymctl.server import Call, HopFailed, Reply, Server, Session, endpoint, json_reply
from gymctl.server.calls.registration import HEARTBEAT_S
from gymctl.server.calls.remote import Ways

PROBE_TIMEOUT_S = 2.0
CALL_TIMEOUT_S = 5.0
LEAVE_TIMEOUT_S = 1.0
_FINAL = (401, 403, 409, 421, 422)  # what the head will say again, however often it is asked

log = logging.getLogger("gymctl.server")


class NodeServer(Server):
    """Registers this machine's servers with the head, and again every few seconds."""

    kind = "node"

    registered = False

    async def startup(self) -> None:
        """Register; a head that is not there yet is waited for, one that refuses ends this server."""
        fields = self.settings.fields
        self._node = str(fields["node"])
        self._token = str(fields["token"])
        self._head = str(fields["head"])
        self._servers = list(fields["servers"])
        self._ways = Ways(limit=2)
        self._last = ""
        try:
            await self._until_registered()
        except BaseException:  # refused, or stopped while still waiting for the head
            await self._ways.close()
            raise
        self.registered = True
        self._beats = asyncio.create_task(self._go_on())

    async def shutdown(self) -> None:
        """Leave the head's list."""
        self._beats.cancel()
        with suppress(asyncio.CancelledError):
            await self._beats
        with suppress(HopFailed):
            await self._call("/nodes/leave", {"token": self._token, "node": self._node}, LEAVE_TIMEOUT_S)
        await self._ways.close()

    async def _until_registered(self) -> None:
        while (status := await self._register()) != 200:
            if status in _FINAL:
                raise InputError(f"the head at {self._head} refuses {self._node}: {self._last}", _hint(status))
            await asyncio.sleep(HEARTBEAT_S)

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            await self._register()

    async def _register(self) -> int:
        """Say once that this machine is there; the head's status, or 0 when it does not answer."""
        servers = await asyncio.gather(*(self._seen(dict(server)) for server in self._servers))
        body = {"token": self._token, "node": self._node, "servers": servers}
        try:
            reply = await self._call("/nodes", body)
        except HopFailed as failure:
            self._say(f"{self._head} does not answer: {failure.body or failure.kind}", "warning")
            return 0
        if reply.status != 200:
            self._say(_detail(reply), "warning")
            return reply.status
        if b'"unreached"' in reply.body:
            accepted = reply.json()
        else:
            accepted = None
        if accepted is None:
            self._say(f"{self._head} is not a gymctl head server", "warning")
            return 0
        if accepted["unreached"]:
            urls = ", ".join(server["url"] for server in servers if server["name"] in accepted["unreached"])
            self._say(f"the head at {self._head} cannot reach {urls}; check for a firewall in between", "warning")
        else:
            self._say(f"registered as {self._node} with {self._head}", "info")
        return reply.status

    async def _call(self, path: str, body: dict[str, Any], timeout: float = CALL_TIMEOUT_S) -> Reply:
        call = Call(path, orjson.dumps(body), deadline=time.monotonic() + timeout)
        return await self._ways.send("head", self._head, call)

    async def _seen(self, server: dict[str, Any]) -> dict[str, Any]:
        """A server as it is registered, with how this machine finds it."""
        try:
            await self.client.get(server["name"], "/", deadline=time.monotonic() + PROBE_TIMEOUT_S)
        except HopFailed as failure:
            return {**server, "status": "timeout" if failure.kind == "timeout" else "connection_error"}
        return {**server, "status": "success"}

    def _say(self, message: str, level: str) -> None:
        """Log what is new; the same every few seconds would bury it."""
        if message != self._last:
            log.log(logging.getLevelName(level.upper()), "%s", message)
        self._last = message

    @endpoint("/", method="GET")
    async def alive(self, call: Call, session: Session) -> Reply:
        """Report that the head has accepted this machine; the status is 503 until then."""
        if self.registered:
            return await super().alive(call, session)
        return json_reply({"detail": "not registered"}, 503)

    @endpoint("/status", method="GET")
    async def status(self, call: Call, session: Session) -> Reply:
        """Show the name of this machine, the head it registers with, and the result of the last attempt."""
        return json_reply({"node": self._node, "head": self._head, "last": self._last})


def _detail(reply: Reply) -> str:
    try:
        return str(reply.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"it answers {reply.status}"


def _hint(status: int) -> str:
    hints = {
        401: "use the coordinator's token: copy its .gymctl/head-token here and pass it with --token-file",
        403: "check that it is a head started with --role coordinator or --role head",
        409: "rename this machine's server, or stop the one with that name",
    }
    return hints.get(status, "check that both machines run the same version of gymctl")


if __name__ == "__main__":
    NodeServer.serve()
