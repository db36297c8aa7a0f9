"""The head server: the whole configuration, and which servers there are and how they are.

It is the one server that a stack publishes. NeMo Gym's own clients read it (server_utils.py): the configuration is a
JSON string that holds YAML, an instance is a mapping of thirteen fields.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from gymctl.server import Call, HopFailed, Reply, Server, Session, endpoint, json_reply
from gymctl.server.settings import server_entries

SERVICES = Path(__file__).resolve().parent.parent
POLL_S = 2.0
PROBE_TIMEOUT_S = 2.0


class Head(Server):
    """Configuration and discovery."""

    kind = "head"

    async def startup(self) -> None:
        """Start watching the servers."""
        self._text = yaml.dump(dict(self.settings.whole), sort_keys=False, allow_unicode=True, width=100_000)
        self._instances = {record["process_name"]: record for record in self._records()}
        self._watch = asyncio.create_task(self._watch_all())

    async def shutdown(self) -> None:
        """Stop watching."""
        self._watch.cancel()

    def _records(self) -> Iterator[dict[str, Any]]:
        """One record for each server, with upstream's thirteen fields in upstream's order."""
        for name, kind, implementation, fields in server_entries(self.settings.whole):
            yield {
                "config_path": name,
                "dir_path": str(SERVICES / kind / implementation),
                "entrypoint": fields.get("entrypoint"),
                "host": fields.get("host"),
                "name": implementation,
                "pid": None,
                "port": fields.get("port"),
                "process_name": name,
                "server_type": kind,
                "start_time": None,
                "status": "unknown_error",
                "uptime_seconds": None,
                "url": self.settings.peers.get(name),
            }

    async def _watch_all(self) -> None:
        while True:
            await asyncio.gather(*(self._probe(name) for name in self._instances))
            await asyncio.sleep(POLL_S)

    async def _probe(self, name: str) -> None:
        """Ask one server for ``/``; any HTTP answer means that it is up."""
        record = self._instances[name]
        try:
            await self.client.get(name, "/", deadline=time.monotonic() + PROBE_TIMEOUT_S)
        except HopFailed as failure:
            record["status"] = "timeout" if failure.kind == "timeout" else "connection_error"
            record["start_time"] = None
        else:
            record["status"] = "success"
            record["start_time"] = record["start_time"] or time.time()

    @endpoint("/global_config_dict_yaml", method="GET")
    async def configuration(self, call: Call, session: Session) -> Reply:
        """The configuration as a JSON string of YAML text; secrets are masked."""
        return json_reply(self._text)

    @endpoint("/server_instances", method="GET")
    async def instances(self, call: Call, session: Session) -> Reply:
        """Every server with its address, live status and uptime."""
        now = time.time()
        return json_reply(
            [
                {**record, "uptime_seconds": now - record["start_time"] if record["start_time"] else None}
                for record in self._instances.values()
            ]
        )


if __name__ == "__main__":
    Head.serve()
