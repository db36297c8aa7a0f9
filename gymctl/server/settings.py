"""Settings of one server process: its own fields, its peers' addresses, and the global values.

The contract is NeMo Gym's: ``NEMO_GYM_CONFIG_DICT`` holds YAML (interpolations and all), ``NEMO_GYM_CONFIG_PATH`` the
server's own name. The same server therefore runs under gymctl and under NeMo Gym's own head.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gymctl.config.sources.yaml_documents import parse_document
from gymctl.config.vocabulary import (
    ALLOWED_HOSTS_KEY,
    EVERY_INTERFACE,
    EVERY_INTERFACE_HOSTS,
    EXPOSED_TO_KEY,
    HEAD_NAME,
    HEAD_PORT,
    LOOPBACK,
    NODE_KEY,
    NODE_PORT,
    OBSERVE_KEY,
    REMOTE_KEY,
    ServerKind,
    base_url,
)
from gymctl.errors import InputError
from gymctl.server.hop_tokens import TokenFile

# Seconds that a process continues normally after SIGTERM: by then callers no longer find it by its name
NOTICE_VARIABLE = "GYMCTL_NOTICE_S"
# Seconds that a call waits for a server that is nowhere to be found: where servers move it takes a while
PATIENCE_VARIABLE = "GYMCTL_PATIENCE_S"
DEFAULT_PATIENCE_S = 5.0
_KINDS = tuple(kind.value for kind in ServerKind)


@dataclass(frozen=True)
class Settings:
    """One server's view of the configuration. ``peers`` maps names to base URLs; ``notice_s``: see ``Runner``."""

    name: str
    kind: str
    implementation: str
    host: str
    port: int
    fields: Mapping[str, Any]
    peers: Mapping[str, str] = field(default_factory=dict)
    whole: Mapping[str, Any] = field(default_factory=dict)
    notice_s: float = 0.0
    patience_s: float = DEFAULT_PATIENCE_S
    tokens: TokenFile | None = field(default=None, repr=False)
    """Tokens of its calls; None: the stack has none."""

    @property
    def models(self) -> frozenset[str]:
        """The peers that are model servers."""
        return frozenset(name for name, kind, *_ in server_entries(self.whole) if kind == ServerKind.MODEL)

    @property
    def remote(self) -> tuple[str, ...]:
        """The servers of other machines that this one calls."""
        return tuple(self.whole.get(REMOTE_KEY) or ())

    @property
    def allowed_hosts(self) -> tuple[str, ...]:
        """Further host names by which callers may reach this server."""
        return tuple(map(str, self.whole.get(ALLOWED_HOSTS_KEY) or ()))

    @property
    def exposed_to(self) -> tuple[str, ...]:
        """The networks of the clients that this server accepts; empty: it accepts all."""
        return tuple(self.whole.get(EXPOSED_TO_KEY) or ())

    @property
    def head_url(self) -> str:
        """The base URL of the head."""
        head = self.whole.get(HEAD_NAME) or {}
        return base_url(_dialled(head.get("host") or LOOPBACK), head.get("port") or HEAD_PORT)


def settings_from_environment(environ: Mapping[str, str]) -> Settings:
    """Read the two variables, and the optional times set by an engine.

    Raises:
        InputError: one is missing, the name is not in the configuration, a time is not a number, or the tokens
            cannot be read.
    """
    text = environ.get("NEMO_GYM_CONFIG_DICT")
    name = environ.get("NEMO_GYM_CONFIG_PATH")
    if not text or not name:
        if not text:
            missing = "NEMO_GYM_CONFIG_DICT"
        else:
            missing = "NEMO_GYM_CONFIG_PATH"
        raise InputError(
            f"{missing} is not set",
            "servers are started by `gymctl up`; to start one by hand, set it to the configuration (YAML) or name",
        )
    return replace(
        settings_from_mapping(_read(text, name), name),
        notice_s=seconds(environ, NOTICE_VARIABLE, 0.0),
        patience_s=seconds(environ, PATIENCE_VARIABLE, DEFAULT_PATIENCE_S),
        tokens=TokenFile.of_environment(environ),
    )


def seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    """A variable that holds seconds.

    Raises:
        InputError: it holds something else.
    """
    try:
        value = float(environ.get(name) or default)
    except ValueError:
        value = -1.0
    if not 0.0 <= value < 1e6:
        raise InputError(f"{name} is {environ.get(name)!r}", "it must be a number of seconds")
    return value


def _read(text: str, name: str) -> Mapping[str, Any]:
    """The configuration with this server's part resolved; OmegaConf is loaded only if it is needed."""
    data = parse_document(text, "NEMO_GYM_CONFIG_DICT").data
    if "${" not in text:
        return data
    from omegaconf import DictConfig, OmegaConf

    config = OmegaConf.create(text)
    if not isinstance(config, DictConfig):
        return data
    if name in config:
        names = [name, OBSERVE_KEY]  # the token of metrics is a reference in slices
    else:
        names = list(config)
    for key in names:
        if isinstance(config.get(key), DictConfig):
            data[str(key)] = OmegaConf.to_container(config[key], resolve=True)
    for key, value in data.items():
        for _, inner in _inner(value):
            for part in ("host", "port"):
                if isinstance(inner.get(part), str) and "${" in inner[part]:
                    inner[part] = OmegaConf.select(
                        config, f"{key}.{_kind(value)}.{next(iter(value[_kind(value)]))}.{part}"
                    )
    return data


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return next((kind for kind in _KINDS if kind in value), "")
    return ""


def _inner(value: Any) -> list[tuple[str, dict[str, Any]]]:
    """The ``(implementation, fields)`` of a server entry; empty for anything else."""
    kind = _kind(value)
    if kind:
        below = value[kind]
    else:
        below = None
    if isinstance(below, dict):
        return [(name, fields) for name, fields in below.items() if isinstance(fields, dict)]
    return []


def settings_from_mapping(whole: Mapping[str, Any], name: str) -> Settings:
    """The settings of server ``name`` in a configuration (or slice) given as plain data.

    Raises:
        InputError: no server of that name, or it has no host and port.
    """
    peers = {}
    for peer, _, _, fields in server_entries(whole):
        if fields.get("host") and fields.get("port"):
            peers[peer] = base_url(_dialled(fields["host"]), fields["port"])
    if name in (HEAD_NAME, NODE_KEY):
        own_fields = whole.get(name) or {}
        if name == HEAD_NAME:
            kind = "head"
            port = HEAD_PORT
        else:
            kind = "node"
            port = NODE_PORT
        host = own_fields.get("host", EVERY_INTERFACE)
        port = own_fields.get("port", port)
        return Settings(name, kind, kind, host, port, own_fields if kind == "node" else {}, peers, whole)
    own = _inner(whole.get(name))
    if not own:
        known = ", ".join(entry[0] for entry in server_entries(whole)) or "none"
        raise InputError(
            f"NEMO_GYM_CONFIG_PATH is {name!r}, which is not a server in the configuration", f"servers: {known}"
        )
    implementation, fields = own[0]
    if not fields.get("host") or not fields.get("port"):
        raise InputError(f"{name} has no host or port in its configuration", "both must be filled in")
    return Settings(name, _kind(whole[name]), implementation, fields["host"], fields["port"], fields, peers, whole)


def server_entries(whole: Mapping[str, Any]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """The servers of a configuration given as plain data: name, kind, implementation, fields."""
    for name, value in whole.items():
        for implementation, fields in _inner(value)[:1]:
            yield name, _kind(value), implementation, fields


def _dialled(host: str) -> str:
    """An address to dial: a server that binds every interface is reached on the loopback one."""
    if host in EVERY_INTERFACE_HOSTS:
        return LOOPBACK
    return host
