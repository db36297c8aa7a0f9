"""The pipeline from arguments to a complete ``Config``: read, merge, resolve, find servers, check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from gymctl import assets
from gymctl.config.locations import Origins
from gymctl.config.merge import merge_layers, resolve
from gymctl.config.model import HEAD_PORT, Config, Head
from gymctl.config.secrets import find_secrets
from gymctl.config.servers import check_addresses, check_references, find_servers
from gymctl.config.sources import read_layers
from gymctl.errors import ConfigError, Problem


def load_config(arguments: Sequence[str], *, cwd: Path, environ: Mapping[str, str]) -> Config:
    """Load, merge, resolve and check the configuration that command-line arguments name.

    Args:
        arguments: YAML paths, globs, directories and overrides, in any order.
        cwd: the directory that relative paths and ``env.yaml`` are looked for in.
        environ: for ``NEMO_GYM_EXTRA_ROOTS``.

    Raises:
        InputError: an argument is wrong, or a file is missing.
        ConfigError: the configuration is wrong; every problem with its place.
    """
    layers = read_layers(arguments, cwd=cwd, environ=environ)
    merged, origins = merge_layers(layers.all)
    raw: Any = OmegaConf.to_container(merged, resolve=False)
    resolved = resolve(merged, origins)
    servers, problems = find_servers(resolved, origins, layers.roots)
    notes: list[str] = []
    if resolved.get("error_on_almost_servers") is False:
        notes, problems = [f"skipped: {problem}" for problem in problems], []
    head = _head(resolved, origins, problems)
    problems += check_references(servers, origins)
    problems += check_addresses(servers, (head.host, head.port), origins)
    if not servers and not problems:
        problems.append(Problem(", ".join(document.name for document in layers.files), "no server is defined here"))
    if problems:
        raise ConfigError(problems)
    return Config(
        servers=servers,
        head=head,
        values={name: value for name, value in resolved.items() if name not in servers},
        secrets=find_secrets(raw, resolved, layers.env.data if layers.env else {}),
        bundled=assets.folder("services"),
        roots=layers.roots,
        files=tuple(document.name for document in layers.files),
        notes=tuple(notes),
        origins=origins,
        resolved=resolved,
    )


def _head(resolved: Mapping[str, Any], origins: Origins, problems: list[Problem]) -> Head:
    """The head's address; each part may be left out (upstream then fails when only the port is given)."""
    written = resolved.get("head_server") or {}
    where = str(origins.of(("head_server",)) or "")
    if not isinstance(written, dict):
        problems.append(Problem(where, "head_server is not a mapping", "write head_server: {host: ..., port: 11000}"))
        return Head()
    port, host = written.get("port", HEAD_PORT), written.get("host")
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
        place = str(origins.of(("head_server", "port")) or where)
        problems.append(Problem(place, f"head_server.port is {port!r}", "it must be a number from 1 to 65535"))
        return Head()
    return Head(host if isinstance(host, str) else None, port)
