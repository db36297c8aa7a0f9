"""The configuration as clients outside of the stack see it: exposed servers at addresses that these clients reach."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gymctl.config.vocabulary import HEAD_NAME, base_url
from gymctl.server import Call
from gymctl.server.settings import server_entries


class OutsideView:
    """What differs for clients outside; nothing where no server is exposed.

    A client is outside unless it calls the head by its name within the stack. The host that it is given is the one by
    which it called the head: a name, an address or the end of a tunnel, it leads to this machine from where it is.

    Args:
        entry: ``ports`` of the exposed servers by name, the ``host`` to give to clients (empty: the head's own), and
            the head's name ``inside``.
    """

    def __init__(self, entry: Mapping[str, Any]) -> None:
        self._ports: Mapping[str, int] = entry.get("ports") or {}
        self._host = str(entry.get("host") or "")
        self._inside = str(entry.get("inside") or "")

    def host(self, call: Call) -> str:
        """The host at which this caller reaches the exposed servers; empty: it is inside, or none is exposed."""
        called = _host_name(call.header("host") or "")
        if not self._ports or not called or called == self._inside:
            return ""
        return self._host or called

    def values(self, whole: Mapping[str, Any], host: str) -> dict[str, Any]:
        """The top level of the configuration with the exposed servers, and the head, at ``host``."""
        if not host:
            return dict(whole)
        outside = {name: _at(fields, host, port) for name, fields, port in self._exposed(whole)}
        return {**whole, **outside, HEAD_NAME: {**whole[HEAD_NAME], "host": host}}

    def _exposed(self, whole: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, str, dict[str, Any]], int]]:
        """The exposed servers: name; kind, implementation and fields; port."""
        for name, kind, implementation, fields in server_entries(whole):
            if name in self._ports:
                yield name, (kind, implementation, fields), self._ports[name]

    def record(self, record: dict[str, Any], host: str) -> dict[str, Any]:
        """The record of an instance with the address at which a client outside reaches it."""
        port = self._ports.get(record["process_name"])
        if not host or port is None:
            return record
        return {**record, "host": host, "port": port, "url": base_url(host, port)}


def _at(server: tuple[str, str, dict[str, Any]], host: str, port: int) -> dict[str, Any]:
    """A server's entry with another address."""
    kind, implementation, fields = server
    return {kind: {implementation: {**fields, "host": host, "port": port}}}


def _host_name(header: str) -> str:
    """The name or address in a ``Host`` header, without its port; an IPv6 address keeps its brackets."""
    if header.startswith("["):
        return header.partition("]")[0] + "]"
    return header.partition(":")[0].lower()
