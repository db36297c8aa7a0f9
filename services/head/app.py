"""The head server: the whole configuration, and which servers there are and how they are.

It is the one server that every stack publishes; where others are exposed too, clients outside of the stack are given
addresses that they can reach. NeMo Gym's own clients read it (server_utils.py): the configuration is a
JSON string that holds YAML, an instance is a mapping of thirteen fields. With a token, the workers of other machines
register here, and their servers are listed with the stack's own.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from instance_records import instance_record, note_probe, registered_entry, registered_record
from outside_view import OutsideView
from pydantic import ValidationError

from gymctl.config.environment_relays import with_relays
from gymctl.config.upstream import LIVENESS_PATHS, READINESS_PATHS
from gymctl.config.vocabulary import FOLDERS_KEY, HEAD_NAME, OUTSIDE_KEY, POLICY_WATCH_KEY, PROBED
from gymctl.server import Call, HopFailed, Reply, Server, Session, endpoint, json_reply
from gymctl.server.calls.registration import EXPIRES_S, NameTakenError, RegisteredServer, Registration, Registry
from gymctl.server.calls.remote import Ways
from gymctl.server.endpoints import Endpoint
from gymctl.server.models.policy_calls import PolicyCalls
from gymctl.server.models.policy_watch import WATCH_PATH
from gymctl.server.monitoring import Gauge
from gymctl.server.settings import server_entries

POLL_S = 2.0
PROBE_TIMEOUT_S = 2.0
_MOST_DOCUMENTS = 16  # that are remembered, one for each name by which the head is called
_FINE = ("success", "unknown_error")  # the latter: not asked yet

log = logging.getLogger("gymctl.server")


class HeadServer(Server):
    """Configuration and discovery."""

    kind = "head"
    default_body_mb = 4.0  # it takes registrations of machines, and nothing larger

    async def startup(self) -> None:
        """Start watching the servers."""
        self._whole = {**self.settings.whole, HEAD_NAME: dict(self.settings.whole.get(HEAD_NAME) or {})}
        self._token = str(self._whole[HEAD_NAME].pop("token", "") or "")
        self._policies = PolicyCalls(str(self._whole[HEAD_NAME].pop("policy_token", "") or ""))
        self._outside = OutsideView(self._whole[HEAD_NAME].pop(OUTSIDE_KEY, None) or {})
        self._watching = tuple(self._whole[HEAD_NAME].pop(POLICY_WATCH_KEY, None) or ())
        folders = self._whole[HEAD_NAME].pop(FOLDERS_KEY, None) or {}
        self._instances = {record["process_name"]: record for record in self._records(folders)}
        self._registry = Registry(self._instances)
        self._remote: dict[str, dict[str, Any]] = {}
        self._ways = Ways(limit=4)
        self._looked = False
        self._is_ready = False
        self._added: dict[str, Any] = {}
        self._documents: dict[str, bytes] = {}
        self._watch = asyncio.create_task(self._watch_all())

    async def shutdown(self) -> None:
        """Stop watching."""
        self._watch.cancel()
        await self._ways.close()

    def _records(self, folders: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """One record for each server of this stack; ``folders`` of those that are not among gymctl's own."""
        with_address = (entry for entry in server_entries(self._whole) if entry[0] in self.settings.peers)
        for name, kind, implementation, fields in with_address:  # a relay has none: its agent answers in its place
            address = (fields.get("host"), fields.get("port"), self.settings.peers.get(name))
            yield instance_record(name, kind, implementation, fields.get("entrypoint"), address, folders.get(name))

    async def _watch_all(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)  # at first they are all starting and do not answer
            try:
                await self._look()
            except Exception:  # one look that failed is no reason to stop watching
                log.exception("the servers could not be checked")

    def gauges(self) -> Iterator[Gauge]:
        """Which servers there should be, and which of them answer."""
        records = (*self._instances.values(), *self._remote.values())
        yield Gauge("gymctl_servers_expected", "Servers of the stack and of registered machines.", {}, len(records))
        up = {record["process_name"]: record["status"] == "success" for record in records}
        yield Gauge("gymctl_servers_up", "Servers that answered the head's last check.", {}, sum(up.values()))
        for name, is_up in up.items():
            yield Gauge("gymctl_server_up", "Whether a server answered the head's last check.", {"server": name}, is_up)

    def all_endpoints(self) -> Iterator[Endpoint]:
        """Its own, and the paths that NeMo Gym's head answers health checks on."""
        yield from super().all_endpoints()
        for path in LIVENESS_PATHS:
            yield Endpoint(path, self.alive, "GET", self.alive, uses_session=False)
        for path in READINESS_PATHS:
            yield Endpoint(path, self.ready, "GET", self.ready, uses_session=False)

    async def ready(self, call: Call, session: Session) -> Reply:
        """Report that every server of the stack has answered once; the status is 503 until then."""
        if not self._is_ready:
            await self._look()
        if self._is_ready:
            return json_reply({"status": "ok"})
        return json_reply({"status": "starting"}, 503)

    async def _look(self) -> None:
        """Ask every server, this stack's and those of other machines, whether it is up."""
        self._list_registered()
        await asyncio.gather(
            *(self._probe(name) for name in self._instances),
            *(self._probe_remote(server) for server, node in self._registry.servers()),
        )
        self._looked = True
        if all(record["status"] == "success" for record in self._instances.values()):
            self._is_ready = True

    def _list_registered(self) -> None:
        """Bring the records of other machines' servers up to the registry."""
        records: dict[str, dict[str, Any]] = {}
        for server, _ in self._registry.servers():
            before = self._remote.get(server.name)
            if before and before["url"] == server.url:
                records[server.name] = before
            else:
                records[server.name] = registered_record(server)
        self._remote = records

    async def _probe(self, name: str) -> None:
        """Ask one server for ``/``; any HTTP answer means that it is up."""
        try:
            await self.client.get(name, "/", deadline=time.monotonic() + PROBE_TIMEOUT_S)
        except HopFailed as failure:
            note_probe(self._instances[name], failure)
        else:
            note_probe(self._instances[name], None)

    async def _probe_remote(self, server: RegisteredServer) -> None:
        """The same over the address that its machine gave: only an answer here shows that others can reach it."""
        record = self._remote.get(server.name)
        if record is None:
            return
        call = Call("/", method="GET", deadline=time.monotonic() + PROBE_TIMEOUT_S)
        try:
            await self._ways.send(server.name, server.url, call)
        except HopFailed as failure:
            note_probe(record, failure)
        else:
            note_probe(record, None)

    @endpoint("/global_config_dict_yaml", method="GET")
    async def configuration(self, call: Call, session: Session) -> Reply:
        """Return the configuration as a JSON string of YAML text, with secrets masked."""
        registered = (server for server, _ in self._registry.servers())
        added = {server.name: registered_entry(server) for server in registered if server.name not in self._whole}
        if added != self._added or len(self._documents) > _MOST_DOCUMENTS:
            self._documents.clear()
            self._added = added
        host = self._outside.host(call)
        if host not in self._documents:
            values = with_relays(self._outside.values({**self._whole, **added}, host))
            self._documents[host] = json_reply(_yaml(values)).body
        return Reply(200, self._documents[host])

    @endpoint("/server_instances", method="GET")
    async def instances(self, call: Call, session: Session) -> Reply:
        """List every server with its address, live status and uptime."""
        if not self._looked:
            await self._look()
        now = time.time()
        self._list_registered()
        host = self._outside.host(call)
        records = (*(self._outside.record(item, host) for item in self._instances.values()), *self._remote.values())
        return json_reply(
            [
                {**record, "uptime_seconds": now - record["start_time"] if record["start_time"] else None}
                for record in records
            ]
        )

    @endpoint("/nodes", method="GET")
    async def nodes(self, call: Call, session: Session) -> Reply:
        """List the registered machines, whether they are alive, and whether the head reaches their servers."""
        self._list_registered()
        nodes = self._registry.records()
        for node in nodes:
            for server in node["servers"]:
                server["reached"] = self._remote[server["name"]]["status"]
        return json_reply(nodes)

    @endpoint("/nodes")
    async def register(self, call: Call, session: Session) -> Reply:
        """Register a machine and its servers; it must be repeated within ``expires_seconds``. Needs the token."""
        registration, refusal = self._registration(call)
        if registration is None:
            return refusal
        try:
            is_new = self._registry.register(registration.node, registration.servers)
        except NameTakenError as error:
            return json_reply({"detail": str(error)}, 409)
        self._list_registered()
        if is_new:
            names = ", ".join(server.name for server in registration.servers) or "no server"
            log.info("%s registered with %s", registration.node, names)
            await asyncio.gather(*(self._probe_remote(server) for server in registration.servers))
        reachable = (server for server in registration.servers if server.status == "success")
        unreached = [server.name for server in reachable if self._remote[server.name]["status"] not in _FINE]
        return json_reply({"expires_seconds": EXPIRES_S, "unreached": unreached})

    @endpoint("/nodes/leave")
    async def leave(self, call: Call, session: Session) -> Reply:
        """Remove a machine and its servers. Needs the token."""
        registration, refusal = self._registration(call)
        if registration is None:
            return refusal
        if self._registry.leave(registration.node):
            log.info("%s left", registration.node)
        return json_reply({})

    @endpoint(WATCH_PATH, while_wanted=True, uses_session=False)
    async def watch_policy(self, call: Call, session: Session) -> Reply:
        """Return the endpoints of a model server when they are newer than those that the caller has."""
        return await self._policies.watch(call, self._policy_servers())

    @endpoint("/policy", method="GET", uses_session=False)
    async def policies(self, call: Call, session: Session) -> Reply:
        """List the endpoints set since the stack was started, by model server. Needs the policy token."""
        return self._policies.show(call)

    @endpoint("/policy", uses_session=False)
    async def set_policy(self, call: Call, session: Session) -> Reply:
        """Replace the endpoints of a model server; answers when all its processes use them. Needs the policy token."""
        return await self._policies.set(call, self._policy_servers())

    def _policy_servers(self) -> list[str]:
        """The model servers that follow a list of endpoints, this stack's and those of other machines."""
        registered = (server.name for server, _ in self._registry.servers() if server.implementation in PROBED)
        return [*self._watching, *registered]

    def _registration(self, call: Call) -> tuple[Registration | None, Reply]:
        """The registration in a call, or the reply that refuses it."""
        if not self._token:
            return None, json_reply({"detail": "this head accepts no workers; start it with --role coordinator"}, 403)
        try:
            registration = Registration.model_validate_json(call.body)
        except ValidationError as error:
            return None, json_reply(
                {"detail": error.errors(include_url=False, include_input=False, include_context=False)}, 422
            )
        if not hmac.compare_digest(registration.token.encode(), self._token.encode()):
            log.warning("%s was refused: its token does not match this head's", registration.node)
            return None, json_reply({"detail": "the token does not match this head's"}, 401)
        return registration, Reply()


def _yaml(whole: dict[str, Any]) -> str:
    return yaml.dump(whole, sort_keys=False, allow_unicode=True, width=100_000)


if __name__ == "__main__":
    HeadServer.serve()
