"""Configuration of each server: its own entry, the addresses of those it can reach, the globals that servers read.

An address has two sides (NeMo Gym uses one ``host`` key for both): ``host`` is what others dial, ``bind`` what the
server itself listens on. A container binds all its interfaces and is dialled by its service name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from gymctl.config import Config, Reference, ServerInstance, ServerKind, SliceMode, mask, upstream
from gymctl.config.blocks.server_fields import GYMCTL_FIELDS, PLACEMENT_FIELDS
from gymctl.config.vocabulary import (
    EVERY_INTERFACE,
    EVERY_INTERFACE_HOSTS,
    HEAD_NAME,
    LOOPBACK,
    LOOPBACK_HOSTS,
    OBSERVE_KEY,
    RAY_ADDRESS_KEY,
    base_url,
)
from gymctl.stack.slices.globals import named_blocks, shared_values, visible_globals
from gymctl.stack.slices.interpolation import Piece, SecretFinder, dump_slice, escape_all
from gymctl.stack.slices.secret_references import Marked, mark, mark_fields, unmark

# Globals that are an address of the stack itself, or that an add-on translates
_OWN_ADDRESSES = frozenset({"default_host", RAY_ADDRESS_KEY})


@dataclass(frozen=True)
class Address:
    """Where a server is: ``host`` and ``port`` to dial, ``bind`` to listen on."""

    host: str
    port: int
    bind: str = EVERY_INTERFACE

    @classmethod
    def of(cls, url: str, gateway: str | None = None) -> Address:
        """The address in a base URL with a port; ``gateway`` is dialled where that is this machine."""
        parts = urlsplit(url)
        host = parts.hostname or LOOPBACK
        is_here = host in (*LOOPBACK_HOSTS, *EVERY_INTERFACE_HOSTS)
        return cls(gateway if gateway and is_here else host, parts.port or 80)

    @property
    def url(self) -> str:
        """The base URL to dial."""
        return base_url(self.host, self.port)


@dataclass(frozen=True)
class Slice:
    """One server's view as YAML, and the names of the secrets in it."""

    text: str
    secrets: tuple[str, ...]
    rerouted: tuple[str, ...] = ()  # its fields whose localhost became the gateway
    texts: frozenset[str] = frozenset()
    """Every string of its own fields and of the globals in it, and the URLs of the servers elsewhere that it calls."""


class Slices:
    """The slices of one configuration. ``secrets`` is what they refer to: environment name -> value."""

    def __init__(
        self,
        config: Config,
        addresses: Mapping[str, Address],
        mode: SliceMode = SliceMode.CLOSURE,
        gateway: str | None = None,
        added: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
        unmodified: Collection[str] = (),
    ) -> None:
        """``addresses`` has every server and ``head_server``; ``gateway`` replaces localhost in addresses to call.

        ``added`` are globals for single servers, by name; they win over the configuration's. ``unmodified`` are the
        servers of NeMo Gym, which get no field that only gymctl reads.
        """
        self._config = config
        self._addresses = addresses
        self._mode = mode
        self._added = added
        self._unmodified = frozenset(unmodified)
        finder = SecretFinder(config.secrets)
        self._own = {name: mark_fields(server, finder, gateway) for name, server in config.servers.items()}
        self._globals: dict[str, Marked] = {
            name: mark(value, finder, None if name in _OWN_ADDRESSES else gateway, name)
            for name, value in shared_values(config).items()
            if name not in (HEAD_NAME, "dry_run")
        }
        self._blocks = {name: named_blocks(server, config) for name, server in config.servers.items()}
        self._whole_blocks = {
            name: mark(config.values[name], finder, gateway, name) for name in frozenset().union(*self._blocks.values())
        }
        self._used = {name: self._secrets_of(name) for name in config.servers}
        self._names = _name_secrets(frozenset().union(*self._used.values()), config.secrets)
        self._texts: dict[tuple[str, bool, bool], str] = {}
        self._last_rest: dict[str, Any] = {}
        self._last_rest_text = ""
        self.secrets: dict[str, str] = {name: piece.text for piece, name in self._names.items()}

    def data(self, name: str) -> dict[str, Any]:
        """Configuration of one server: its own entry first, then its peers, then the head and the globals."""
        entries = {peer: self._entry(peer, own=own, whole=whole) for peer, own, whole in self._entries(name)}
        return {**entries, **self._rest(name)}

    def of(self, name: str) -> Slice:
        """The slice of one server; its text is ``dump_slice`` of ``data``, each entry written once for all slices."""
        entries = []
        for entry in self._entries(name):
            if entry not in self._texts:
                peer, own, whole = entry
                self._texts[entry] = dump_slice({peer: self._entry(peer, own=own, whole=whole)})
            entries.append(self._texts[entry])
        text = "".join(entries) + self._text_of_rest(name)
        secrets = sorted(self._names[piece] for piece in self._used[name])
        parts = (self._own[name], *self._globals_of(name).values())
        return Slice(
            text=text,
            secrets=tuple(secrets),
            rerouted=tuple(path for part in parts for path in part.rerouted),
            texts=frozenset(self._urls_elsewhere(name)).union(*(part.texts for part in parts)),
        )

    def _urls_elsewhere(self, name: str) -> Iterator[str]:
        """Where the servers are that it calls and the stack does not start."""
        for peer, _, _ in self._entries(name):
            if self._config.servers[peer].at is not None:
                yield self._addresses[peer].url

    def _entries(self, name: str) -> Iterator[tuple[str, bool, bool]]:
        """Each server of a slice: its name, whether it is the server's own, whether its fields are shown."""
        yield name, True, True
        whole = self._is_full(name)
        for peer in self._config.servers if whole else reachable_from(self._config.servers, name):
            if peer != name:
                yield peer, False, whole

    def _text_of_rest(self, name: str) -> str:
        rest = self._rest(name)
        if rest != self._last_rest:  # that of most servers is the one before
            self._last_rest = rest
            self._last_rest_text = dump_slice(rest)
        return self._last_rest_text

    def _rest(self, name: str) -> dict[str, Any]:
        head = self._addresses[HEAD_NAME]
        global_values = {key: unmark(value, self._names) for key, value in self._globals_of(name).items()}
        added = escape_all(dict(self._added.get(name, {})))
        return {
            HEAD_NAME: {"host": head.host, "port": head.port},
            **upstream.DEFAULT.defaults,
            **global_values,
            **added,
        }

    def _is_full(self, name: str) -> bool:
        """An agent that chooses servers at run time needs ``slice: full`` in its own entry."""
        return self._mode == SliceMode.FULL or self._config.servers[name].fields.get("slice") == "full"

    def _globals_of(self, name: str) -> dict[str, Marked]:
        """The globals of one server's slice; those that it names have their credentials."""
        if self._is_full(name):
            names = list(self._globals)
        else:
            names = list(visible_globals(self._config.servers[name], self._config))
        blocks = self._blocks[name]
        return {key: self._whole_blocks[key] if key in blocks else self._globals[key] for key in names}

    def _fields_of_gymctl(self, server: ServerInstance) -> frozenset[str]:
        """Fields that are not passed on: servers of NeMo Gym may refuse, or understand otherwise, what gymctl adds."""
        if server.kind is ServerKind.ENVIRONMENT:
            return GYMCTL_FIELDS
        if server.name in self._unmodified:
            return PLACEMENT_FIELDS - server.own_fields
        return frozenset()

    def _secrets_of(self, name: str) -> frozenset[Piece]:
        if self._is_full(name):
            servers = self._own
        else:
            servers = {name: self._own[name]}
        parts = [*servers.values(), *self._globals_of(name).values()]
        return frozenset().union(*(part.secrets for part in parts))

    def _entry(self, name: str, *, own: bool, whole: bool) -> dict[str, Any]:
        server = self._config.servers[name]
        address = self._addresses[name]
        if own:
            host = address.bind
        else:
            host = address.host
        fields: dict[str, Any] = {"entrypoint": escape_all(server.entrypoint), "host": host, "port": address.port}
        if whole:
            values = unmark(self._own[name], self._names)
            fields |= {key: value for key, value in values.items() if key not in self._fields_of_gymctl(server)}
        elif "domain" in server.fields:  # upstream requires one of a resources server
            fields["domain"] = escape_all(server.fields["domain"])
        return {server.kind.value: {server.implementation: fields}}


def slice_for(
    config: Config, server: str | ServerInstance, addresses: Mapping[str, Address], mode: SliceMode = SliceMode.CLOSURE
) -> dict[str, Any]:
    """One server's slice as plain data for ``OmegaConf.create``; localhost stays localhost."""
    return Slices(config, addresses, mode).data(server if isinstance(server, str) else server.name)


def head_slice(config: Config, addresses: Mapping[str, Address]) -> dict[str, Any]:
    """Everything, for the head: every secret as ``****``, servers by the address to dial, itself by the one to bind."""
    data: dict[str, Any] = {}
    for name, server in config.servers.items():
        address = addresses[name]
        masked = mask(dict(server.fields), config.secrets)
        for reference in server.references:
            _restore(masked, reference)
        fields = {"entrypoint": server.entrypoint, "host": address.host, "port": address.port}
        fields |= {key: value for key, value in masked.items() if key not in fields and key != "replicas"}
        data[name] = {server.kind.value: {server.implementation: fields}}
    head = addresses[HEAD_NAME]
    data[HEAD_NAME] = {"host": head.bind, "port": head.port}
    data["dry_run"] = False
    values = {key: value for key, value in config.values.items() if key not in data}
    if config.observe is not None:
        values[OBSERVE_KEY] = config.observe.of_servers
    escaped: dict[str, Any] = escape_all({**data, **upstream.DEFAULT.defaults, **mask(values, config.secrets)})
    return escaped


def reachable_from(servers: Mapping[str, ServerInstance], name: str) -> list[str]:
    """The names a server reaches through references, itself included, in the configuration's order."""
    seen = {name}
    waiting = [name]
    while waiting:
        for reference in servers[waiting.pop()].references:
            if reference.name in servers and reference.name not in seen:
                seen.add(reference.name)
                waiting.append(reference.name)
    return [server for server in servers if server in seen]


def _name_secrets(used: frozenset[Piece], secrets: Mapping[str, str]) -> dict[Piece, str]:
    """One environment name for each value: a secret with two values (as written, and rerouted) needs two."""
    values: dict[str, list[str]] = {name: [] for name in secrets}
    for piece in used:
        values[piece.secret or ""].append(piece.text)
    names: dict[Piece, str] = {}
    taken = set(secrets)
    for secret, texts in values.items():
        original = secrets[secret]
        for index, text in enumerate(sorted(texts, key=lambda text: (text != original, text))):
            if index == 0:
                name = secret
            else:
                name = _unused(f"{secret}_IN_CONTAINER", taken)
            taken.add(name)
            names[Piece(text, secret)] = name
    return names


def _unused(name: str, taken: set[str]) -> str:
    number = 2
    candidate = name
    while candidate in taken:
        candidate = f"{name}_{number}"
        number = number + 1
    return candidate


def _restore(fields: Any, reference: Reference) -> None:
    """Put a reference back that masking took for a secret (a name can equal a value of ``env.yaml``)."""
    *parents, last = reference.path
    for key in parents:
        fields = fields[key]
    fields[last] = {"type": reference.kind.value, "name": reference.name}
